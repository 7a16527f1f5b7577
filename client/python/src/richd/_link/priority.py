"""How a thread of ours stands behind the training. Called by that thread, when it begins."""

from __future__ import annotations

import contextlib
import os
import threading

#: What the thread is nicer than the training by.
NICENESS = 10


def step_back() -> None:
    """Let the training go first; the threads that this one starts inherit it."""
    if not hasattr(os, "SCHED_BATCH"):  # elsewhere a thread has no priority of its own
        return
    thread = threading.get_native_id()
    with contextlib.suppress(OSError):
        niceness = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, niceness + NICENESS)
        os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))
