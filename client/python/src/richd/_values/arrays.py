"""Arrays of any framework as contiguous rows in one of the protocol's dtypes.

Called by the training thread; the sender thread only waits for a copy off a GPU to arrive. It
imports no framework: a torch tensor can only be met when torch is loaded. The caller knows what the
rows mean.

A caller may overwrite its arrays in place as soon as the call returns, so rows are copied unless
the caller promises (`copy=False`) to leave them alone. Off a GPU the copy runs on a stream of its
own into pinned memory; the training thread does not wait for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional, Union

import numpy as np

from richd._link import wire as _wire
from richd._torch import lane as _lane

_NUMPY_CODES = {
    ("f", 4): _wire.DTYPE_F32,
    ("f", 8): _wire.DTYPE_F64,
    ("f", 2): _wire.DTYPE_F16,
    ("i", 4): _wire.DTYPE_I32,
    ("i", 8): _wire.DTYPE_I64,
}
_NATIVE_CODES = {np.dtype(f"f{size}"): _NUMPY_CODES["f", size] for size in (2, 4, 8)}
_DLPACK_CPU = 1
_MATRIX = 2


@dataclass
class Staged:
    """Rows in memory of their own (or lent): one frame, and how to wait until it is filled.

    `is_ready` says whether that wait is over; without it the sender waits, as for a copy off a GPU.
    """

    frame: Any
    wait_filled: Optional[Callable[[], None]] = None
    is_ready: Optional[Callable[[], bool]] = None


@dataclass
class HostRows:
    """An n x columns matrix in host memory. bf16 is carried as int16."""

    values: np.ndarray
    dtype: int
    is_ours: bool  # made by a conversion: nobody else can overwrite it

    @property
    def n_rows(self) -> int:
        """Rows of the matrix."""
        return self.values.shape[0]

    @property
    def n_columns(self) -> int:
        """Columns of the matrix."""
        return self.values.shape[1]

    def picked(self, index: np.ndarray) -> HostRows:
        """These rows, as a copy."""
        return HostRows(self.values[index], self.dtype, is_ours=True)

    def stage(self, start: int, stop: int, copy: bool) -> Staged:
        """Rows `start` to `stop` as a frame; shares memory with the source unless `copy`."""
        rows = self.values[start:stop]
        if copy and not self.is_ours:
            # Unlike copy() it keeps the interpreter's lock. The sender thread would take that, and
            # the training thread wait for it: 5 ms, where the copy of a batch takes less than 1.
            return Staged(rows.tobytes())
        return Staged(frame_of(rows))


@dataclass
class DeviceRows:
    """An n x columns torch tensor on an accelerator."""

    tensor: Any
    dtype: int

    @property
    def n_rows(self) -> int:
        """Rows of the matrix."""
        return self.tensor.shape[0]

    @property
    def n_columns(self) -> int:
        """Columns of the matrix."""
        return self.tensor.shape[1]

    def picked(self, index: np.ndarray) -> DeviceRows:
        """These rows, as a copy."""
        return DeviceRows(take_rows(self.tensor, index), self.dtype)

    def stage(self, start: int, stop: int, copy: bool) -> Staged:
        """Rows `start` to `stop` as a frame that is filled when `wait_filled` returns."""
        rows = self.tensor[start:stop]
        if rows.device.type != "cuda":
            return Staged(frame_of(_torch_to_numpy(rows.cpu())))
        return _stage_cuda(rows, copy)


@dataclass
class LaterRows:
    """An n x columns matrix of JAX that is still computed, or lies on another device.

    `array` has its values in any shape; `index` says which of its rows are meant, None: all.
    """

    array: Any
    n_rows: int
    n_columns: int
    dtype: int
    index: Optional[np.ndarray] = None

    def picked(self, index: np.ndarray) -> LaterRows:
        """These rows. JAX would compile an indexing for each number of rows, so it is not asked."""
        chosen = index if self.index is None else self.index[index]
        return replace(self, n_rows=len(index), index=chosen)

    def stage(self, start: int, stop: int, copy: bool) -> Staged:
        """Rows `start` to `stop` as a frame that is filled when `wait_filled` returns.

        JAX writes into no array, so it need not be copied now; one that was donated is lost.
        """
        size = self.n_columns * _wire.DTYPE_SIZE[self.dtype]
        frame = bytearray((stop - start) * size)

        def fill() -> None:
            frame[:] = frame_of(self.values[start:stop])

        return Staged(frame, fill)

    @property
    def values(self) -> np.ndarray:
        """The matrix in host memory, once it is there."""
        array = np.asarray(self.array).reshape(-1, self.n_columns)
        rows = array if self.index is None else array[self.index]
        return rows.view(np.int16) if self.dtype == _wire.DTYPE_BF16 else rows


Rows = Union[HostRows, DeviceRows, LaterRows]


def row_bytes(rows: Rows) -> int:
    """Bytes of one row."""
    return rows.n_columns * _wire.DTYPE_SIZE[rows.dtype]


def frame_of(array: np.ndarray) -> memoryview:
    """The bytes of a C-contiguous array, without a copy."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).data


