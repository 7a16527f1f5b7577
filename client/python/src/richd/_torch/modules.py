"""Finding what is to be watched: modules by their paths, heads, and tensors in what modules return.

Pure functions that read a model; any thread.
"""

from __future__ import annotations

import collections
import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional, Union

from richd._link import wire as _wire

#: Tensors deeper inside of what a module returns are not looked for.
_DEPTH_MAX = 4


def find_module(model: Any, module: Any) -> Any:
    """`module` itself, or the submodule of that dotted path; "" is the model.

    Raises ValueError that lists the linear modules when there is none of the path.
    """
    if not isinstance(module, str):
        return module
    modules = {**_modules_alone(model), **dict(model.named_modules(remove_duplicate=False))}
    if module in modules:
        return modules[module]
    linear = [repr(name) for name, m in modules.items() if type(m).__name__.endswith("Linear")]
    raise ValueError(
        f"the model has no module {module!r}; its linear modules are {', '.join(linear) or 'none'}"
    )


def _modules_alone(model: Any) -> dict[str, Any]:
    """The modules by the paths that they have without what wraps the model, or parts of it."""
    modules = unwrapped(model).named_modules(remove_duplicate=False)
    return {".".join(k for k in path.split(".") if k not in _WRAPPED): m for path, m in modules}


def find_modules(model: Any, patterns: Union[str, Sequence[str]]) -> dict[str, Any]:
    """The submodules whose path matches one of the patterns, each module once, in depth order.

    A star stands for a name or a part of one ("blocks.*" are the blocks), two stars for any number
    of names ("blocks.**" is all that is in them). Of a model that is wrapped (compiled, replicated,
    sharded) they are the paths that it has alone, and the wrapper's where none of them matches.

    Raises ValueError when a pattern matches none, or all of them match too many.
    """
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    alone = _modules_alone(model)
    whole = {**alone, **dict(model.named_modules(remove_duplicate=False))}
    modules = {k: m for k, m in whole.items() if k}
    wanted: set[str] = set()
    for pattern in patterns:
        names = [k for k in modules if _matches(k.split("."), pattern.split("."))]
        names = [k for k in names if k in alone] or names
        if not names:
            raise ValueError(f"the model has no module {pattern!r}; it has {', '.join(modules)}")
        wanted.update(names)
    found: dict[str, Any] = {}
    for name, module in modules.items():
        if name in wanted and not any(module is other for other in found.values()):
            found[name] = module
    _check_number(found)
    return found


