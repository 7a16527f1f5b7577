"""Several processes, one run: who finds which rank, and what a rank other than 0 sends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

import richd
from richd import _names, _ranks
from richd._link.session import State, Stopped
from richd._ranks import Place, place
from support import drain, message, new_session, wait_until, welcome

TORCHRUN = {
    "RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_RESTART_COUNT": "0",
}
TWO_HOSTS = {**TORCHRUN, "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "node7", "MASTER_PORT": "40123"}
SLURM = {
    "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0", "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_NTASKS": "8", "SLURM_LOCALID": "3",
}
OPENMPI = {
    "OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "PMIX_NAMESPACE": "prterun-node7-4242@1",
}
HYDRA = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1"}
LIGHTNING = {
    "LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "51234",
}
MASTER = {"MASTER_ADDR": "localhost", "MASTER_PORT": "12355"}


def at(env, group=None, starter="host/9/100"):
    return place(env, group, lambda variable, is_rank: starter)


@pytest.mark.parametrize("env, group, rank, world, kind", [
    (TORCHRUN, None, 1, 4, "torchrun"),
    (TWO_HOSTS, None, 1, 4, "torchrun"),
    ({**TORCHRUN, **SLURM}, None, 1, 4, "torchrun"),
    ({"RANK": "0", "WORLD_SIZE": "2", **MASTER}, None, 0, 2, "env"),
    (SLURM, None, 3, 8, "slurm"),
    ({**SLURM, **MASTER}, (5, 8), 5, 8, "slurm"),
    ({**SLURM, "SLURM_STEP_NUM_TASKS": "2"}, (9, 16), 9, 16, "slurm"),  # mp.spawn on each node
    (OPENMPI, None, 2, 4, "openmpi"),
    ({**SLURM, "SLURM_STEP_NUM_TASKS": "2", **OPENMPI}, None, 2, 4, "openmpi"),
    (HYDRA, None, 1, 2, "pmi"),
    (MASTER, (1, 2), 1, 2, "group"),
    (LIGHTNING, (1, 2), 1, 2, "lightning"),
    ({**TORCHRUN, "WORLD_SIZE": "65536", "RANK": "65535"}, None, 65535, 65536, "torchrun"),
])
def test_a_rank_is_found(env, group, rank, world, kind):
    found = at(env, group)
    assert (found.rank, found.world) == (rank, world)
    assert found.launch.split(":")[0] == kind and _ranks.is_launch(found.launch)


@pytest.mark.parametrize("env, group", [
    ({}, None),
    ({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}, None),
    (TORCHRUN, (0, 1)),  # each worker has a process group of its own
    ({**SLURM, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, None),
    # A batch script without srun has the job's tasks, and is one process.
    ({"SLURM_JOB_ID": "77", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),
    ({**MASTER}, None),
    ({"RANK": "four", "WORLD_SIZE": "4"}, None),
    ({"RANK": "4", "WORLD_SIZE": "4", **MASTER}, None),
    ({"RANK": "-1", "WORLD_SIZE": "4", **MASTER}, None),
    ({"RANK": "1", "WORLD_SIZE": ""}, None),
    ({**LIGHTNING, "LOCAL_RANK": "0"}, None),
])
def test_a_process_without_others_is_alone(env, group):
    assert at(env, group) is None


def test_ranks_without_a_common_key_are_told():
    assert at(LIGHTNING) == Place(1, 2, None), "rank 0 opened its run before it started this one"
    assert at({}, (1, 2)) == Place(1, 2, None)
    assert at({"RANK": "1", "WORLD_SIZE": "2"}) == Place(1, 2, None)
    assert at(TORCHRUN, (1, 2)) == Place(1, 2, None), "another group of two has the same numbers"


@pytest.mark.parametrize("env", [TORCHRUN, TWO_HOSTS, SLURM, OPENMPI, HYDRA, LIGHTNING, MASTER])
def test_all_ranks_of_a_launch_find_one_key(env):
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "SLURM_LOCALID", "OMPI_COMM_WORLD_RANK",
             "PMI_RANK", "MPI_LOCALRANKID")
    keys = set()
    for rank in (0, 1):
        own = {name: str(rank) for name in names if name in env}
        group = (rank, 2) if env in (LIGHTNING, MASTER) else None
        keys.add(at({**env, **own, "HOSTNAME": f"node{rank}", "CUDA_VISIBLE_DEVICES": str(rank)},
                    group).launch)
    assert len(keys) == 1


@pytest.mark.parametrize("env, changed", [
    (TWO_HOSTS, {"TORCHELASTIC_RUN_ID": "a1"}),
    (TWO_HOSTS, {"TORCHELASTIC_RESTART_COUNT": "1"}),  # all workers are started again
    (TWO_HOSTS, {"MASTER_PORT": "40124"}),
    (TWO_HOSTS, {"WORLD_SIZE": "8"}),
    (TWO_HOSTS, {"SLURM_JOB_ID": "78"}),
    (SLURM, {"SLURM_JOB_ID": "78"}),
    (SLURM, {"SLURM_STEP_ID": "1"}),
    (SLURM, {"SLURM_RESTART_COUNT": "1"}),  # requeued
    (OPENMPI, {"PMIX_NAMESPACE": "prterun-node7-4243@1"}),
])
def test_another_launch_has_another_key(env, changed):
    assert at(env).launch != at({**env, **changed}).launch


@pytest.mark.parametrize("env, changed, is_same", [
    (TORCHRUN, {"TORCHELASTIC_RESTART_COUNT": "1", "MASTER_PORT": "4711", "WORLD_SIZE": "4"}, True),
    (TWO_HOSTS, {"TORCHELASTIC_RESTART_COUNT": "1"}, True),
    (TWO_HOSTS, {"MASTER_PORT": "40124"}, False),  # perhaps the next training of a batch job
    (SLURM, {"SLURM_RESTART_COUNT": "1"}, True),
    (SLURM, {"SLURM_STEP_ID": "1"}, False),
    ({"RANK": "1", "WORLD_SIZE": "2", **MASTER}, {"MASTER_PORT": "12356"}, False),
])
def test_a_job_that_is_restarted_is_known_again(env, changed, is_same):
    before, after = at(env), at({**env, **changed})
    assert before.launch != after.launch and (before.job == after.job) == is_same


@pytest.mark.parametrize("env, group", [(TORCHRUN, None), (HYDRA, None), (MASTER, (1, 2))])
def test_on_one_host_the_starter_tells_launches_apart(env, group):
    assert at(env, group).launch != at(env, group, "host/9/200").launch


def test_over_hosts_nothing_of_one_host_is_in_the_key():
    for env in (TWO_HOSTS, SLURM, OPENMPI):
        assert at(env).launch == at(env, starter="other/7/5").launch


# ---- processes -----------------------------------------------------------------------------------

PRINT = "import richd._ranks as r, json; p = r.here(); print(p and json.dumps([p.rank, p.launch]))"


def start(env, code=PRINT, prefix=()):
    full = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env}
    return subprocess.Popen([*prefix, sys.executable, "-c", code], env=full, text=True,
                            stdout=subprocess.PIPE)


def said(process):
    lines = process.communicate(timeout=60)[0].split("\n")[:-1]
    return [json.loads(line) if line != "None" else None for line in lines]


def test_workers_of_one_starter_find_one_key_also_behind_a_shell():
    ranks = [start({**TORCHRUN, "RANK": str(k)}, prefix=prefix)
             for k, prefix in enumerate([(), (), ("sh", "-c", '"$@"; true', "sh")])]
    (zero,), (one,), (two,) = map(said, ranks)
    assert (zero[0], one[0], two[0]) == (0, 1, 2)
    assert zero[1] == one[1] == two[1]


def test_another_starter_makes_another_key():
    inner = textwrap.dedent(f"""
        import os, subprocess, sys
        env = {{**os.environ, **{TORCHRUN!r}}}
        subprocess.run([sys.executable, "-c", {PRINT!r}], env=env)
    """)
    (first,), (second,) = said(start({}, inner)), said(start({}, inner))
    assert first[1] != second[1]


def test_spawned_processes_find_their_parent(tmp_path):
    script = tmp_path / "spawned.py"
    script.write_text(textwrap.dedent("""
        import json, multiprocessing, os
        import richd._ranks as ranks

        def work(rank, queue):
            os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="localhost",
                              MASTER_PORT="12355")
            queue.put(ranks.here().launch)

        if __name__ == "__main__":
            for method in ("spawn", "fork"):
                context = multiprocessing.get_context(method)
                queue = context.Queue()
                workers = [context.Process(target=work, args=(k, queue)) for k in (0, 1)]
                for worker in workers:
                    worker.start()
                print(json.dumps([queue.get() for _ in workers]))
    """))
    full = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for keys in (json.loads(line) for line in subprocess.run(
            [sys.executable, script], env=full, text=True, stdout=subprocess.PIPE,
            timeout=120, check=True).stdout.splitlines()):
        assert keys[0] == keys[1] and keys[0].startswith("env:")


def test_what_a_member_starts_is_no_member():
    code = f"import os, sys, subprocess; import richd._ranks as r; r.note_member(); {PRINT}; " \
           f"sys.stdout.flush(); subprocess.run([sys.executable, '-c', {PRINT!r}])"
    mine, childs = said(start(TORCHRUN, code))
    assert mine[0] == 1 and childs is None


# ---- what a run makes of it ----------------------------------------------------------------------


def open_rank(daemon, rank, world=4, launch="job", **options):
    run = richd.init(endpoint=daemon.address, rank=rank, world_size=world, launch=launch, **options)
    assert wait_until(lambda: run.attempt is not None)
    return run


@pytest.fixture(autouse=True)
def _first_runs(monkeypatch):
    monkeypatch.setattr("richd._init._opened", type(richd._init._opened)())


def test_an_open_says_which_member_it_is(daemon):
    run = open_rank(daemon, 2)
    run.finish()
    (opened,) = daemon.controls("open")
    assert opened["member"] == {"rank": 2, "world": 4, "launch": "job"}
    assert (run.rank, run.world_size) == (2, 4)


def test_ranks_find_one_id_and_one_name(daemon, monkeypatch):
    made = []
    for rank in (0, 3):
        monkeypatch.setattr("richd._init._opened", type(richd._init._opened)())
        made.append([richd.init("p", name, endpoint=daemon.address, rank=rank, world_size=4,
                                launch="job") for name in (None, f"at-{rank}-seconds", None)])
    for zero, three in zip(*made):
        assert zero.id == three.id and _names.is_run_id(zero.id)
    assert made[0][0].name == made[1][0].name
    assert len({run.id for run in made[0]}) == 3, "three runs of one launch"
    for run in [*made[0], *made[1]]:
        run.finish()
    other = richd.init("p", mode="disabled", rank=0, world_size=4, launch="job2")
    assert other.id not in {run.id for run in made[0]}


def test_a_second_run_under_one_id_is_another_launch(daemon):
    for _ in range(2):
        open_rank(daemon, 0, run_id="r").finish()
    assert [m["member"]["launch"] for m in daemon.controls("open")] == ["job", "job.2"]


def test_a_process_alone_says_nothing_of_members(daemon, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("MASTER_ADDR", "node7")
    run = richd.init(endpoint=daemon.address, world_size=1)
    run.log({"loss": 1.0}, step=1)
    run.finish()
    assert "member" not in daemon.controls("open")[0] and daemon.controls("log")
    assert run.world_size == 1


def test_other_ranks_leave_scalars_constants_and_measures_to_rank_0(daemon):
    run = open_rank(daemon, 1)
    run.log({"loss": 0.5}, step=3)
    run.summary(best=1)
    run.config.update(lr=1)
    run.log({"speed": 7.0}, step=3, all_ranks=True)
    run.observe(np.ones((8, 3)), head=np.ones((2, 3)), step=3)
    run.checkpoint(step=3, metrics={"param_norm": 2.0})
    run.finish()
    assert [m["scalars"] for m in daemon.controls("log")] == [{"speed@rank1": 7.0}]
    assert not daemon.controls("summary") and not daemon.controls("config")
    (mark,) = daemon.controls("checkpoint")
    assert "metrics" not in mark and mark["layers"] == {"head": {"seq": 1, "rows": 8}}
    assert [header.kind for _, header, _, _ in daemon.batches()] == [1], "one head is enough"


def test_all_scalars_are_stored_where_they_are_asked_for(daemon):
    run = open_rank(daemon, 2, scalars="all")
    run.log({"loss": 0.5}, step=3)
    run.finish()
    assert daemon.controls("log")[0]["scalars"] == {"loss@rank2": 0.5}


def test_rank_0_sends_what_a_process_alone_sends(daemon):
    run = open_rank(daemon, 0)
    run.log({"loss": 0.5}, step=3)
    run.observe(np.ones((8, 3)), head=np.ones((2, 3)), step=3)
    run.checkpoint(step=3, metrics={"param_norm": 2.0})
    run.finish()
    assert daemon.controls("log")[0]["scalars"] == {"loss": 0.5}
    assert daemon.controls("checkpoint")[0]["metrics"] == {"param_norm": 2.0}
    assert [header.kind for _, header, _, _ in daemon.batches()] == [1, 3]


def test_steps_that_nobody_gives_are_the_same_on_all_ranks(daemon):
    steps = []
    for rank in (0, 1):
        run = open_rank(daemon, rank, run_id="r")
        for _ in range(3):
            run.observe(np.ones((8, 3)), np.ones((8, 2)))
            run.log({"loss": 0.5})
            run.checkpoint()
        run.finish()
        steps.append([m["step"] for m in daemon.controls("checkpoint")][3 * rank:])
    assert steps[0] == steps[1] and len(steps[0]) == 3


def test_a_rank_without_rows_marks_all_the_same(daemon):
    """The others' point would wait for it."""
    run = open_rank(daemon, 1)
    run.checkpoint(step=3)
    run.finish()
    assert daemon.controls("checkpoint")[0]["layers"] == {}


