"""A stream beside the training's: what is computed there, in what order, and how it leaves.

A lane is used by the training thread, which never waits: work is put behind an event of the
training stream, and runs when the device has room. What leaves the device is copied into pinned
memory; the sender thread waits for that. On the CPU the same calls compute at once.

Memory: tensors that are given to the lane are held by it until the device has read them, at most
`PENDING_BYTES_MAX`; beyond that `has_room` says no. What the lane allocates for itself comes from
torch's pool of its stream.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional, Protocol

import numpy as np

#: Rows that wait on the device for the lane.
PENDING_BYTES_MAX = 64 << 20
#: The sender looks at a flag in host memory for so long, then it asks CUDA. A call of CUDA's from
#: another thread breaks a graph that the training thread captures; a look at memory does not.
LOOK_S = 10.0
_LOOK_AGAIN_S = 0.001


class Lane(Protocol):
    """Where a device's reductions run."""

    def has_room(self, size_bytes: int) -> bool:
        """Whether tensors of so many bytes may be given to the lane now."""

    def now(self) -> Any:
        """What the training stream has at this moment, for `behind_training`."""

    def behind_training(
        self, *read: Any, since: Sequence[Any] = ()
    ) -> contextlib.AbstractContextManager[None]:
        """Inside, work runs behind all that the training stream has now, and had at `since`.

        `read` are its inputs.
        """

    def to_host(
        self, tensors: Sequence[Any]
    ) -> tuple[list[np.ndarray], Optional[Callable[[], None]]]:
        """Copies in host memory, by the current stream, and what waits until they are there."""


class HostLane:
    """The CPU: everything is done when a call returns."""

    def has_room(self, size_bytes: int) -> bool:
        return True

    def now(self) -> Any:
        return None

    def behind_training(
        self, *read: Any, since: Sequence[Any] = ()
    ) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def to_host(
        self, tensors: Sequence[Any]
    ) -> tuple[list[np.ndarray], Optional[Callable[[], None]]]:
        return [t.numpy() for t in tensors], None


class CudaLane:
    """A stream of one device. `cuda` is torch.cuda; tests give a recorder in its place."""

    def __init__(self, device: Any, cuda: Any) -> None:
        self._device = device
        self._cuda = cuda
        self._stream = cuda.Stream(device)
        self._pending: deque[tuple[Any, int]] = deque()
        self._pending_bytes = 0

    def has_room(self, size_bytes: int) -> bool:
        """One call's rows are always taken where nothing waits."""
        self._let_go()
        return not self._pending or self._pending_bytes + size_bytes <= PENDING_BYTES_MAX

    def _let_go(self) -> None:
        """Of what the device has read by now."""
        while self._pending and self._pending[0][0].query():
            self._pending_bytes -= self._pending.popleft()[1]

    def now(self) -> Any:
        event = self._cuda.Event()
        event.record(self._cuda.current_stream(self._device))
        return event

    @contextlib.contextmanager
    def behind_training(self, *read: Any, since: Sequence[Any] = ()) -> Iterator[None]:
        for event in (*since, self.now()):
            self._stream.wait_event(event)
        try:
            with self._cuda.stream(self._stream):
                yield
        finally:
            self._hold(read)

    def _hold(self, read: Sequence[Any]) -> None:
        """Their memory is not used again before the lane has read them."""
        self._let_go()
        for tensor in read:
            tensor.record_stream(self._stream)
        if read:
            done = self._cuda.Event()
            done.record(self._stream)
            size = sum(t.numel() * t.element_size() for t in read)
            self._pending.append((done, size))
            self._pending_bytes += size

    def to_host(
        self, tensors: Sequence[Any]
    ) -> tuple[list[np.ndarray], Optional[Callable[[], None]]]:
        import torch

        copies = [_pinned_copy(tensor) for tensor in tensors]
        # A stream's copies arrive in order, so the flag says that all of them have.
        flag = _pinned_copy(torch.ones(1, device=tensors[0].device), clear=True)
        arrived = self._cuda.Event()
        arrived.record(self._cuda.current_stream(self._device))
        return copies, lambda: _wait(flag, arrived)


def _pinned_copy(tensor: Any, clear: bool = False) -> np.ndarray:
    """A copy that is on its way; until it arrives, the memory is as it was, or 0.

    numpy has no bfloat16: it comes as int16.
    """
    import torch

    tensor = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
    if clear:
        host.zero_()
    host.copy_(tensor, non_blocking=True)
    return host.numpy()


def _wait(flag: np.ndarray, arrived: Any) -> None:
    """Until the flag is 1; where it does not come, CUDA says why."""
    deadline = time.monotonic() + LOOK_S
    while flag[0] == 0:
        if time.monotonic() >= deadline:
            arrived.synchronize()
            return
        time.sleep(_LOOK_AGAIN_S)


def lane_of(device: Any) -> Optional[Lane]:
    """A lane for a torch device; None for one that has no streams or no double precision."""
    import torch

    if device.type == "cuda":
        return CudaLane(device, torch.cuda)
    return HostLane() if device.type == "cpu" else None
