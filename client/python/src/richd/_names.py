"""Names for runs that were given none, and what a run's id may look like. Pure, any thread.

The operating system gives the random numbers: the seeded generators of the trainer stay as they
are.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence

_ADJECTIVES = (
    "amber bold brisk calm clear crisp deep early fair fleet gentle keen late lively mellow "
    "new plain quick quiet rapid sharp steady still swift tall warm wide wild young"
).split()
_NOUNS = (
    "aspen basin birch brook cedar cliff comet coral delta dune ember falcon fjord grove heron "
    "lark lynx maple marsh otter peak pine plover reef ridge river sparrow thicket tide willow"
).split()

_RUN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def new_name(seed: Sequence[str] = ()) -> str:
    """A readable name, as `swift-heron`: by chance, or the same for the same seed."""
    number = _number(seed)
    return f"{_ADJECTIVES[number % len(_ADJECTIVES)]}-{_NOUNS[number // 97 % len(_NOUNS)]}"


def new_run_id(name: str, seed: Sequence[str] = ()) -> str:
    """An id that shows the name: its slug and six random hex digits.

    With a seed it is the same for the same seed, whatever the name: ranks may put the time of day
    into theirs.
    """
    if seed:
        return f"{new_name(seed)}-{_number(seed):016x}"
    slug = _NOT_SLUG.sub("-", name.lower()).strip("-")[:50].strip("-") or "run"
    return f"{slug}-{secrets.token_hex(3)}"


def _number(seed: Sequence[str]) -> int:
    """64 bits."""
    if not seed:
        return secrets.randbits(64)
    digest = hashlib.sha256("\0".join(seed).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big")


def is_run_id(text: object) -> bool:
    """True for 1 to 64 of A-Z a-z 0-9 . _ - that do not start with a dot."""
    return isinstance(text, str) and _RUN_ID.fullmatch(text) is not None
