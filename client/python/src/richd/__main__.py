"""`python -m richd`: the daemon, in place of this process."""

from __future__ import annotations

import os
import sys

from richd import _place


def main() -> int:
    """Becomes the daemon; returns, with 127 as a shell does, only where there is none."""
    program = _place.binary("richd")
    if program is None:
        print("richd: there is no program richd beside this package, among the scripts of "
              f"{sys.executable} or on the PATH", file=sys.stderr)
    else:
        os.execve(program, [program, *sys.argv[1:]], _place.environment())
    return 127


if __name__ == "__main__":
    sys.exit(main())
