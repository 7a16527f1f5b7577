"""Named numbers that a program logs: what may be stored of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from richd._link import wire as _wire
from richd._values import clean as _clean


def numbers(
    scalars: Mapping[str, Any], rank: int
) -> tuple[dict[str, Optional[float]], list[str]]:
    """The values by name, and why those that cannot be stored are left out."""
    if not isinstance(scalars, Mapping):
        what = type(scalars).__name__
        raise ValueError(f"log takes numbers by name, {{'loss': 0.1}}, not a {what}")
    values, left_out = {}, []
    for name, value in scalars.items():
        try:
            said = f"{name}@rank{rank}" if rank > 0 else name
            values[_check_scalar_name(said)] = _clean.number(value)
        except ValueError as error:
            left_out.append(f"{name!r} is left out: {error}")
    return values, left_out


def _check_scalar_name(name: Any) -> str:
    text = _clean.text(name, _wire.CONTROL_MAX)
    if not 1 <= len(text.encode()) <= _wire.SCALAR_NAME_MAX:
        raise ValueError(f"a scalar's name has 1 to {_wire.SCALAR_NAME_MAX} bytes: {text[:40]!r}")
    return text
