"""The bytes of a data message: the 64-byte header and the dtype codes of proto/INGEST.md.

Pure functions without state, any thread. What the frames after the header hold is left to
`_arrays` and `_moments`, when to send them to `_session`.
"""

from __future__ import annotations

import struct
import unicodedata
from dataclasses import dataclass

MAGIC = b"RICH"
VERSION = 1

KIND_ROWS = 1
KIND_MOMENTS = 2

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
OUTPUTS_MAX = 65536
LAYER_NAME_MAX = 128
SCALAR_NAME_MAX = 128
SCALARS_MAX = 1024
TEXT_MAX = 256
#: Integers in JSON are exact in a double below this.
INTEGER_MAX = (1 << 53) - 1

_LAYOUT = struct.Struct("<4sHBBQqQIIIIBBBB12x")
HEADER_SIZE = _LAYOUT.size


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
        header = cls(kind, *rest, n_more=n_more)
        header.check()
        return header

    def check(self) -> None:
        """Raise WireError unless every field is in its range and fits the others."""
        if self.kind not in (KIND_ROWS, KIND_MOMENTS):
            raise WireError(f"kind is {self.kind}, known are {KIND_ROWS} and {KIND_MOMENTS}")
        _check_range("seq", self.seq, 1, (1 << 64) - 1)
        _check_range("step", self.step, 0, (1 << 63) - 1)
        _check_range("rows_before", self.rows_before, 0, (1 << 64) - 1)
        _check_range("n_more", self.n_more, 0, LAYERS_MAX - 1 if self.kind == KIND_ROWS else 0)
        _check_range("n_rows", self.n_rows, 0, (1 << 32) - 1)
        _check_range("n_features", self.n_features, 1, FEATURES_MAX)
        _check_range("n_outputs", self.n_outputs, 1, OUTPUTS_MAX)
        _check_range("n_targets", self.n_targets, 0, (1 << 32) - 1)
        self._check_dtypes()

    def _check_dtypes(self) -> None:
        features = REAL_DTYPES if self.kind == KIND_ROWS else (DTYPE_F32, DTYPE_F64)
        _check_member("features_dtype", self.features_dtype, features)
        _check_member("outputs_dtype", self.outputs_dtype, REAL_DTYPES)
        _check_member(
            "targets_dtype", self.targets_dtype, (DTYPE_NONE, *REAL_DTYPES, *LABEL_DTYPES)
        )
        _check_member("weights_dtype", self.weights_dtype, (DTYPE_NONE, *REAL_DTYPES))
        if self.kind == KIND_MOMENTS and (self.targets_dtype or self.weights_dtype):
            raise WireError("moments come without targets and weights")
        if (self.targets_dtype == DTYPE_NONE) != (self.n_targets == 0):
            raise WireError(
                f"n_targets is {self.n_targets} with targets_dtype {self.targets_dtype}"
            )


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