def test_the_rows_of_a_probe_come_from_rank_0(daemon):
    run = open_rank(daemon, 1, probe=True)
    run.observe(np.ones((8, 3)), np.ones((8, 2)), step=3)
    run.checkpoint(step=3)
    run.finish()
    assert not daemon.batches() and daemon.controls("checkpoint")[0]["layers"] == {}


def test_a_wide_head_of_which_a_rank_has_a_shard_sends_its_outputs(daemon, caplog):
    """To read the weight is a collective, and between the passes there may be none: its memory is
    gone. Numpy's look at it would keep torch from letting go of it."""
    class FSDPModule:
        pass

    class FSDPLinear(FSDPModule, torch.nn.Linear):
        """As fully_shard makes it."""

    model = torch.nn.Sequential(torch.nn.Linear(4, 3), FSDPLinear(3, 8))
    run = open_rank(daemon, 0)
    assert not run.watch(model, "1", wide="head", parameters=False).is_on
    assert "FSDP holds shards of the head's weight" in caplog.text
    run.watch(model, "1", parameters=False)
    model(torch.ones(5, 4))
    run.checkpoint(step=1)
    run.finish()
    assert [(h.kind, h.outputs_dtype > 0) for _, h, _, _ in daemon.batches()] == [(1, True)]


