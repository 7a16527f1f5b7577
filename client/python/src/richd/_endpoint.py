"""Where the daemon listens: addresses given, or those in its endpoints.json.

Pure look-ups in arguments, environment and files, any thread. The sender asks again before every
connection attempt, so a daemon that starts after the training, or moves, is found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Optional

FILE_NAME = "endpoints.json"


def runtime_dirs(
    runtime_dir: Optional[str] = None, environ: Optional[Mapping[str, str]] = None
) -> Iterator[Path]:
    """The folders that may hold endpoints.json, first to last; a named one is the only one."""
    env = os.environ if environ is None else environ
    named = runtime_dir or env.get("RICHD_RUNTIME_DIR")
    if named:
        yield Path(named)
        return
    if env.get("XDG_RUNTIME_DIR"):
        yield Path(env["XDG_RUNTIME_DIR"]) / "richd"
    yield Path("/run/richd")
    if hasattr(os, "getuid"):
        yield Path(f"/tmp/richd-{os.getuid()}")


def find_endpoint(
    endpoint: Optional[str] = None,
    runtime_dir: Optional[str] = None,
    environ: Optional[Mapping[str, str]] = None,
) -> Optional[str]:
    """The ZeroMQ address of the daemon's ingest socket, or None when no daemon has left one.

    The first of: `endpoint`, RICHD_ENDPOINT, then `ingest` in the endpoints.json of `runtime_dir`,
    of RICHD_RUNTIME_DIR, of $XDG_RUNTIME_DIR/richd, /run/richd, /tmp/richd-UID. A named folder
    (argument or RICHD_RUNTIME_DIR) is the only one searched: a run must not land in another
    daemon because its own is away.
    """
    env = os.environ if environ is None else environ
    if endpoint:
        return endpoint
    if env.get("RICHD_ENDPOINT"):
        return env["RICHD_ENDPOINT"]
    for folder in runtime_dirs(runtime_dir, env):
        address = _read(folder)
        if address:
            return address
    return None


def find_feed(
    endpoint: Optional[str] = None,
    runtime_dir: Optional[str] = None,
    environ: Optional[Mapping[str, str]] = None,
) -> Optional[str]:
    """The address of the daemon's feed: `feed` in the same endpoints.json.

    With an `endpoint` given, of the first one that names it as `ingest`: the history must not be
    read from another daemon than the one that rows go to.
    """
    env = os.environ if environ is None else environ
    endpoint = endpoint or env.get("RICHD_ENDPOINT")
    for folder in runtime_dirs(runtime_dir, env):
        ingest = _read(folder)
        if ingest and endpoint in (None, "", ingest):
            return _read(folder, "feed")
    return None


def _read(folder: Path, member: str = "ingest") -> Optional[str]:
    """A member of the folder's endpoints.json; None when absent, foreign or half-written."""
    try:
        if folder.parent == Path("/tmp") and folder.lstat().st_uid != os.getuid():
            return None  # anyone may create a folder in /tmp
        address = json.loads((folder / FILE_NAME).read_text("utf-8")).get(member)
    except (OSError, ValueError, AttributeError):
        return None
    return address if isinstance(address, str) and address else None