def _matches(names: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        return _matches(names, pattern[1:]) or (bool(names) and _matches(names[1:], pattern))
    return (
        bool(names)
        and fnmatch.fnmatchcase(names[0], pattern[0])
        and _matches(names[1:], pattern[1:])
    )


def _check_number(found: Mapping[str, Any]) -> None:
    if len(found) <= _wire.LAYERS_MAX:
        return
    kinds = collections.Counter(type(module).__name__ for module in found.values())
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    raise ValueError(
        f"{len(found)} modules match, at most {_wire.LAYERS_MAX} are watched; leave some out, or "
        f"name fewer with a star, which stays within a name: {said}"
    )


# ---- what wraps a model ------------------------------------------------------------------------

#: Wrappers that run the model and add something: collectives, replicas, compiled code.
_WRAPPERS = {
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "OptimizedModule": "_orig_mod",
}
#: Where a wrapped module lies in a wrapper that may be anywhere in a model.
_WRAPPED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_SHARDED = ("FullyShardedDataParallel", "FSDPModule")


def unwrapped(model: Any) -> Any:
    """The model that wrappers of torch call: to run it begins no collective."""
    while True:
        kinds = [kind.__name__ for kind in type(model).__mro__]
        inside = [name for kind, name in _WRAPPERS.items() if kind in kinds]
        if not inside or not hasattr(model, inside[0]):
            return model
        model = getattr(model, inside[0])


def is_sharded(model: Any) -> bool:
    """Whether a process holds parts of the parameters only (FSDP, distributed tensors)."""
    parts = (kind.__name__ for part in model.modules() for kind in type(part).__mro__)
    return any(kind in _SHARDED for kind in parts) or any(
        type(p).__name__ == "DTensor" for p in model.parameters()
    )


# ---- heads ---------------------------------------------------------------------------------------


def is_lazy(module: Any) -> bool:
    """Whether some of its parameters, or those of its parts, have no shape before it is called."""
    import torch

    return any(torch.nn.parameter.is_lazy(p) for p in module.parameters())


def is_linear(module: Any) -> bool:
    """Whether the module works on the last dimension of what it gets, as torch.nn.Linear does."""
    return hasattr(module, "in_features")


def is_causal_model(model: Any) -> bool:
    """Whether it is a language model that compares each token with the one before by itself."""
    return type(unwrapped(model)).__name__.endswith(("ForCausalLM", "LMHeadModel"))


def is_convolution(module: Any) -> bool:
    """Whether the module works on (n, c, ...)."""
    import torch

    return isinstance(module, torch.nn.modules.conv._ConvNd)


def is_head(module: Any, wide: str) -> bool:
    """Whether the module's weights stand for its outputs, as `Run.watch` says of `wide`.

    A subclass of torch.nn.Linear with a forward of its own (an adapter, a mask, a cosine) makes
    other outputs than its weights do. A weight that is made of others (a parametrization) is made
    again each time it is looked at, and may be another one then (spectral_norm). Raises ValueError
    when such a module is asked for.
    """
    import torch

    is_linear = (
        isinstance(module, torch.nn.Linear)
        and type(module).forward is torch.nn.Linear.forward
        and "forward" not in vars(module)
        and "weight" in module._parameters
    )
    if wide == "head" and not is_linear:
        raise ValueError(f"a {type(module).__name__} has no weight that stands for its outputs")
    if wide == "outputs" or not is_linear:
        return False
    n_outputs, n_features = module.weight.shape
    return wide == "head" or n_outputs >= n_features


# ---- tensors in what modules take and give -------------------------------------------------------


def first_tensor(values: Any, what: str) -> Any:
    """The first tensor in a tensor, tuple, list or mapping. Raises ValueError without one."""
    import torch

    first = values[0] if isinstance(values, tuple) and values else values
    if isinstance(first, torch.Tensor):
        return first  # as nearly always
    for _, tensor in _tensors(values, ""):
        return tensor
    raise ValueError(f"{what} holds no tensor")


def find_outputs(values: Any, what: str) -> tuple[Any, Optional[str]]:
    """The linear outputs in what a module returned, and where they lay if that is a guess.

    They are the tensor itself, or the one that is called logits, or the first that is no single
    number, as a loss is. Raises ValueError without one.
    """
    import torch

    if isinstance(values, torch.Tensor) and values.ndim > 0:
        return values, None
    tensors = [(path, t) for path, t in _tensors(values, "") if t.ndim > 0]
    named = [(path, t) for path, t in tensors if path.split(".")[-1] == "logits"]
    if not tensors:
        raise ValueError(f"{what} holds no tensor")
    if named or len(tensors) == 1:
        return (named or tensors)[0][1], None
    others = ", ".join(path for path, _ in tensors[1:])
    return tensors[0][1], f"{tensors[0][0]} of shape {tuple(tensors[0][1].shape)}, not {others}"


def _tensors(values: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    import torch

    if isinstance(values, torch.Tensor):
        yield path, values
        return
    if depth == _DEPTH_MAX or isinstance(values, str):
        return
    if isinstance(values, Mapping):
        items = list(values.items())
    elif hasattr(values, "_asdict"):
        items = list(values._asdict().items())
    elif isinstance(values, (tuple, list)):
        items = list(enumerate(values))
    else:
        items = list(getattr(values, "__dict__", {}).items())
    for key, value in items:
        yield from _tensors(value, f"{path}.{key}" if path else str(key), depth + 1)
