"""One of two processes that train a sharded model: python sharded_program.py KIND FOLDER.

KIND is how it is sharded: `fully_shard` or `FullyShardedDataParallel`. It leaves in FOLDER losses,
calls of the tap and what richd warned of, as KIND-MODE-RANK.json.
"""

import json
import logging
import os
import pathlib
import sys

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

import richd

MODE = os.environ.get("RICHD_MODE", "online")
STEPS, ROWS, N_FEATURES, N_CLASSES = 3, 16, 6, 8


def sharded(kind):
    """The model, and the path of its head, which has more outputs than features."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(N_FEATURES, 5), torch.nn.ReLU(),
                                torch.nn.Linear(5, N_CLASSES))
    if kind == "FullyShardedDataParallel":
        return FullyShardedDataParallel(model, device_id=torch.device("cpu")), "2"
    for part in (model[2], model):
        fully_shard(part)
    return model, "2"


def main(kind, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/{kind}-{MODE}-store",
                            rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]))
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage().split(" ", 1)[1])
    logging.getLogger("richd").addHandler(handler)
    model, head = sharded(kind)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    run = richd.init("sharded", kind)
    probe = richd.NTK(torch.zeros(4, N_FEATURES))
    tap = run.watch(model, layer="head", module=head, ntk=probe)
    drawn = torch.Generator().manual_seed(dist.get_rank())
    losses = []
    for step in range(STEPS):
        loss = model(torch.randn(ROWS, N_FEATURES, generator=drawn)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        run.checkpoint(step=step, wait=True, timeout=60)
    run.finish(timeout=30)
    left = {"losses": losses, "calls": tap.calls, "said": said, "id": run.id}
    pathlib.Path(folder, f"{kind}-{MODE}-{dist.get_rank()}.json").write_text(json.dumps(left))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
