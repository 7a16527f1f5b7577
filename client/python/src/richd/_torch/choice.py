"""Which calls of a watched module are taken, and which rows of them: the options of `Run.watch`.

Called by the threads that run the model, in hooks. `_watch` has the hooks, `_thinning` draws the
rows where nobody said how many.
"""

from __future__ import annotations

from typing import Any, Optional, Union

import numpy as np

from richd._torch.phase import split_of
from richd._values import arrays as _arrays
from richd._values.thinning import Draw, Thinning, Turn
from richd._values.tokens import Position, Tokens

#: The copies of one pass take at most so many bytes; beyond that fewer rows are drawn. It is half
#: of what the queue holds, so that a pass finds room while another one is sent.
PASS_BYTES_MAX = 32 << 20


class Choice:
    """Which calls and rows a tap takes, and under which split; the options of `Run.watch`.

    Raises ValueError for options that mean nothing.
    """

    def __init__(
        self,
        rows: Union[None, int, str] = None,
        every: int = 1,
        train_only: bool = False,
        position: Position = None,
        tokens: Optional[int] = None,
        splits: bool = True,
        pool: Optional[str] = None,
        batch_first: bool = True,
        thinning: Optional[Thinning] = None,
    ) -> None:
        if isinstance(rows, str) and rows not in ("auto", "all"):
            raise ValueError(f'rows is a number, "all" or "auto", not {rows!r}')
        self._rows = None if isinstance(rows, str) else rows
        if every < 1 or (self._rows is not None and self._rows < 1):
            raise ValueError(f"every and rows are at least 1, not every={every}, rows={rows}")
        self.thinning = thinning if rows == "auto" else None
        if self.thinning is not None:
            self.thinning.takes_all_passes = every > 1  # which ones, is said
        self.tokens = Tokens(position, tokens, pool, batch_first)
        self._every = every
        self._train_only = train_only
        self._splits = splits
        # Its own generator, with a fixed seed: the trainer's random numbers stay as they are.
        self._generator = np.random.default_rng(0)

    def split_of(self, module: Any) -> Optional[str]:
        """The split of a call in the module's mode: "train" or "eval"; None: it is not taken.

        Rows that need no gradient are those of an evaluation, also where the module is still in
        training mode. A call that only records the model has no rows.
        """
        split = split_of(module)
        return split if split == "train" or not self._train_only else None

    def takes_call(self, number: int) -> bool:
        """Whether a split's call of that number, from 1, is one of each `every`."""
        return (number - 1) % self._every == 0

    def name_of(self, split: str) -> Optional[str]:
        """The split's name in richd; None: rows of training."""
        return "eval" if self._splits and split == "eval" else None

    def draw(self, n: int, row_bytes: int, split: Optional[str], turn: Turn) -> Draw:
        """Which rows to take of n, of so many bytes each."""
        if self.thinning is not None:
            return self.thinning.draw(split, n, row_bytes, turn)
        most = max(1, PASS_BYTES_MAX // max(1, row_bytes))
        wanted = most if self._rows is None else min(self._rows, most)
        index = None if n <= wanted else _arrays.subsample(n, wanted, self._generator)
        return Draw(index, n)
