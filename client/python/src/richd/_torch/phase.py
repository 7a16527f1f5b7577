"""What torch is doing while a hook runs. Any thread; nothing here is kept."""

from __future__ import annotations

import functools
import sys
from typing import Any


def is_capturing() -> bool:
    """Whether what runs now is recorded into a CUDA graph: its replays call no hook."""
    import torch

    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def is_in_backward() -> bool:
    """Whether this thread computes gradients: a forward pass is then a checkpoint's, run again."""
    import torch

    number: Any = getattr(torch._C, "_current_graph_task_id", None)
    if number is not None:
        return number() != -1
    try:  # before torch 2.1: a question that may only be asked then
        torch._C._will_engine_execute_node(_some_node())
    except (AttributeError, RuntimeError):
        return False
    return True


def is_in_one_graph() -> bool:
    """Whether torch compiles what runs now, and takes nothing that it cannot compile.

    So it is with fullgraph=True, and in a strict export. torch.compile takes the answer, which it
    has while it compiles, for a constant.
    """
    compiler = sys.modules.get("torch._dynamo.symbolic_convert")
    if compiler is None:
        return False
    try:
        now = compiler.InstructionTranslator.current_tx()
    except AttributeError:  # nothing is compiled
        return False
    return bool(now.one_graph or getattr(now, "error_on_graph_break", False))


is_in_one_graph._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.lru_cache(maxsize=1)
def _some_node() -> Any:
    """A node of a graph that nobody computes a gradient of."""
    import torch

    with torch.inference_mode(False), torch.enable_grad():  # the model may run without
        return torch.ones(1, requires_grad=True).view(1).grad_fn