def as_rows(values: Any, what: str) -> Rows:
    """Real values of shape (..., columns) as (n, columns); (n,) becomes (n, 1).

    float32, float64, float16 and bfloat16 stay what they are; other real types become float32
    (float64 where they need it). Raises ValueError, naming `what`, for anything else.
    """
    torch = _torch_of(values)
    if torch is not None:
        return _rows_of_tensor(torch, values.detach(), what)
    later = _later_rows(values) if _is_of_jax(values) else None
    if later is not None:
        return later
    array = _as_numpy(values)
    if hasattr(array, "detach"):
        return _rows_of_tensor(sys.modules["torch"], array.detach(), what)
    return _rows_of_numpy(array, what)


def as_labels(values: Any) -> Rows:
    """Class labels of shape (...) as (n, 1) of int32 or int64. Raises ValueError otherwise."""
    torch = _torch_of(values)
    if torch is not None:
        tensor = values.detach()
        if tensor.is_floating_point() or tensor.is_complex():
            raise ValueError(f"labels are integers, not {tensor.dtype}")
        wide = tensor if tensor.dtype == torch.int32 else tensor.to(torch.int64)
        wide = wide.reshape(-1, 1).contiguous()
        code = _wire.DTYPE_I32 if wide.dtype == torch.int32 else _wire.DTYPE_I64
        if wide.device.type != "cpu":
            return DeviceRows(wide, code)
        return HostRows(wide.numpy(), code, is_ours=not _shares(wide, values))
    array = _as_numpy(values)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iub":
        raise ValueError(f"labels are integers, not {getattr(array, 'dtype', type(array))}")
    small = array.dtype.itemsize < 4 or array.dtype == np.int32
    column = np.ascontiguousarray(array.astype(np.int32 if small else np.int64, copy=False))
    column = column.reshape(-1, 1)
    code = _NUMPY_CODES["i", column.dtype.itemsize]
    return HostRows(column, code, is_ours=not np.may_share_memory(column, array))


def subsample(n_rows: int, n_wanted: int, generator: np.random.Generator) -> np.ndarray:
    """`n_wanted` of `n_rows` indices, ascending: one drawn from each of `n_wanted` equal strides.

    A draw within the stride, and not its first row, so that rows with a period (the positions of
    a sequence) are all met.
    """
    stride = n_rows / n_wanted
    starts = np.arange(n_wanted) * stride
    picks = (starts + generator.random(n_wanted) * stride).astype(np.int64)
    return np.minimum(picks, n_rows - 1)


def take_rows(values: Any, index: np.ndarray) -> Any:
    """Rows `index` of a (n, columns) array or tensor, as a copy."""
    torch = _torch_of(values)
    if torch is None:
        return values[index]
    return values.index_select(0, _on_device_of(values, index))


def _on_device_of(tensor: Any, index: np.ndarray) -> Any:
    chosen = sys.modules["torch"].from_numpy(index)
    if tensor.device.type == "cpu":
        return chosen
    return chosen.to(tensor.device, non_blocking=True)


def join(parts: Sequence[Any]) -> Any:
    """The rows of arrays, or of tensors, one behind the other, as a copy."""
    torch = _torch_of(parts[0])
    return np.concatenate(parts) if torch is None else torch.cat(parts)


def copies_of_rows(tensors: Sequence[Any], index: Optional[np.ndarray]) -> list[Any]:
    """The same of several tensors on one device; without an index all of their rows."""
    if index is None:
        return [tensor.clone() for tensor in tensors]
    chosen = _on_device_of(tensors[0], index)
    return [tensor.index_select(0, chosen) for tensor in tensors]


def as_array(values: Any) -> Any:
    """A torch tensor, without its gradient, or a numpy array: what can be indexed alike."""
    return values.detach() if _torch_of(values) is not None else _as_numpy(values)


