"""Writes points as MLflow metrics.

The training thread finds the run, as MLflow knows the active run by thread; the mirror's own thread
writes to it by its id, one request a point. None is started here. Names keep what MLflow takes:
letters, digits and _ - . / ; of anything else a dot is made, as in head.eval for head@eval.
"""

from __future__ import annotations

import re
import sys
import time as _time
from typing import Any, Optional

_REFUSED = re.compile(r"[^\w\-./ ]")


class MLflow:
    """The active run, or the one that was given."""

    def __init__(self, run: Any = None) -> None:
        self._is_given = run is not None
        self._run_id = None if run is None else run.info.run_id
        self._client: Any = None

    def look(self) -> None:
        active_run = getattr(sys.modules.get("mlflow"), "active_run", None)
        if active_run is None or self._is_given:
            return
        run = active_run()
        if run is not None:
            self._run_id = run.info.run_id

    def write(self, values: dict[str, float], step: int, time: Optional[float]) -> None:
        if self._run_id is None:
            raise LookupError("no run is active at the checkpoint: call mlflow.start_run() before")
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        if self._client is None:
            self._client = MlflowClient()
        at_ms = int(1000 * (_time.time() if time is None else time))
        metrics = [Metric(_REFUSED.sub(".", k), v, at_ms, step) for k, v in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def close(self) -> None:
        """The run is the program's: it ends it."""
