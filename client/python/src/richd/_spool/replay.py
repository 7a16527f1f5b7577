"""Sends a spool that another process left to a daemon (proto/SPOOL.md, Replay).

Called by a program that is no training, in any thread: it waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Optional

from richd._link.endpoint import Finder, places
from richd._link.outbox import Outbox
from richd._link.session import Identity, Session
from richd._report import Reporter, RichdError
from richd._spool.file import DamagedError, SpoolFile
from richd._spool.spool import Spool, SpoolPlace, parse

_LOOK_S = 0.05
#: Of the greeting, what the session says itself.
_OWN = ("type", "writer", "attempt")


def replay(
    path: str,
    *,
    runtime_dir: Optional[str] = None,
    endpoint: Optional[str] = None,
    timeout: float = 60.0,
    on_progress: Optional[Callable[[float], Any]] = None,
) -> str:
    """Bring one spool to a daemon; returns the run's id. The file is removed when all is stored.

    Twice is once: a replay that was interrupted is taken up again by another call.

    Arguments:
        path: the file, as the training's last warning names it.
        runtime_dir, endpoint: where the daemon is, as for `init`.
        timeout: seconds without an answer of the daemon after which it gives up.
        on_progress: is called with the sent part of the file, from 0 to 1.

    Raises BlockingIOError while the training that writes the file lives, ValueError for a file that
    is no spool of this version, RichdError where no daemon takes it, as while another training is
    live under the run's id: a replay would end its attempt. Or OSError.
    """
    from richd._link.sender import Sender  # it needs pyzmq, which a program may be without

    file = SpoolFile.open(path)
    outbox = Outbox()
    try:
        identity, attempt = _identity_of(file)
        session = Session(identity, outbox)
        session.attempt = attempt
        session.greeting()  # what cannot be said again is found here
    except ValueError as error:
        file.close()
        raise DamagedError(f"{path} has no beginning: {error}") from error
    reporter = Reporter(identity.open_fields["run"], raise_errors=False)
    spool = Spool(SpoolPlace(os.path.dirname(path) or "."), "", session.greeting, outbox, reporter)
    spool.path = path
    spool.adopt(file, attempt)
    session.backlog = spool
    finder = Finder(places(endpoint, runtime_dir))
    sender = Sender(session, outbox, reporter, finder, spool=spool)
    _wait(sender, spool, timeout, on_progress)
    if os.path.exists(path):
        raise RichdError("ENOENT", reporter.stats().last_error or f"{path} was not taken")
    if on_progress is not None:  # also where all had its answer before the first look
        on_progress(1.0)
    return str(identity.open_fields["run"])


def _wait(
    sender: Any,
    spool: Spool,
    timeout: float,
    on_progress: Optional[Callable[[float], Any]],
) -> None:
    """Until all has its answer, or nothing was answered for `timeout` seconds."""
    sender.start()
    part, since = 0.0, time.monotonic()
    try:
        while spool.is_open and not sender.stopped and time.monotonic() - since < timeout:
            time.sleep(_LOOK_S)
            answered = spool.answered_part
            if answered > part:  # a new attempt's record makes the file longer, and the part less
                part, since = answered, time.monotonic()
                if on_progress is not None:
                    on_progress(part)
    finally:  # also at Ctrl-C: the file is free for the next try
        sender.stop(1.0)


def _identity_of(file: SpoolFile) -> tuple[Identity, int]:
    """Who wrote the file, and its attempt, 0 where it has none yet. Raises ValueError."""
    records = file.records()
    frames, _ = next(records, ([], 0))
    if len(frames) != 2:
        raise ValueError("its first record is not hello and open")
    hello, open_ = (parse(frame) for frame in frames)
    attempt = _member(open_, "attempt", int, 0)
    for frames, _ in records:
        if frames[0].startswith(b'{"type":"attempt"'):
            attempt = _member(parse(frames[0]), "attempt", int)
    for name in ("run", "project"):
        _member(open_, name, str)
    _member(_member(open_, "member", dict, {}), "rank", int, 0)
    fields = {name: value for name, value in open_.items() if name not in _OWN}
    fields["replay"] = True  # the writer's attempt, where the daemon knows one
    client, host = _member(hello, "client", str), _member(hello, "host", str)
    writer = _member(open_, "writer", str)
    return Identity(client, host, _member(hello, "pid", int), writer, fields), attempt


def _member(message: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """Raises ValueError where it is of another kind, below 0, or neither there nor optional."""
    value = message.get(name, default)
    if not isinstance(value, kind) or (isinstance(value, int) and value < 0):
        raise ValueError(f'its "{name}" is {value!r:.40}')
    return value
