"""Writes points as TensorBoard scalars.

A SummaryWriter that was given (torch's, tensorboardX's or tensorboard's own) is the program's: its
scalars stand in one run with the loss, and it stays open. By name, a folder runs/RUN_ID is made,
which TensorBoard shows beside the program's where that logs into runs/ as well.
"""

from __future__ import annotations

import os
from typing import Any, Optional


class TensorBoard:
    """One writer."""

    def __init__(self, writer: Any, is_own: bool = False) -> None:
        self._writer = writer
        self._is_own = is_own

    @classmethod
    def in_folder(cls, run_id: str) -> TensorBoard:
        """Into runs/RUN_ID, below where the program runs. Importing tensorboard takes a second."""
        from tensorboard.summary import Writer

        return cls(Writer(os.path.join("runs", run_id)), is_own=True)

    def look(self) -> None:
        """There is nothing to find."""

    def write(self, values: dict[str, float], step: int, time: Optional[float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.flush()
        if self._is_own:
            self._writer.close()
