"""The triangle of a head's weights on a GPU, without a wait: `_values.head` says what it is.

Called by the training thread, at checkpoints. The decomposition runs on the training's own stream,
in order with the optimizer, whose next step writes into the weights; the thread only starts it. The
sender waits for the copy, and finds there whether the weights were finite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

import numpy as np

from richd._torch import products as _products
from richd._torch.lane import Lane
from richd._torch.sums import packed_triangle
from richd._values import head as _head


def start(weight: Any, lane: Lane) -> tuple[np.ndarray, Callable[[], None]]:
    """R of W (C, p), packed, and what waits until it is there.

    That raises ValueError when a weight is not finite.
    """
    import torch

    with _products.as_written(weight.device):
        r = _head.triangle_torch(torch, weight)
        missing = r.shape[1] - r.shape[0]  # C < p: no more directions
        whole = torch.nn.functional.pad(r, (0, 0, 0, missing)) if missing > 0 else r
        (packed,), wait = lane.to_host([packed_triangle(whole, whole.dtype)])
    return packed, lambda: _check(packed, wait)


def _check(packed: np.ndarray, wait: Optional[Callable[[], None]]) -> None:
    if wait is not None:
        wait()
    if not np.isfinite(packed).all():
        raise ValueError("the head's weights are not finite")
