"""Names for runs that were given none, and what a run's id may look like. Pure, any thread.

The operating system gives the random numbers: the seeded generators of the trainer stay as they
are.
"""

from __future__ import annotations

import re
import secrets

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


def new_name() -> str:
    """A readable name, as `swift-heron`."""
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}"


def new_run_id(name: str) -> str:
    """An id that shows the name: its slug and six random hex digits."""
    slug = _NOT_SLUG.sub("-", name.lower()).strip("-")[:50].strip("-") or "run"
    return f"{slug}-{secrets.token_hex(3)}"


def is_run_id(text: object) -> bool:
    """True for 1 to 64 of A-Z a-z 0-9 . _ - that do not start with a dot."""
    return isinstance(text, str) and _RUN_ID.fullmatch(text) is not None
