"""What torch is doing while a hook runs. Any thread; nothing here is kept but torch's functions.

A hook asks at every pass, with the caches full of the training's data, so each of torch's functions
is looked up once.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, Optional


class _Torch(NamedTuple):
    """Functions of the torch that is installed."""

    is_grad_enabled: Callable[[], bool]
    is_tracing: Callable[[], bool]
    is_compiling: Callable[[], bool]
    cuda: Any
    graph_task: Optional[Callable[[], int]]  # from torch 2.1 on


@functools.lru_cache(maxsize=1)
def _torch() -> _Torch:
    import torch

    compiler = getattr(torch, "compiler", None)
    return _Torch(
        torch.is_grad_enabled,
        torch._C._is_tracing,
        getattr(compiler, "is_compiling", bool),  # bool() is False
        torch.cuda,
        getattr(torch._C, "_current_graph_task_id", None),
    )


def split_of(module: Any) -> Optional[str]:
    """What a pass is in the module's mode: "train" with gradients, else "eval".

    None: torch records what the model does (a trace, an export); it computes nothing that is meant.
    """
    torch = _torch()
    if torch.is_tracing() or torch.is_compiling():
        return None
    return "train" if module.training and torch.is_grad_enabled() else "eval"


def is_capturing() -> bool:
    """Whether what runs now is recorded into a CUDA graph: its replays call no hook."""
    cuda = _torch().cuda
    return cuda.is_initialized() and cuda.is_current_stream_capturing()


def is_in_backward() -> bool:
    """Whether this thread computes gradients: a forward pass is then a checkpoint's, run again."""
    number = _torch().graph_task
    if number is not None:
        return number() != -1
    return _is_in_backward_of_old()


def _is_in_backward_of_old() -> bool:
    """By a question that may only be asked then."""
    import torch

    try:
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
