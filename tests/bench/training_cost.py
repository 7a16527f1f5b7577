"""What richd costs a training: wall and processor time, with it and without, as ratios.

    PYTHONPATH=client/python/src /usr/bin/python3 tests/bench/training_cost.py [ROUNDS]

A network of 2 layers of 512 is trained on batches of 512; a tap sees every step, and every tenth is
a checkpoint. Each kind of run is a process of its own, and they train one after the other, 20 steps
each, round after round, so that all of them meet the same machine. A ratio is the median over
rounds of a process's time to that of the training without richd in the same round, with the
quartiles beside it. Wall time is that of the steps; processor time is that of the whole process,
until its next turn: what its sender does after the steps is in it. On a busy machine these ratios
scatter by more than richd costs. So there is a second count, within each process: the processor
time of richd's calls on the training thread, and that of all other threads, which are richd's, as
shares of what the training thread takes without these calls. It knows nothing of caches and locks.

"one core": the trainer has one core, the daemon another. "all cores": the training computes on all
of them, and the daemon has none of its own. The daemon answers, is not there, or is stopped by
SIGSTOP. `all rows` is a tap with rows="all". The daemon is $RICHD_BUILD/richd (build/).
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Optional

ROOT = pathlib.Path(__file__).resolve().parents[2]
RICHD = pathlib.Path(os.environ.get("RICHD_BUILD", ROOT / "build")).resolve() / "richd"
BATCH, WIDTH, CLASSES = 512, 512, 10
STEPS, CHECKPOINT_EVERY = 20, 10
KINDS = ("bare", "bare again", "healthy", "absent", "stopped", "all rows")


# ---- a process that trains -----------------------------------------------------------------------


def train(runtime_dir: Optional[str], options: dict[str, Any]) -> None:
    """Take turns: a line of standard input asks for one, a line of standard output answers."""
    import torch

    torch.manual_seed(0)
    relu, linear = torch.nn.ReLU, torch.nn.Linear
    model = torch.nn.Sequential(
        linear(WIDTH, WIDTH), relu(), linear(WIDTH, WIDTH), relu(), linear(WIDTH, CLASSES)
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x, y = torch.randn(BATCH, WIDTH), torch.randint(CLASSES, (BATCH,))
    calls = Calls()
    checkpoint = watch(model, runtime_dir, options, calls)
    step, before = 0, [0.0, 0.0, 0.0]
    print("ready", flush=True)
    for _ in sys.stdin:
        now = [time.process_time(), time.thread_time(), calls.seconds]
        process, thread, inside = (a - b for a, b in zip(now, before))
        before = now
        began = time.perf_counter()
        for _ in range(STEPS):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            step += 1
            if step % CHECKPOINT_EVERY == 0:
                checkpoint(step)
        wall = time.perf_counter() - began
        print(json.dumps([wall, process, inside, process - thread, thread - inside]), flush=True)


class Calls:
    """The training thread's processor time in richd's calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            result = function(*args, **kwargs)
            self.seconds += time.thread_time() - began
            return result

        return call


def watch(
    model: Any, runtime_dir: Optional[str], options: dict[str, Any], calls: Calls
) -> Callable[[int], None]:
    """Watch the head, and wait for the daemon where there is one. Returns what marks a step."""
    if runtime_dir is None:
        return lambda step: None
    import richd
    from richd._torch.hook import Hook

    run = richd.init("bench", runtime_dir=runtime_dir)
    run.watch(model, layer="4", **options)
    while (pathlib.Path(runtime_dir) / "endpoints.json").exists() and run.attempt is None:
        time.sleep(0.01)
    Hook.__call__ = calls.counted(Hook.__call__)
    return calls.counted(lambda step: run.checkpoint(step=step))


# ---- the processes side by side ------------------------------------------------------------------


class Trainer:
    """A process that trains, and its daemon; `kind` is one of KINDS."""

    def __init__(self, kind: str, folder: pathlib.Path, cores: set[int]) -> None:
        self.daemon: Optional[subprocess.Popen[bytes]] = None
        folder.mkdir()
        if kind in ("healthy", "stopped", "all rows"):
            self.daemon = start_daemon(folder)
        runtime_dir = None if kind.startswith("bare") else str(folder)
        options = {"rows": "all"} if kind == "all rows" else {}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--train", json.dumps([runtime_dir, options])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(len(cores))},
        )
        os.sched_setaffinity(self.process.pid, cores)
        self._read()
        if kind == "stopped" and self.daemon:
            self.daemon.send_signal(signal.SIGSTOP)

    def turn(self) -> list[float]:
        """Train for some steps: seconds of wall, and of the processor in the turn before: of the
        process, of richd's calls, of other threads, of the training itself."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self._read())

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.daemon:
            self.daemon.send_signal(signal.SIGCONT)
            self.daemon.terminate()
            self.daemon.wait()


def start_daemon(folder: pathlib.Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [RICHD, "--runtime-dir", folder, "--state-dir", folder / "state", "--log-level", "error"]
    )
    while not (folder / "endpoints.json").exists():
        time.sleep(0.01)
    return process


def compare(label: str, cores: set[int], rounds: int) -> None:
    """Print a line for each kind: its ratios to the training without richd."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="rb") as name:
        trainers: list[Trainer] = []
        try:
            for number, kind in enumerate(KINDS):
                trainers.append(Trainer(kind, pathlib.Path(name) / str(number), cores))
            turns = [[trainer.turn() for trainer in trainers] for _ in range(rounds + 2)]
        finally:
            for trainer in trainers:
                trainer.end()
    times = np.array(turns)[2:]  # (rounds, kinds, 5); the first turns warm up
    ratios = np.quantile(times[..., :2] / times[:, :1, :2], (0.25, 0.5, 0.75), axis=0)
    calls, others, training = times[..., 2:].sum(axis=0).T
    step_ms = 1e3 * np.median(times[:, 0, 0]) / STEPS
    print(f"{label}: a step of {step_ms:.1f} ms, {rounds} rounds of {STEPS} steps")
    for i, kind in enumerate(KINDS):
        columns = "  ".join(f"{q[1]:.3f} ({q[0]:.3f} to {q[2]:.3f})" for q in ratios[:, i].T)
        own = f"{calls[i] / training[i]:8.2%}"
        own += f"{others[i] / training[i]:8.2%}" if len(cores) == 1 else ""
        print(f"  {kind:12}{columns}{own}", flush=True)


def main(rounds: int) -> None:
    print("ratios to the training without richd: wall, processor time; median (quartiles); then")
    print("the processor's time in richd's calls, and of its threads, as shares of the training's")
    cores = os.sched_getaffinity(0)
    compare("one core", {min(cores)}, rounds)
    compare("all cores", cores, rounds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        train(*json.loads(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