def _torch_of(values: Any) -> Any:
    """The torch module when `values` is one of its tensors, or None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(values, torch.Tensor) else None


def _is_of_jax(values: Any) -> bool:
    """Whether it is an array of JAX, and no stand-in for one that is traced."""
    jax = sys.modules.get("jax")
    array = getattr(jax, "Array", None)
    return array is not None and isinstance(values, array) and hasattr(values, "is_ready")


def _later_rows(values: Any) -> Optional[LaterRows]:
    """Begin the copy of rows that are not in host memory yet; None where one can read them now."""
    on_host = all(device.platform == "cpu" for device in values.devices())
    dtype = values.dtype
    code = _wire.DTYPE_BF16 if dtype.name == "bfloat16" else _NATIVE_CODES.get(dtype)
    if code is None or values.size == 0 or values.ndim == 0 or (on_host and values.is_ready()):
        return None
    values.copy_to_host_async()
    columns = values.shape[-1] if values.ndim >= _MATRIX else 1
    return LaterRows(values, values.size // columns, columns, code)


def _as_numpy(values: Any) -> Any:
    """A numpy array; a torch tensor for DLPack memory on a device."""
    if isinstance(values, np.ndarray):
        return values
    if _is_of_jax(values):
        return np.asarray(values)  # DLPack knows no shards
    if hasattr(values, "__dlpack__") and hasattr(values, "__dlpack_device__"):
        if values.__dlpack_device__()[0] != _DLPACK_CPU and "torch" in sys.modules:
            return sys.modules["torch"].utils.dlpack.from_dlpack(values)
        if not hasattr(values, "__array__"):
            return np.from_dlpack(values)
    if hasattr(values, "get") and not hasattr(values, "__array__"):
        return np.asarray(values.get())  # CuPy
    return np.asarray(values)


def _rows_of_numpy(array: np.ndarray, what: str) -> HostRows:
    code = _NATIVE_CODES.get(array.dtype)
    if code and array.ndim == _MATRIX and array.flags.c_contiguous and type(array) is np.ndarray:
        return HostRows(array, code, is_ours=False)
    if array.dtype.kind == "V" and array.dtype.name == "bfloat16":  # of ml_dtypes, from JAX
        values, code = array.view(np.int16), _wire.DTYPE_BF16
    else:
        values, code = _to_real(array, what)
    matrix = np.ascontiguousarray(_flatten(values, what))
    return HostRows(matrix, code, is_ours=not np.may_share_memory(matrix, array))


def _to_real(array: np.ndarray, what: str) -> tuple[np.ndarray, int]:
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind not in "fiub":
        raise ValueError(f"{what} are {array.dtype}, not real numbers")
    if kind == "f" and size <= 8:
        real = array.astype(array.dtype.newbyteorder("<"), copy=False)
    else:
        wide = kind == "f" or size >= 4
        real = array.astype(np.float64 if wide else np.float32)
    return real, _NUMPY_CODES["f", real.dtype.itemsize]


def _rows_of_tensor(torch: Any, tensor: Any, what: str) -> Rows:
    codes = {
        torch.float32: _wire.DTYPE_F32,
        torch.float64: _wire.DTYPE_F64,
        torch.float16: _wire.DTYPE_F16,
        torch.bfloat16: _wire.DTYPE_BF16,
    }
    real = tensor
    if tensor.is_complex():
        raise ValueError(f"{what} are {tensor.dtype}, not real numbers")
    if tensor.dtype not in codes:
        wide = tensor.dtype in (torch.int32, torch.int64)
        real = tensor.to(torch.float64 if wide else torch.float32)
    matrix = _flatten(real, what).contiguous()
    code = codes[matrix.dtype]
    if matrix.device.type != "cpu":
        return DeviceRows(matrix, code)
    return HostRows(_torch_to_numpy(matrix), code, is_ours=not _shares(matrix, tensor))


def _flatten(values: Any, what: str) -> Any:
    if values.ndim == 0:
        raise ValueError(f"{what} are a single number, not rows")
    if values.ndim == 1:
        return values.reshape(-1, 1)
    if values.ndim == _MATRIX:
        return values
    return values.reshape(-1, values.shape[-1])


def _shares(tensor: Any, other: Any) -> bool:
    return tensor.data_ptr() == other.data_ptr()


def _torch_to_numpy(tensor: Any) -> np.ndarray:
    """A CPU tensor's memory as numpy sees it; bf16, which numpy lacks, as int16."""
    torch = sys.modules["torch"]
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    return tensor.numpy()


def stage_off(flags: Any) -> Staged:
    """The bytes of a boolean tensor on a CUDA device, on their way to the host."""
    return _stage_cuda(flags.to(sys.modules["torch"].uint8), copy=False)


_lanes: dict[Any, _lane.CudaLane] = {}


def _stage_cuda(rows: Any, copy: bool) -> Staged:
    """Start a copy of `rows` into pinned memory on a stream of its own."""
    torch = sys.modules["torch"]
    if torch.cuda.is_current_stream_capturing():
        raise ValueError("rows cannot be taken while a CUDA graph is captured")
    # The clone is ordered before whatever the caller does next with its tensor; the slow copy
    # over the bus then reads memory that nobody writes.
    rows = rows.clone(memory_format=torch.contiguous_format) if copy else rows.contiguous()
    lane = _lanes.get(rows.device)
    if lane is None:
        lane = _lanes[rows.device] = _lane.CudaLane(rows.device, torch.cuda)
    with lane.behind_training(rows):
        (values,), wait = lane.to_host([rows])
    return Staged(frame_of(values), wait)
