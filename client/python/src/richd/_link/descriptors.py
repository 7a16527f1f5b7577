"""How many descriptors the process may still take: a quarter of them is left to the training.

Any thread. What the sender opens is counted before it is opened.
"""

from __future__ import annotations

import errno
import os
import resource


class ScarceError(Exception):
    """The process has too few descriptors left; the text has the numbers."""


def check_descriptors(wanted: int) -> None:
    """Raise ScarceError unless `wanted` can be taken, and a quarter of the limit is left."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return
    try:
        used = len(os.listdir("/proc/self/fd"))
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            return  # no /proc: nobody can tell
        used = limit
    if used + wanted > limit - limit // 4:
        raise ScarceError(
            f"{used} of {limit} descriptors are taken (ulimit -n), and a quarter is left to the "
            "training"
        )
