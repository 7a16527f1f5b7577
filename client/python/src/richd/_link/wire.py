"""The bytes of a data message: the 64-byte header and the dtype codes of proto/INGEST.md.

Pure functions without state, any thread. `_arrays` and `_moments` make the frames after the header,
and `_session` decides when they are sent.
"""

from __future__ import annotations

import struct
import unicodedata
from dataclasses import dataclass, replace

MAGIC = b"RICH"
VERSION = 1

KIND_ROWS = 1
KIND_MOMENTS = 2
KIND_HEAD = 3

DTYPE_NONE = 0
DTYPE_F32 = 1
DTYPE_F64 = 2
DTYPE_F16 = 3
DTYPE_BF16 = 4
DTYPE_I32 = 5
DTYPE_I64 = 6

#: Bytes of one value, by dtype code.
DTYPE_SIZE = (0, 4, 8, 2, 2, 4, 8)
REAL_DTYPES = (DTYPE_F32, DTYPE_F64, DTYPE_F16, DTYPE_BF16)
LABEL_DTYPES = (DTYPE_I32, DTYPE_I64)

#: Limits of proto/INGEST.md.
FRAME_MAX = 64 << 20
#: Layers that may share one message.
LAYERS_MAX = 64
CONTROL_MAX = 1 << 20
FEATURES_MAX = 65536
#: Outputs, or targets that are values, which come as columns; a head stands for more.
SENT_MAX = 16384
#: Classes of labels.
CLASSES_MAX = 1 << 24
HEAD_OUTPUTS_MAX = 1 << 24
LAYER_NAME_MAX = 128
SCALAR_NAME_MAX = 128
SCALARS_MAX = 1024
ROWS_MAX = (1 << 32) - 1
TEXT_MAX = 256
#: Integers in JSON are exact in a double below this.
INTEGER_MAX = (1 << 53) - 1

_LAYOUT = struct.Struct("<4sHBBQqQIIIIBBBBI8x")
HEADER_SIZE = _LAYOUT.size
#: Where a header has its kind, and its number of rows.
KIND_AT = 6
N_ROWS_AT = slice(32, 36)


_NONE = (DTYPE_NONE,)
_REDUCED = (DTYPE_F32, DTYPE_F64)
_TARGETS = (*_NONE, *REAL_DTYPES, *LABEL_DTYPES)
_DTYPE_FIELDS = ("features_dtype", "outputs_dtype", "targets_dtype", "weights_dtype")
#: The dtypes that each kind of message allows, in the order of _DTYPE_FIELDS.
_DTYPES = {
    KIND_ROWS: (REAL_DTYPES, (*_NONE, *REAL_DTYPES), _TARGETS, (*_NONE, *REAL_DTYPES)),
    KIND_MOMENTS: (_REDUCED, (*_NONE, *REAL_DTYPES), _NONE, (*_NONE, *REAL_DTYPES)),
    KIND_HEAD: (_REDUCED, _NONE, _TARGETS, (*_NONE, *REAL_DTYPES)),
}


class WireError(ValueError):
    """A header that breaks proto/INGEST.md; the text names the field and its value."""


