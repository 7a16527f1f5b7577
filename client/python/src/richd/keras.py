"""A callback for Keras 3.

    from richd.keras import RichdCallback
    probe = RichdCallback(x_train[:2048], y_train[:2048], project="mnist")
    model.fit(x_train, y_train, callbacks=[probe])

`fit` compiles its step: no callback sees its batches, and what is compiled into it makes another
program of it. So the same probe rows go through the model at each checkpoint, apart from training:
in inference mode, and in a scope that no variable leaves, as seeds and running means.

Keras calls it in the training thread. `_training` decides what becomes of it.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import numpy as np

from richd._training import Keeper, Training, harmless

try:
    import keras
except ImportError as error:
    raise ImportError("richd.keras needs Keras 3: pip install keras") from error

#: Where the run's id is kept, beside the files of BackupAndRestore.
_STATE = "richd.json"


class RichdCallback(Keeper, keras.callbacks.Callback):
    """Measures a layer on probe rows while `Model.fit` trains, and logs what Keras logs.

    There is a checkpoint before the first step, after each epoch, and at each `every`-th batch. The
    steps are the optimizer's. After `fit` the run stays open for what you log (`callback.run`),
    until the next `fit`, `callback.finish()` or the end of the program. Where `fit` raised, or was
    interrupted, the run then ends as failed.

    Attributes:
        run: the `richd.Run`; None before the first batch.
    """

    _training: _Training

    def __init__(
        self,
        inputs: Any,
        labels: Any = None,
        project: Optional[str] = None,
        name: Optional[str] = None,
        *,
        validation: Optional[tuple[Any, Any]] = None,
        layer: Optional[str] = None,
        every: Optional[int] = None,
        batch_size: int = 256,
        backup_dir: Optional[str] = None,
        observe: Optional[Mapping[str, Any]] = None,
        **options: Any,
    ) -> None:
        """Keep what the run is to be made of; it is opened with the first batch.

        Arguments:
            inputs: the probe: rows of the model's inputs, an array or a structure of arrays; some
                thousand rows of the training data, or 4 times as many as there are features.
            labels: of as many rows: integers, or targets (n, K).
            project, name, options: the arguments of `richd.init`.
            validation: further inputs and labels, measured as the layer NAME@eval.
            layer: the name of the layer whose inputs are the features; by default the model's last
                Dense. Its outputs are taken before its activation.
            every: batches between checkpoints within an epoch; by default there are none.
            batch_size: rows of the probe that go through the model at once.
            backup_dir: a folder where the run's id is kept, as BackupAndRestore's: a training that
                goes on from there goes on with the same run, in its next attempt. A program that
                saves models itself keeps `callback.run.id`, and gives it as `run_id=`.
            observe: further arguments of `Run.observe`, such as position="last".

        Raises ValueError, as `init` does, for malformed arguments.
        """
        super().__init__()
        self._probes: dict[Optional[str], Any] = {None: (inputs, labels)}
        if validation is not None:
            self._probes["eval"] = validation
        self._training = _Training({}, every, {"project": project, "name": name, **options})
        self._layer = layer
        self._every = every
        self._batch_size = batch_size
        self._observe = dict(observe or {})
        self._path = os.path.join(backup_dir, _STATE) if backup_dir else None
        self._is_first = False
        self._n_before = 0  # batches of the epochs before
        self._n_seen = 0  # and of this one

    # ---- Keras' hooks ----------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        """Other callbacks may still load weights."""
        self._is_first = True
        self._n_before = self._n_seen = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._is_first:
            self._is_first = False
            self._training.restore(_read(self._path))
            step = self._training.step_of(self.model)
            self._training.begin(self.model, step or 0, 1, {}, _config(self.model, self.params))
            _write(self._path, self._training.state())
            self._measure(None)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """`batch` is the last of several where Keras makes some steps at once."""
        n_seen, self._n_seen = self._n_seen, self._n_before + batch + 1
        if self._every and self._n_seen // self._every > n_seen // self._every:
            self._measure(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._n_before = self._n_seen
        self._measure(logs)

    def on_train_end(self, logs: Any = None) -> None:
        self._training.end()

    def _measure(self, logs: Any) -> None:
        self._training.measure(self.model, self._rows, logs)

    def _rows(self, model: Any) -> Iterator[dict[str, Any]]:
        """What `Run.observe` is told: the rows of the probe and of the validation."""
        head = _find(model, self._layer)
        for split, (inputs, labels) in self._probes.items():
            n = len(keras.tree.flatten(inputs)[0])
            for start in range(0, n, self._batch_size):
                here = slice(start, start + self._batch_size)
                some = keras.tree.map_structure(lambda rows: rows[here], inputs)
                for features, outputs in _calls(model, head, some):
                    beside = _beside(None if labels is None else labels[here])
                    yield {
                        "features": features,
                        "outputs": outputs,
                        "layer": self._layer or "head",
                        "split": split,
                        **beside,
                        **self._observe,
                    }


class _Training(Training):
    """One whose rows are offered at the checkpoint itself."""

    _at: Any = None  # the run and step that were measured last

    def _watch(self, model: Any) -> None:
        _open.add(self)

    def flush(self) -> None:
        """Nothing waits for the next step."""

    def end(self) -> None:
        super().end()
        _open.discard(self)

    def finish(self) -> None:
        super().finish()
        _open.discard(self)

    @harmless
    def step_of(self, model: Any) -> int:
        """The optimizer's steps."""
        return int(keras.ops.convert_to_numpy(model.optimizer.iterations))

    @harmless
    def measure(self, model: Any, rows_of: Any, logs: Optional[Mapping[str, Any]]) -> None:
        """Offer the rows, and have them measured at the optimizer's step."""
        step = self.step_of(model)
        if self.run is None or step is None:
            return
        self._step = step
        if self._at != (self.run, step):
            for rows in rows_of(model):
                self.run.observe(step=step, **rows)
            self.run.checkpoint(step=step)
            self._at = (self.run, step)
        self.log(logs or {})


