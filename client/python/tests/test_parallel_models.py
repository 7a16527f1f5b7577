"""Models that several processes train together: what one rank measures waits for no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

import richd
from richd._torch.modules import find_module, find_modules, unwrapped
from richd._torch.reported import Reported
from support import wait_until

nn = torch.nn

#: Two processes of gloo; only rank 0 has a run. Each step has collectives of its own, so one that
#: richd began on one rank would meet another's, or nobody's.
TRAINER = """
    import json, sys
    import torch, torch.distributed as dist, richd
    from torch.nn.parallel import DistributedDataParallel as DDP

    rank, store, address, norm = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
    dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
    class Synchronised(torch.nn.BatchNorm1d):  # torch's own has no gloo
        def forward(self, x):
            if self.training:
                dist.all_reduce(x.detach().mean(0))
            return super().forward(x)

    torch.manual_seed(0)
    norm = {"own": torch.nn.BatchNorm1d, "synchronised": Synchronised}[norm](4)
    inner = torch.nn.Sequential(torch.nn.Linear(5, 4), norm, torch.nn.Linear(4, 3))
    model = DDP(inner)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    probe = torch.randn(6, 5, generator=torch.Generator().manual_seed(7))
    initial = {name: v.clone() for name, v in model.state_dict().items()}
    if rank == 0:
        run = richd.init(endpoint=address, raise_errors=True, world_size=1)
        run.watch(model, layer="module.2", ntk=richd.NTK(probe, rows=6), initial=initial)
    for step in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 5)).square().sum().backward()
        optimizer.step()
        if rank == 0:
            run.checkpoint(step=step, wait=True)
    if rank == 0:
        run.finish()
    weights = [p.detach().double().sum().item() for p in model.parameters()]
    print(json.dumps(weights))
"""


@pytest.mark.parametrize("norm", ["own", "synchronised"])
def test_a_tangent_kernel_of_one_rank_runs_no_collective(daemon, tmp_path, norm):
    code = textwrap.dedent(TRAINER)
    source = Path(richd.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(source), "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(rank), str(tmp_path / "store"), daemon.address, norm],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=60) for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    assert [process.returncode for process in ranks] == [0, 0], said
    first, second = (json.loads(out) for out, _ in said)
    assert first == second
    measured = [m["metrics"]["ntk_distance"] for m in daemon.controls("checkpoint")]
    assert len(measured) == 3 and all(0 < value <= 1 for value in measured)


# ---- what wraps a model --------------------------------------------------------------------------


class Wrapper(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, *args):
        raise AssertionError("the wrapper was called")


class DistributedDataParallel(Wrapper):
    pass


class FullyShardedDataParallel(Wrapper):
    pass


class OptimizedModule(Wrapper):
    def __init__(self, module):
        super().__init__(module)
        self._orig_mod = module


def test_models_are_found_in_what_wraps_them():
    inner = nn.Linear(3, 2)
    assert unwrapped(inner) is inner
    assert unwrapped(DistributedDataParallel(OptimizedModule(inner))) is inner
    own = Wrapper(inner)  # a model that happens to have a part of that name
    assert unwrapped(own) is own


def test_a_wrapped_model_has_the_names_that_it_has_alone():
    inner = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    model = DistributedDataParallel(OptimizedModule(inner))
    assert find_module(model, "1") is inner[1]
    assert find_module(model, "module._orig_mod.1") is inner[1]
    assert find_module(model, "") is model
    assert find_modules(model, "*") == {"0": inner[0], "1": inner[1]}
    assert list(find_modules(model, "module._orig_mod.*")) == [
        "module._orig_mod.0", "module._orig_mod.1"]
    part = nn.Sequential(OptimizedModule(inner))
    assert find_module(part, "0.1") is inner[1] and find_module(part, "0") is part[0]


def test_sharded_parameters_are_refused_with_a_sentence(daemon, caplog):
    model = nn.Sequential(FullyShardedDataParallel(nn.Linear(3, 2)))
    with richd.init(endpoint=daemon.address) as run:
        assert wait_until(lambda: run.attempt is not None)
        run.watch(model, layer="0.module", ntk=richd.NTK(torch.randn(4, 3)))
        run.observe(torch.randn(4, 3), torch.randn(4, 2))
        run.checkpoint(step=1, wait=True)
    (text,) = [r.getMessage() for r in caplog.records if r.name == "richd"][:1]
    assert "shards" in text and "without ntk=" in text
    assert "metrics" not in daemon.controls("checkpoint")[-1]


def test_norms_of_shards_are_not_given_out_as_the_models():
    with pytest.raises(ValueError, match="parameters=False"):
        Reported().watch_parameters(FullyShardedDataParallel(nn.Linear(3, 2)), True, None)
