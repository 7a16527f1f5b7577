"""A callback for Lightning.

    from richd.lightning import RichdCallback
    trainer = Trainer(callbacks=[RichdCallback(project="mnist", layer="model.head")])

Lightning calls it in the training thread. `_training` decides what becomes of it; here stands what
Lightning's hooks mean.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from richd._training import Keeper, Training

try:
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:
        from pytorch_lightning import Callback
    else:
        from lightning.pytorch import Callback
except ImportError as error:
    try:
        from pytorch_lightning import Callback
    except ImportError:
        raise ImportError(
            "richd.lightning needs Lightning: pip install lightning (or pytorch-lightning)"
        ) from error

#: Steps between checkpoints where the trainer logs nothing.
_EVERY = 50


class RichdCallback(Keeper, Callback):
    """Watches a module while `Trainer.fit` trains it, and logs what it logs.

    A checkpoint is due at each `every`-th step of the optimizer, and after each validation, whose
    rows are the layer NAME@eval. Those of the sanity check are not seen. What the module logs is
    stored under its names at the same steps. The run's id is kept in Lightning's checkpoints: `fit`
    with `ckpt_path=` goes on with the same run, in its next attempt. An exception, an interrupt or
    SIGTERM ends the run as failed. After `fit` it stays open for `test` and for what you log
    (`callback.run`), until the next `fit`, `callback.finish()`, or the end of the program. With
    `fast_dev_run` there is none.

    Attributes:
        run: the `richd.Run`; None before training.
    """

    def __init__(
        self,
        project: Optional[str] = None,
        name: Optional[str] = None,
        *,
        layer: Optional[str] = None,
        layers: Union[None, str, Sequence[str]] = None,
        every: Optional[int] = None,
        watch: Optional[Mapping[str, Any]] = None,
        **options: Any,
    ) -> None:
        """Keep what the run is to be made of; it is opened when training begins.

        Arguments:
            project, name, options: the arguments of `richd.init`. What the module and the data
                module saved as hyperparameters joins `config`.
            layer, layers: what is watched, as in `Run.watch`; by default the module's last
                torch.nn.Linear.
            every: steps between checkpoints; the trainer's `log_every_n_steps` by default.
            watch: further arguments of `Run.watch`.

        Raises ValueError, as `init` does, for malformed arguments.
        """
        watch = {**(watch or {}), "layer": layer, "layers": layers}
        self._training = Training(watch, every, {"project": project, "name": name, **options})
        self._names: set[str] = set()  # of values that were stored as they came

    # ---- Lightning's hooks -----------------------------------------------------------------------

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The sanity check is over, and a checkpoint was loaded."""
        if trainer.fast_dev_run:
            return
        every = trainer.log_every_n_steps or _EVERY
        config = _hyperparameters(trainer, pl_module)
        self._training.begin(pl_module, trainer.global_step, every, {}, config)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._log_late(trainer)

    def on_train_batch_start(self, *_args: Any) -> None:
        self._training.flush()

    def on_train_batch_end(self, trainer: Any, *_args: Any) -> None:
        """A batch; the optimizer's step where gradients were accumulated for long enough."""
        if self._training.advance(trainer.global_step):
            self._log(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._log(trainer)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._log(trainer)
            self._training.note_evaluation()

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        self._log(trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._log_late(trainer)
        self._training.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """An error, Ctrl-C, and a SIGTERM that Lightning has turned into an exception."""
        self._training.finish()

    def state_dict(self) -> dict[str, Any]:
        return self._training.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._training.restore(state_dict)

    # ---- what the module logs --------------------------------------------------------------------

    def _log(self, trainer: Any) -> None:
        """What it has logged in this batch, epoch or evaluation."""
        if self.run is not None:
            values = _logged_now(trainer)
            self._names.update(values)
            self._training.log(values)

    def _log_late(self, trainer: Any) -> None:
        """What the module logged at the end of its epoch, after the callbacks were asked."""
        if self.run is not None:
            late = {k: v for k, v in trainer.logged_metrics.items() if k not in self._names}
            self._training.log(late)


def _logged_now(trainer: Any) -> Mapping[str, Any]:
    """`trainer.logged_metrics` keeps the last value of whatever was ever logged; this does not."""
    try:
        metrics: Mapping[str, Any] = trainer._logger_connector.metrics["log"]
    except (AttributeError, AssertionError, KeyError):
        metrics = trainer.logged_metrics
    return metrics


def _hyperparameters(trainer: Any, pl_module: Any) -> dict[str, Any]:
    """Those that the data module and the module saved, by name."""
    found: dict[str, Any] = {}
    for owner in (getattr(trainer, "datamodule", None), pl_module):
        found.update(getattr(owner, "hparams", None) or {})
    return found