#: Trainings that have not come to their end. Keras tells no callback that `fit` raised: those that
#: are left when the program ends have failed, also where the program itself has not.
_open: set[_Training] = set()


def _finish_all() -> None:
    for training in list(_open):
        training.finish()


atexit.register(_finish_all)


# ---- the model -----------------------------------------------------------------------------------


def _layers(model: Any) -> Iterator[Any]:
    """All layers in their order, also those of models within the model."""
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _layers(layer)


def _find(model: Any, name: Optional[str]) -> Any:
    """The layer of this name, or the last Dense. Raises ValueError where there is none."""
    layers = list(_layers(model))
    found = [layer for layer in layers if layer.name == name] if name else []
    if name is None:
        found = [layer for layer in layers if isinstance(layer, keras.layers.Dense)]
    if not found:
        raise ValueError(f"the model has no layer {name or 'of the class Dense'}; give layer=")
    return found[-1]


def _calls(model: Any, head: Any, inputs: Any) -> list[tuple[Any, Any]]:
    """Put the inputs through the model: (features, linear outputs) of each call of the head."""
    calls: list[tuple[Any, Any]] = []
    call, own = head.call, vars(head).get("call")
    activation = getattr(head, "activation", None)

    def record(features: Any, *args: Any, **kwargs: Any) -> Any:
        if activation is not None:
            head.activation = keras.activations.linear
        outputs = call(features, *args, **kwargs)
        calls.append((features, outputs))
        return outputs if activation is None else activation(outputs)

    head.call = record
    try:
        with keras.StatelessScope(), _no_gradient():
            takes_mode = getattr(model, "_call_has_training_arg", True)
            model(inputs, **({"training": False} if takes_mode else {}))
    finally:
        del head.call
        if own is not None:
            head.call = own
        if activation is not None:
            head.activation = activation
    return calls


def _no_gradient() -> Any:
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


def _beside(labels: Any) -> dict[str, Any]:
    """Labels where they are integers, one a row; else targets."""
    if labels is None:
        return {}
    array = np.asarray(labels)
    if array.dtype.kind in "iu" and array.size == len(array):
        return {"labels": array.reshape(-1)}
    return {"targets": array.reshape(len(array), -1)}


def _config(model: Any, params: Optional[Mapping[str, Any]]) -> dict[str, Any]:
    """What Keras knows of the training."""
    optimizer = getattr(model, "optimizer", None)
    own = {"model": model.name, "optimizer": getattr(optimizer, "name", None)}
    return {**own, **{k: v for k, v in (params or {}).items() if k != "verbose"}}


# ---- the run's id, found again -------------------------------------------------------------------


def _read(path: Optional[str]) -> Mapping[str, Any]:
    try:
        with open(path or "", encoding="utf-8") as file:
            stored = json.load(file)
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _write(path: Optional[str], state: Mapping[str, Any]) -> None:
    if path is None:
        return
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(state, file)
