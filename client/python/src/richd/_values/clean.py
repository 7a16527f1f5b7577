"""What people hand to `init` and `log`, made into JSON that the daemon accepts.

Pure functions, any thread. The daemon refuses text with NUL or lone surrogates, nesting beyond 32
levels and numbers that are not finite; here each is replaced by something that the daemon accepts,
because a configuration that looks odd is better than a run that is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from richd._link import wire as _wire

#: Levels of a configuration that are kept; below the daemon's 32, for the message around it.
DEPTH_MAX = 24


def text(value: Any, max_bytes: int = _wire.TEXT_MAX) -> str:
    """`value` as text of at most `max_bytes` of UTF-8, cut between characters."""
    clean = str(value).replace("\0", "")
    data = clean.encode("utf-8", "replace")[:max_bytes]
    return data.decode("utf-8", "ignore")


def check_choice(what: str, value: Optional[str], choices: Sequence[str]) -> None:
    """Raise ValueError unless `value` is None or one of `choices`."""
    if value is not None and value not in choices:
        raise ValueError(f"{what} is one of {', '.join(choices)}, not {value!r}")


def number(value: Any) -> Optional[float]:
    """A finite number as float (a Python or numpy scalar, a 0-d array or tensor), else None.

    Raises ValueError for a value that is no number. It waits for a tensor on a GPU.
    """
    if isinstance(value, str):
        raise ValueError(f"{value!r} is text, not a number")
    try:
        real = float(value)
    except OverflowError:
        return None
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{type(value).__name__} is not a single number") from error
    return real if math.isfinite(real) else None


def config(value: Any) -> dict[str, Any]:
    """A mapping, argparse.Namespace or dataclass as a JSON object. Raises ValueError otherwise."""
    if value is None:
        return {}
    fields = value if isinstance(value, Mapping) else getattr(value, "__dict__", None)
    if not isinstance(fields, Mapping):
        what = type(value).__name__
        raise ValueError(f"config is a mapping, or an object with attributes, not of type {what}")
    clean = _plain(fields, DEPTH_MAX)
    return clean if isinstance(clean, dict) else {}


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= _wire.INTEGER_MAX else str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return text(value, _wire.CONTROL_MAX)
    if depth > 0 and isinstance(value, Mapping):
        return {text(k): _plain(v, depth - 1) for k, v in value.items()}
    if depth > 0 and isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v, depth - 1) for v in value]
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return _plain(value.item(), depth - 1) if depth > 0 else text(value)
    return text(value)