def test_a_rank_without_a_key_sends_nothing_and_says_so(daemon, monkeypatch, caplog):
    monkeypatch.setattr(_ranks, "here", lambda given=None: Place(1, 2, None))
    run = richd.init(endpoint=daemon.address)
    run.log({"loss": 1.0}, step=1)
    run.finish()
    assert not daemon.received
    assert [r.getMessage().split(";")[0].split(" ", 1)[1] for r in caplog.records] == [
        "rank 1 of 2 sends nothing: the ranks have no key of their launch in common"]


@pytest.mark.parametrize("arguments", [
    {"rank": 1}, {"world_size": 2}, {"rank": 2, "world_size": 2}, {"rank": -1, "world_size": 2},
    {"rank": 0, "world_size": 65537}, {"launch": "".join(["x"] * 121)}, {"launch": "a\nb"},
    {"scalars": "some"},
])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ValueError):
        richd.init(mode="disabled", **arguments)


def test_the_environment_gives_rank_world_and_launch(monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LAUNCH": "mine"}.items():
        monkeypatch.setenv(f"RICHD_{name}", value)
    run = richd.init(mode="disabled")
    assert run._open_fields["member"] == {"rank": 1, "world": 2, "launch": "mine"}


@pytest.mark.parametrize("given", [{"RANK": "1"}, {"RANK": "2", "WORLD_SIZE": "2"},
                                   {"RANK": "-1", "WORLD_SIZE": "2"}, {"WORLD_SIZE": "2"}])
def test_a_malformed_environment_is_passed_over(monkeypatch, caplog, given):
    for name, value in given.items():
        monkeypatch.setenv(f"RICHD_{name}", value)
    assert richd.init(mode="disabled").world_size == 1
    assert len(caplog.records) == 1


# ---- the conversation ----------------------------------------------------------------------------


def types(sent):
    return [json.loads(frames[0])["type"] for _, frames in sent]


def test_a_rank_that_joins_opens_once_it_knows_that_it_may():
    session, _ = new_session(member={"rank": 1, "world": 2, "launch": "job"})
    session.begin(0.0)
    assert types(drain(session)) == ["hello"]
    assert session.receive(message("hello", protocol=1, server="x", members=True), 0.0) == []
    assert types(drain(session)) == ["open"]
    session.receive(welcome(), 0.0)
    assert session.state is State.OPEN


def test_before_an_older_daemon_rank_0_goes_on_alone_and_the_others_stop():
    session, _ = new_session(member={"rank": 1, "world": 2, "launch": "job"})
    session.begin(0.0)
    drain(session)
    (stopped,) = session.receive(message("hello", protocol=1, server="richd 0.0"), 0.0)
    assert isinstance(stopped, Stopped) and session.state is State.ENDED
    session, _ = new_session(member={"rank": 0, "world": 2, "launch": "job"})
    session.begin(0.0)
    assert types(drain(session)) == ["hello", "open"]
    session.receive(message("hello", protocol=1, server="richd 0.0"), 0.0)
    session.receive(welcome(), 0.0)
    assert session.state is State.OPEN
