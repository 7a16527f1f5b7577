"""Which rank of how many this process is, and the key of the launch that it belongs to.

`place` is a pure function of what the launcher left in the environment; `here` reads the
environment, the process group of torch and /proc, and calls it. Nothing here talks to another rank:
no collective is called, so all ranks must find the same key by themselves. `_init` asks once a run.

The key has to be the same for all ranks of one start, on all hosts, and another one at each start:

- what names the job: an id that torchrun, SLURM, OpenMPI or PMI gave, MASTER_ADDR and MASTER_PORT;
- how often it was restarted: an elastic restart starts all workers again, and is a new launch;
- where all ranks are known to be on one host, the process that started them (host, pid, start
  time), because torchrun's defaults, 127.0.0.1:29500 and no id, are the same every time.

A run that was given no id has one of the job, which is the key without the restarts: a job that
torchrun or SLURM restarts goes on with its run, in a new attempt.

Over several hosts, without an id (torchrun's --rdzv_id with a static rendezvous; a job without a
scheduler), the next start on the same port has the same key. The daemon takes its ranks for a new
attempt where all ranks of the start before have closed; where some were lost, they go on for them.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

RANK_MAX = 65535
#: The daemon takes 128; the second run of a process has its number behind it.
LAUNCH_MAX = 120
#: Set in the environment of a process that is a member: what it starts is none.
MEMBER_PID = "RICHD_MEMBER_PID"


@dataclass(frozen=True)
class Place:
    """Rank `rank` of `world`; `launch` is None where the ranks cannot know a common key.

    `job` is the same for all launches of one job, as far as it can be known.
    """

    rank: int
    world: int
    launch: Optional[str]
    job: str = ""


def is_rank(rank: Optional[int], world: Optional[int]) -> bool:
    """Whether both are given, and the rank is one of `world`."""
    return rank is not None and world is not None and 0 <= rank < world <= RANK_MAX + 1


def is_launch(text: object) -> bool:
    """True for 1 to 120 printable characters of ASCII."""
    if not isinstance(text, str) or not 1 <= len(text) <= LAUNCH_MAX:
        return False
    return text.isascii() and text.isprintable()


@dataclass(frozen=True)
class _Launcher:
    """A way in which ranks are started, by the variables that each of them then has."""

    kind: str
    rank: str
    world: str
    #: As many ranks are on this host, where it is said.
    local_world: str
    #: Variables that name the start; those that are there make the key.
    key: tuple[str, ...]
    #: The launcher gives it to the ranks, and has none itself.
    own: str
    #: The launcher may be rank 0.
    is_rank: bool = False


_MASTER = ("MASTER_ADDR", "MASTER_PORT")
#: Of each key, where a scheduler's job is around the launcher. A step may be of one host alone.
_JOB = ("SLURM_JOB_ID", "SLURM_RESTART_COUNT")
_RESTARTS = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
#: The innermost launcher first: torchrun under srun has the variables of both, and so has a rank
#: of mpirun whose daemons SLURM started.
_LAUNCHERS = (
    _Launcher(
        "torchrun",  # accelerate, too
        "RANK",
        "WORLD_SIZE",
        "LOCAL_WORLD_SIZE",
        ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", *_MASTER, *_JOB),
        "TORCHELASTIC_RUN_ID",
    ),
    _Launcher("env", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", (*_MASTER, *_JOB), "RANK"),
    _Launcher(
        "openmpi",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
        ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", *_JOB),
        "OMPI_COMM_WORLD_RANK",
    ),
    _Launcher(
        "pmi",  # MPICH, Intel MPI, Cray
        "PMI_RANK",
        "PMI_SIZE",
        "MPI_LOCALNRANKS",
        ("PMI_JOBID", "PALS_APID", *_MASTER, *_JOB),
        "PMI_RANK",
    ),
    # Not SLURM_NTASKS: a batch script has it, and is one process.
    _Launcher(
        "slurm",
        "SLURM_PROCID",
        "SLURM_STEP_NUM_TASKS",
        "",
        ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"),
        "SLURM_STEP_ID",
    ),
)
#: A process group whose ranks only the program knows: mp.spawn; a program that Lightning's rank 0
#: has started once more for each other rank of its host.
_GROUP = _Launcher("group", "", "", "", (*_MASTER, *_JOB), "MASTER_PORT")
_LIGHTNING = _Launcher("lightning", "", "", "", (*_MASTER, *_JOB), "LOCAL_RANK", True)
Starter = Callable[[str, bool], str]
_LOOPBACK = ("localhost", "127.", "::1", "[::1]")


def place(
    env: Mapping[str, str],
    group: Optional[tuple[int, int]] = None,
    starter: Starter = lambda variable, is_rank: "",
) -> Optional[Place]:
    """Where this process stands among its ranks; None when it is alone.

    Arguments:
        env: the environment.
        group: rank and size of torch's process group, where there is one: it is right.
        starter: names the process that gave this one a variable, or this one where the starter
            may be a rank; "" when it cannot be known.
    """
    launcher = next((each for each in _LAUNCHERS if _is_started_by(each, env)), None)
    if launcher is None:
        if group is None:
            return _child_of_lightning(env)
        launcher, started = _LIGHTNING if "NODE_RANK" in env else _GROUP, group
    else:
        started = int(env[launcher.rank]), int(env[launcher.world])
    rank, world = group or started
    if world == 1 or not is_rank(rank, world):
        return None
    # A group of a part: the others have the same key, and the same numbers.
    is_part = world < started[1]
    parts = {} if is_part else _identity(launcher, world, env, starter)
    if not parts:
        return Place(rank, world, None)
    job = {name: value for name, value in parts.items() if name not in _RESTARTS}
    if launcher.kind == "torchrun" and "starter" in parts:  # at a restart its port is another one
        job = {name: value for name, value in job.items() if name not in _MASTER}
    key = _key(launcher, {"world": str(world), **parts})
    return Place(rank, world, key, _key(launcher, job))


def _is_started_by(launcher: _Launcher, env: Mapping[str, str]) -> bool:
    given = (launcher.rank, launcher.world, launcher.own)
    return all(env.get(name) for name in given) and all(
        env[name].isdecimal() for name in (launcher.rank, launcher.world)
    )


def _child_of_lightning(env: Mapping[str, str]) -> Optional[Place]:
    """Lightning's rank 0 started this process, and had no variables when its program began.

    It has opened a run of its own there, if any. With a process group it finds the others.
    """
    local, world = env.get("LOCAL_RANK", ""), env.get("WORLD_SIZE", "")
    if "NODE_RANK" in env and local.isdecimal() and world.isdecimal() and int(local) > 0:
        return Place(int(local), max(int(world), int(local) + 1), None)
    return None


def _identity(
    launcher: _Launcher, world: int, env: Mapping[str, str], starter: Starter
) -> dict[str, str]:
    """What names the start, by variable."""
    parts = {name: env[name] for name in launcher.key if env.get(name)}
    if _is_on_one_host(launcher, world, env):
        started_by = starter(launcher.own, launcher.is_rank)
        parts.update({"starter": started_by} if started_by else {})
    return parts


def _key(launcher: _Launcher, parts: Mapping[str, str]) -> str:
    text = "\0".join([launcher.kind, *(f"{name}={value}" for name, value in parts.items())])
    return f"{launcher.kind}:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:32]}"


def _is_on_one_host(launcher: _Launcher, world: int, env: Mapping[str, str]) -> bool:
    if env.get(launcher.local_world) == str(world):
        return True
    return "MASTER_ADDR" in launcher.key and env.get("MASTER_ADDR", "").startswith(_LOOPBACK)


# ---- what is around this process -----------------------------------------------------------------


def here(given: Optional[tuple[int, int]] = None) -> Optional[Place]:
    """`place` of this process, or of the rank and world that are given.

    A process that a member started is alone, whatever it inherited.
    """
    member = os.environ.get(MEMBER_PID)
    if given is None and member and member != str(os.getpid()):
        return None
    return place(os.environ, given or _group(), _starter)


def note_member() -> None:
    """This process is a member from now on, and its children are not."""
    os.environ[MEMBER_PID] = str(os.getpid())


def _group() -> Optional[tuple[int, int]]:
    """Of torch, where the program has set a process group up; asks this process alone."""
    distributed: Any = getattr(sys.modules.get("torch"), "distributed", None)
    try:
        if distributed is None or not distributed.is_available():
            return None
        if not distributed.is_initialized():
            return None
        return distributed.get_rank(), distributed.get_world_size()
    except Exception:
        return None


def _starter(variable: str, is_rank: bool) -> str:
    """The first process, from this one upwards, that was started without the variable.

    This one has it from its own program: a child of multiprocessing was started by its parent, and
    of any other nobody knows by whom, unless it may be the starter. Without /proc it is the parent.
    """
    pid = os.getpid()
    while pid > 1 and _was_started_with(variable, pid):
        pid = _parent_of(pid)
    parent = multiprocessing.parent_process()
    if pid == os.getpid() and parent is not None:
        pid = parent.pid or pid
    elif pid == os.getpid() and not is_rank:
        return ""
    return "/".join([os.uname().nodename, str(pid), *_stat(pid)[19:20]])


def _was_started_with(variable: str, pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:  # of another user: the launcher's own
        return not os.path.isdir("/proc/self") and pid == os.getpid()
    return any(entry.startswith(variable.encode() + b"=") for entry in entries)


def _parent_of(pid: int) -> int:
    return os.getppid() if pid == os.getpid() else int(_stat(pid)[1] if _stat(pid) else 0)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name: state, parent, ...; the 20th is its start."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []
