"""Products of centred rows on a torch device, right whatever the trainer has set around them.

Pure functions, any thread. Autocast would multiply in 16 bits, and TF32 rounds the factors of a
float32 product to 11 bits (D_LR is off by 1e-4 then). Both are switches of the trainer's: TF32's
is one for the whole process, and other threads and compiled code read it, so it is neither changed
nor asked. Double precision knows no such switch. Where double is slow, each float32 is the sum of
two numbers that TF32 leaves as they are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

#: CUDA devices whose double precision is half as fast as single or faster: P100, V100, A100, H100,
#: B200. On others it is 32 to 64 times slower.
_FAST_DOUBLE = ((6, 0), (7, 0), (8, 0), (9, 0), (10, 0))
#: Splits the 24 bits of a float32 13 from the end.
_SPLITTER = float((1 << 13) + 1)
#: Rows that are summed up in float32 at a time, then in double: a tensor core rounds its sums
#: towards zero, by some 2^-24 at each of the n / 8 steps.
SINGLE_ROWS = 512


@contextlib.contextmanager
def as_written(device: Any) -> Iterator[None]:
    """What runs inside computes in the types that its tensors have, and has no gradient."""
    import torch

    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def is_double_fast(device: Any) -> bool:
    """Whether the device multiplies doubles about as fast as float32."""
    import torch

    if device.type != "cuda":
        return True
    if torch.version.hip is not None:
        return True  # AMD's accelerators; what they lack in their graphics cards costs time alone
    return tuple(torch.cuda.get_device_capability(device)) in _FAST_DOUBLE


def gram_single(z: Any) -> Any:
    """Z'Z of z (n, p), about zero, as float32 products: (p, p), float64.

    With z = a + b, b below 2^-11 of z, Z'Z = A'A + A'B + B'A + B'B; the last is below the rounding.
    A'A and A'B are products of their own: what one adds to the sum of the other would be rounded at
    each step to a float32 of that sum. The error of each sum is about 2e-7 of its terms' absolute
    sum, as that of a float32 product of `SINGLE_ROWS` rows is.
    """
    import torch

    total = torch.zeros((z.shape[1], z.shape[1]), dtype=torch.float64, device=z.device)
    add_gram_single(total, z)
    return total


def add_gram_single(total: Any, z: Any) -> None:
    """Add Z'Z to `total` (p, p), float64, as `gram_single` computes it."""
    import torch

    for rows in z.to(torch.float32).split(SINGLE_ROWS):
        a, b = _halves(rows)
        mixed = a.T @ b
        total.add_(a.T @ a).add_(mixed + mixed.T)


def _halves(x: Any) -> tuple[Any, Any]:
    """a of 11 bits and b = x - a of 12 (Veltkamp 1968), float32; of b TF32 drops 2^-23 of x."""
    c = x * _SPLITTER
    a = c - (c - x)
    return a, x - a
