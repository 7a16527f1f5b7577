"""Rows of JAX: the same function in the training loop and inside of what is compiled.

    import richd.jax
    run = richd.init(project="mnist")
    for step in range(1000):
        params, features, logits = train_step(params, batch)
        richd.jax.observe(run, features, logits, step)
        if step % 100 == 0:
            richd.jax.checkpoint(run, step)

In the loop, and in callbacks of JAX's runtime where it was compiled in; `Run` takes both threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

from richd._run import Run
from richd._values.point import Point

try:
    import jax
except ImportError as error:
    raise ImportError("richd.jax needs JAX: pip install jax") from error

#: Arguments of `Run.observe` that are arrays, and so may be traced.
_ARRAYS = ("labels", "targets", "weights")


def observe(
    run: Run,
    features: Any,
    outputs: Any,
    step: Any = None,
    *,
    every: int = 1,
    **options: Any,
) -> None:
    """Offer rows of one layer, as `Run.observe` does, without a wait for the device.

    Arguments:
        features: (..., p), the input of the last layer.
        outputs: (..., C) of as many rows, its linear outputs.
        step: the training step; also a traced integer.
        every: take rows of each `every`-th step only; needs `step`.
        options: further arguments of `Run.observe`; labels, targets and weights may be traced.

    In the loop the arrays may still be computed, and be sharded over the devices of this process:
    the copy to the host begins when they are there, and the sender waits for it, not the loop. They
    must not be donated to a later call. Over several hosts give the rows of this one.

    Inside of jit, grad, scan, pmap or shard_map it becomes a `jax.debug.callback`, which is called
    for each shard there is, and has no gradient. JAX may call it twice for what it computes twice
    (jax.checkpoint). Inside of vmap each example is a call of its own, and slow: call it outside.
    The compiled program is another one with it: XLA may round differently, as with any output.

    Never raises, unless the run was asked to.
    """
    traced = {"features": features, "outputs": outputs, "step": step}
    traced.update({name: options.pop(name) for name in _ARRAYS if name in options})
    given = {name: value for name, value in traced.items() if value is not None}
    if not any(isinstance(value, jax.core.Tracer) for value in given.values()):
        if every == 1 or step is None or int(step) % every == 0:
            run.observe(**given, **options)
        return
    try:
        _observe_traced(run, given, every, options)
    except Exception as error:
        if run._reporter.raise_errors:
            raise
        run._reporter.warn("jax", f"observe: {type(error).__name__}: {error}")


def _observe_traced(
    run: Run, given: Mapping[str, Any], every: int, options: Mapping[str, Any]
) -> None:
    """Have the compiled program call `Run.observe` with the values."""
    rows = {name: _row_of(name, value) for name, value in given.items()}

    def send(arrays: Mapping[str, Any]) -> None:
        values: dict[str, Any] = {name: np.asarray(value) for name, value in arrays.items()}
        if "step" in values:
            values["step"] = int(values["step"])
        run.observe(**values, **options)

    def call() -> None:
        jax.debug.callback(send, rows)

    if every == 1 or "step" not in rows:
        call()
    else:
        jax.lax.cond(rows["step"] % every == 0, call, lambda: None)


def _row_of(name: str, value: Any) -> Any:
    """Inside of vmap an example has lost its first axis: (p,) is one row, and not p of them."""
    is_row = name in ("features", "outputs", "targets") and np.ndim(value) == 1
    return value[None] if is_row else value


def checkpoint(
    run: Run, step: Optional[int] = None, **options: Any
) -> Optional[dict[str, Point]]:
    """`Run.checkpoint` over the rows of all that was started so far.

    Where `observe` is compiled in, the rows come when the device has computed them: this waits for
    the devices (`jax.effects_barrier`). With `observe` in the loop alone, `run.checkpoint` is
    enough.
    """
    jax.effects_barrier()
    return run.checkpoint(step=step, **options)
