"""Has a daemon started where there is none, so that a script which names none has one all the same.

Called by `init`, and by a sender that has found none. The work is done in a thread of its own, one
for the process. The program is `richd --detach`: a process that starts the daemon in a session of
its own and ends, so the daemon is no child of the training, and no signal of its terminal reaches
it. Many trainings may do so at once: the daemon's lock lets one win, and the others find it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Optional

from richd._link.endpoint import NotFoundError, Places, find_record, takes_connections
from richd._place import binary, environment

#: How long the daemon stays after the last run, in seconds.
IDLE_S = 600
#: `init` waits so long for the daemon; on an idle machine a start takes 0.1 s.
WAIT_S = 2.0
#: So long the thread tries.
TRY_S = 20.0
#: One that another process starts is looked for so often, and so long before the next try: the
#: other one may have been killed.
LOOK_S = 0.05
OTHER_S = 1.0
#: Until the run was opened once, a start is tried again, not at once, and not for ever.
AGAIN_S = 2.0
AGAIN_N = 5
#: Exit code of a daemon whose directories another one has.
OTHER_HAS_IT = 75
#: What is a service's own, or would have the daemon take the training's directories for its own.
_FOREIGN = ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS")
_NO = ("0", "false", "no", "off")
_NO_PROGRAM = (
    "there is no program richd beside the package or on the PATH to start one: pip install the "
    "wheel, or make install; RICHD_AUTOSTART=0 asks for none"
)


def is_wanted(where: Places) -> bool:
    """Whether a daemon may be started: nobody said where it is, nor that there shall be none."""
    return where.is_open and os.environ.get("RICHD_AUTOSTART", "").lower() not in _NO


def live_record(where: Places) -> Optional[Mapping[str, Any]]:
    """The endpoints.json of a daemon that lives; None: there is none."""
    try:
        record = find_record(where)
    except NotFoundError:
        return None
    return record if takes_connections(record) else None  # of an unknown one: a second is worse


class Start:
    """One try to have a daemon, and what came of it."""

    def __init__(self, where: Places) -> None:
        self.problem = ""  # why there is none
        self._where = where
        self._record: Optional[Mapping[str, Any]] = None
        self._hearers: list[Callable[[Mapping[str, Any]], None]] = []
        self._lock = threading.Lock()
        self._done = threading.Event()

    @property
    def is_busy(self) -> bool:
        """It is not known yet what comes of it."""
        return not self._done.is_set()

    def wait(self, timeout: float) -> None:
        """Until it is known what came of it, or for `timeout` seconds."""
        self._done.wait(timeout)

    def tell(self, hearer: Callable[[Mapping[str, Any]], None]) -> None:
        """Call `hearer` with the endpoints of the daemon when there is one, once: now, or later.

        From the thread that starts it, or from this one.
        """
        with self._lock:
            if self._record is None:
                self._hearers.append(hearer)
                return
        hearer(self._record)

    def begin(self) -> None:
        """Look for a daemon, and have one started in a thread where there is none."""
        record = live_record(self._where)
        program = None if record else binary("richd")
        if record is not None or program is None:
            self.problem = "" if record else _NO_PROGRAM
            self._end(record)
            return
        try:
            thread = threading.Thread(
                target=self._run, args=(program,), name="richd-start", daemon=True
            )
            thread.start()
        except RuntimeError as error:
            self.problem = f"no thread to start one: {error}"
            self._end(None)

    def _run(self, program: str) -> None:
        record = None
        try:
            record = self._have_one(program)
        except Exception as error:
            self.problem = f"{program} could not be started: {error}"
        finally:
            self._end(record)

    def _end(self, record: Optional[Mapping[str, Any]]) -> None:
        with self._lock:
            self._record = record
            hearers, self._hearers = self._hearers, []
            self._done.set()
        if record is not None:
            for hearer in hearers:
                hearer(record)

    def _have_one(self, program: str) -> Optional[Mapping[str, Any]]:
        deadline = time.monotonic() + TRY_S
        while True:
            ended = _detach(program)
            if ended.returncode not in (0, OTHER_HAS_IT):
                said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
                self.problem = f"{program} does not start: {said[0] if said else ended.returncode}"
                return None
            record = self._look(min(OTHER_S, deadline - time.monotonic()))
            if record is not None:
                return record
            if time.monotonic() > deadline:
                break
        # A home of several machines has one daemon for all of them, and we may be on another one.
        self.problem = (
            "another richd has the state directory, maybe on another machine: RICHD_STATE_DIR "
            "names one of this machine"
            if ended.returncode == OTHER_HAS_IT
            else f"{program} was started, and no daemon answers"
        )
        return None

    def _look(self, timeout: float) -> Optional[Mapping[str, Any]]:
        deadline = time.monotonic() + timeout
        while True:
            record = live_record(self._where)
            if record is not None or time.monotonic() > deadline:
                return record
            time.sleep(LOOK_S)


def _detach(program: str) -> subprocess.CompletedProcess[bytes]:
    """Start the daemon; what ends here is the process that starts it, after 10 s at most."""
    env = {name: value for name, value in environment().items() if name not in _FOREIGN}
    return subprocess.run(
        [program, "--detach", "--idle-exit", str(IDLE_S)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        env=env,
        start_new_session=True,
        check=False,
    )


class _Shared:
    """The start of this process: many runs that begin at once have one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start: Optional[Start] = None
        self._where: Optional[Places] = None

    def begin(self, where: Places) -> Start:
        with self._lock:
            if self._start is None or not self._start.is_busy or self._where != where:
                self._start, self._where = Start(where), where
                self._start.begin()
            return self._start


_shared = _Shared()


def _forget() -> None:
    global _shared
    _shared = _Shared()


os.register_at_fork(after_in_child=_forget)


class Starter:
    """What a run's sender knows of the start: whether to be patient, and why there is none."""

    def __init__(self, where: Places) -> None:
        self._where = where
        self._again_at = 0.0
        self._n_left = AGAIN_N
        self._start: Optional[Start] = None

    def begin(self) -> Start:
        """Look for a daemon, and have one started where there is none."""
        self._again_at = time.monotonic() + AGAIN_S
        self._start = _shared.begin(self._where)
        return self._start

    def miss(self) -> None:
        """The run is not open yet, maybe since the daemon has gone again: look for one again."""
        if time.monotonic() >= self._again_at and self._n_left > 0:
            self._n_left -= 1
            with contextlib.suppress(Exception):
                self.begin()

    @property
    def is_busy(self) -> bool:
        """A daemon is about to be there."""
        return self._start is not None and self._start.is_busy

    @property
    def problem(self) -> str:
        """Why none could be started; "" when nothing is wrong."""
        return self._start.problem if self._start is not None else ""