@dataclass(frozen=True)
class Header:
    """The fields of a data message's header; the names are those of proto/INGEST.md.

    `seq` is the batch's number in its layer and attempt (from 1), `rows_before` the rows offered
    to the layer before it; both count dropped batches. `n_targets` is the number of classes when
    `targets_dtype` is an integer type, the number of target columns otherwise.
    """

    kind: int
    seq: int
    step: int
    rows_before: int
    n_rows: int
    n_features: int
    n_outputs: int
    n_targets: int = 0
    features_dtype: int = DTYPE_F32
    outputs_dtype: int = DTYPE_F32
    targets_dtype: int = DTYPE_NONE
    weights_dtype: int = DTYPE_NONE
    #: Of a head: the first row of its triangle in this slice.
    first_row: int = 0
    #: Layers that follow in this message and share its outputs.
    n_more: int = 0

    def encode(self) -> bytes:
        """The header's 64 bytes. Raises WireError when a field is out of its range."""
        self.check()
        return _LAYOUT.pack(
            MAGIC,
            VERSION,
            self.kind,
            self.n_more,
            self.seq,
            self.step,
            self.rows_before,
            self.n_rows,
            self.n_features,
            self.n_outputs,
            self.n_targets,
            self.features_dtype,
            self.outputs_dtype,
            self.targets_dtype,
            self.weights_dtype,
            self.first_row,
        )

    @classmethod
    def decode(cls, data: bytes) -> Header:
        """Read 64 bytes. Raises WireError, naming what is wrong."""
        if len(data) != HEADER_SIZE:
            raise WireError(f"a header has {HEADER_SIZE} bytes, not {len(data)}")
        magic, version, kind, n_more, *rest = _LAYOUT.unpack(data)
        if magic != MAGIC:
            raise WireError(f"magic is {magic!r}, not {MAGIC!r}")
        if version != VERSION:
            raise WireError(f"version is {version}, this is {VERSION}")
        if kind != KIND_HEAD:
            rest[-1] = 0  # first_row is reserved there
        header = replace(cls(kind, *rest), n_more=n_more)
        header.check()
        return header

    def check(self) -> None:
        """Raise WireError unless every field is in its range and fits the others."""
        if self.kind not in _DTYPES:
            raise WireError(f"kind is {self.kind}, known are {tuple(_DTYPES)}")
        _check_range("seq", self.seq, 1, (1 << 64) - 1)
        _check_range("step", self.step, 0, (1 << 63) - 1)
        _check_range("rows_before", self.rows_before, 0, (1 << 64) - 1)
        _check_range("n_more", self.n_more, 0, LAYERS_MAX - 1 if self.kind == KIND_ROWS else 0)
        _check_range("n_rows", self.n_rows, 0, ROWS_MAX)
        _check_range("n_features", self.n_features, 1, FEATURES_MAX)
        sent = self.outputs_dtype != DTYPE_NONE
        _check_range("n_outputs", self.n_outputs, 1, SENT_MAX if sent else HEAD_OUTPUTS_MAX)
        labels = self.targets_dtype in (DTYPE_I32, DTYPE_I64)
        _check_range("n_targets", self.n_targets, 0, CLASSES_MAX if labels else SENT_MAX)
        if self.kind == KIND_HEAD:
            _check_range("first_row", self.first_row, 0, self.n_features - 1)
            _check_range("n_rows", self.n_rows, 1, self.n_features - self.first_row)
        self._check_dtypes()

    def _check_dtypes(self) -> None:
        for name, allowed in zip(_DTYPE_FIELDS, _DTYPES[self.kind]):
            _check_member(name, getattr(self, name), allowed)
        if (self.targets_dtype == DTYPE_NONE) != (self.n_targets == 0):
            raise WireError(
                f"n_targets is {self.n_targets} with targets_dtype {self.targets_dtype}"
            )


class Form:
    """The header of a layer's batches but for their numbers: checked once, packed for each."""

    def __init__(self, **fields: int) -> None:
        """`fields` are those of Header but seq, step, rows_before, n_rows. Raises WireError."""
        header = Header(seq=1, step=0, rows_before=0, n_rows=1, **fields)
        _, _, kind, n_more, _, _, _, _, *self._rest = _LAYOUT.unpack(header.encode())
        self._first = (MAGIC, VERSION, kind, n_more)

    def encode(self, seq: int, step: int, rows_before: int, n_rows: int) -> bytes:
        """The 64 bytes with these numbers, which are ours and in their ranges."""
        return _LAYOUT.pack(*self._first, seq, step, rows_before, n_rows, *self._rest)


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise WireError(f"{name} is {value}, outside {low}..{high}")


def _check_member(name: str, value: int, allowed: tuple[int, ...]) -> None:
    if value not in allowed:
        raise WireError(f"{name} is {value}, allowed are {allowed}")


def check_layer_name(name: str) -> bytes:
    """The layer's name as its frame. Raises ValueError unless 1 to 128 bytes without controls."""
    if not isinstance(name, str):
        raise ValueError(f"a layer's name is a string, not {type(name).__name__}")
    try:
        frame = name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"the layer's name {name!r} is not valid Unicode") from error
    if not 1 <= len(frame) <= LAYER_NAME_MAX:
        raise ValueError(f"a layer's name has 1 to {LAYER_NAME_MAX} bytes, not {len(frame)}")
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise ValueError(f"the layer's name {name!r} has a control character")
    return frame
