"""A callback for the Trainer of Hugging Face transformers.

    from richd.transformers import RichdCallback
    trainer = Trainer(model, args, ..., callbacks=[RichdCallback(project="glue")])

With this module imported, `TrainingArguments(report_to="richd")` makes one, and the environment
(RICHD_PROJECT, RICHD_NAME) says what it is called. The trainer calls it in the training thread.
`_training` decides what becomes of it; here stands what the trainer's events mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from richd._training import Keeper, Training

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError(
        "richd.transformers needs Hugging Face transformers and torch: pip install transformers "
        "torch accelerate"
    ) from error
try:
    from transformers.trainer_callback import ExportableState
except ImportError:  # before 4.42, whose checkpoints keep nothing of callbacks

    class ExportableState:  # type: ignore[no-redef]
        """Nothing is exported."""


class RichdCallback(Keeper, TrainerCallback, ExportableState):
    """Watches a model while `Trainer.train` trains it, and logs what it logs.

    A checkpoint is due each `every` steps of the optimizer, by default each `logging_steps`, and
    after each evaluation, whose rows are the layer NAME@eval. Losses and metrics are stored
    under the trainer's names (`loss`, `eval_loss`) at the same steps; text and None are left out.
    The run's id is kept in trainer_state.json: `train(resume_from_checkpoint=...)` goes on with the
    same run, in its next attempt. After `train` the run stays open for `evaluate` and for what you
    log (`callback.run`), until the next `train`, `callback.finish()`, or the end of the program. It
    has failed when the program has, and when `train` was left before its end.

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
            project, name, options: the arguments of `richd.init`. The configuration of the model
                and the training arguments join `config`; `name` is `run_name` by default.
            layer, layers: what is watched, as in `Run.watch`; by default the model's output
                embeddings (a language model's head), else its last torch.nn.Linear.
            every: steps between checkpoints.
            watch: further arguments of `Run.watch`.

        Raises ValueError, as `init` does, for malformed arguments.
        """
        self._arguments = {"project": project, "name": name, "layer": layer, "layers": layers,
                           "every": every, "watch": watch, **options}
        watch = {**(watch or {}), "layer": layer, "layers": layers}
        self._training = Training(watch, every, {"project": project, "name": name, **options})

    # ---- the trainer's events --------------------------------------------------------------------

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **_kwargs: Any
    ) -> None:
        """A checkpoint was loaded, `state` with it."""
        if state.global_step > 0:
            self._training.restore(_stored(state, type(self).__name__))
        self._training.begin(
            model, state.global_step, _logging_steps(args, state), _names(args, state),
            _configuration(args, state, model),
        )

    def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
        self._training.flush()

    def on_step_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """A step of the optimizer; batches whose gradients accumulate are substeps."""
        self._training.advance(state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Optional[Mapping[str, Any]] = None,
        **_kwargs: Any,
    ) -> None:
        self._training.log(logs or {})

    def on_evaluate(self, *_args: Any, **_kwargs: Any) -> None:
        self._training.note_evaluation()

    def on_train_end(self, *_args: Any, **_kwargs: Any) -> None:
        self._training.end()

    # ---- in the trainer's checkpoint -------------------------------------------------------------

    @property
    def stored(self) -> dict[str, Any]:
        """The run, as trainer_state.json keeps it."""
        return self._training.state()

    @stored.setter
    def stored(self, state: Mapping[str, Any]) -> None:
        self._training.restore(state)

    def state(self) -> dict[str, Any]:
        """What makes this callback again, with `restore_callback_states_from_checkpoint`."""
        return {"args": _as_json(self._arguments), "attributes": {"stored": self.stored}}


def _stored(state: Any, name: str) -> Mapping[str, Any]:
    """The run that the checkpoint was made in; of several callbacks the first one's."""
    kept = getattr(state, "stateful_callbacks", {}).get(name, {})
    first = kept[0] if isinstance(kept, list) else kept
    return first.get("attributes", {}).get("stored", {})


def _as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those that JSON can hold: others must not end the saving of a checkpoint."""
    kept = {}
    for name, value in arguments.items():
        try:
            kept[name] = json.loads(json.dumps(value))
        except (TypeError, ValueError):
            continue
    return kept


def _logging_steps(args: Any, state: Any) -> int:
    """`logging_steps`, which may be a share of all steps."""
    steps = args.logging_steps
    return int(steps if steps >= 1 else steps * state.max_steps)


def _names(args: Any, state: Any) -> dict[str, Any]:
    """The run's name, and its group within a search; `output_dir` is the default of run_name."""
    own = args.run_name if args.run_name != args.output_dir else None
    found = {"name": own} if state.trial_name is None else {"name": state.trial_name, "group": own}
    return {name: value for name, value in found.items() if value}


def _configuration(args: Any, state: Any, model: Any) -> dict[str, Any]:
    """The model's configuration, the training arguments, and those of a search."""
    config: Any = getattr(model, "config", None)
    of_model = config.to_dict() if hasattr(config, "to_dict") else {}
    return {**of_model, **args.to_dict(), **(state.trial_params or {})}


def _offer_by_name() -> None:
    """Let `report_to="richd"` find the callback."""
    try:
        from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
    except ImportError:  # elsewhere in this version; callbacks=[...] works all the same
        return
    INTEGRATION_TO_CALLBACK.setdefault("richd", RichdCallback)


_offer_by_name()
