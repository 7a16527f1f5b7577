"""What people hand to `init` and `log`, made into JSON that the daemon accepts.

Pure functions, any thread. The daemon refuses text with NUL or lone surrogates, nesting beyond 32
levels and numbers that are not finite; here each is replaced by something that the daemon accepts,
because a configuration that looks odd is better than a run that is refused.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import functools
import math
import types
from collections.abc import Callable, Mapping, Sequence
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
    """A mapping, or an object with fields (Namespace, dataclass, pydantic), as a JSON object.

    Nested ones become objects as well, lists and tuples arrays, enumerations their values, paths
    and all else text. A value that raises when it is read becomes the name of what it raised.
    Raises ValueError for a value without fields.
    """
    if value is None:
        return {}
    fields = _fields_of(value)
    if fields is None:
        what = type(value).__name__
        raise ValueError(f"config is a mapping, or an object with fields, not of type {what}")
    return _object(fields, DEPTH_MAX)


#: How to read each field: a configuration may raise for one, and have the others.
_Fields = list[tuple[Any, Callable[[], Any]]]


def _fields_of(value: Any) -> Optional[_Fields]:
    """The fields of a mapping or of an object that is one at heart; None for others."""
    if isinstance(value, type):
        return None
    if isinstance(value, Mapping):
        return [(key, functools.partial(value.__getitem__, key)) for key in value]
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    elif hasattr(value, "_asdict"):
        names = list(value._fields)
    elif isinstance(getattr(value, "__dict__", None), Mapping):
        names = list(vars(value))
    else:
        return None
    return [(name, functools.partial(getattr, value, name)) for name in names]


def _object(fields: _Fields, depth: int) -> dict[str, Any]:
    return {_said(key): _read(read, depth - 1) for key, read in fields}


def _read(read: Callable[[], Any], depth: int) -> Any:
    try:
        return _plain(read(), depth)
    except Exception as error:
        return f"<{type(error).__name__}>"


def _said(value: Any) -> str:
    """`value` as text, whatever its __str__ does."""
    try:
        return text(value, _wire.CONTROL_MAX)
    except Exception:
        return f"<{type(value).__name__}>"


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, enum.Enum) and not isinstance(value, (int, str)):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= _wire.INTEGER_MAX else str(int(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, str) or depth <= 0:
        return _said(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return _plain(value.item(), depth - 1)
    if isinstance(value, (list, tuple, set, frozenset)) and not hasattr(value, "_asdict"):
        return [_plain(item, depth - 1) for item in value]
    if _is_record(value):
        return _object(_fields_of(value) or [], depth)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_read(functools.partial(value.__getitem__, i), depth) for i in range(len(value))]
    return _said(value)


def _is_record(value: Any) -> bool:
    """Whether a value in a configuration is one more configuration, and not an object at work."""
    return not isinstance(value, type) and (
        isinstance(value, (Mapping, argparse.Namespace, types.SimpleNamespace))
        or dataclasses.is_dataclass(value)
        or hasattr(value, "_asdict")
        or hasattr(type(value), "model_fields")  # pydantic 2
        or hasattr(type(value), "__fields__")  # pydantic 1
    )
