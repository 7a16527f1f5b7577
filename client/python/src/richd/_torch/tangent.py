"""The neural tangent kernel on a few probe inputs: ntk_distance and ntk_alignment.

Computed by the training thread at a checkpoint that is due, with one backward pass for each probe
input and output direction, by torch.autograd alone. The model comes back as it was: its mode, its
gradients, torch's random numbers. `Run` decides who sends the values, and what happens when they
cannot be computed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import numpy as np

from richd._keywords import forgiving_class
from richd._torch.parameters import same_shape

#: Gradients of all probe inputs along one direction are held at once, in so many bytes at most.
GRADIENT_BYTES_MAX = 1 << 30
#: Columns of them that are turned into double at once.
BLOCK = 1 << 16


@forgiving_class
class NTK:
    """What to compute the tangent kernel from; given to `Run.watch` as `ntk=`.

    With f the model's outputs and v_1..v_k fixed orthonormal directions among them,

        K_ij = 1/k sum_d <grad (v_d f(x_i)), grad (v_d f(x_j))>

    over the trainable parameters. With k = C directions it is the trace of the C x C blocks of the
    tangent kernel, divided by C; with fewer it is an unbiased estimate of that.

        ntk_distance  = 1 - <K_0, K> / (||K_0|| ||K||), K_0 the first K
        ntk_alignment = <H K H, Y Y'> / (||H K H|| ||Y Y'||)

    with H = I - 1 1'/n and Y the targets with their means removed (Fort et al. 2020; centred
    alignment: Cortes, Mohri and Rostamizadeh 2012). A kernel that is nearly constant has a large
    norm that says nothing of the targets, and centring takes it away. ntk_distance compares the
    kernels as they are, which is how lazy training is defined. The cost of one evaluation is
    rows x directions forward and backward passes of a single input, and rows x parameters x 4
    bytes. On one core, a perceptron of 1.1 million parameters with 64 inputs
    and 4 directions takes about 4 s.

    K_0 is that of the first checkpoint, and only this object keeps it. A run that is resumed has a
    new one, and its distances start at 0 again. `Run.watch` can be given `initial`, the state with
    which the first attempt began. K_0 is then computed from that state, which doubles the cost of
    the first evaluation.

    Arguments:
        inputs: a tensor (n, ...), or a tuple of them, one an argument of the model.
        targets: (n,) integer labels, or (n, K) values; None: no alignment.
        every: K computes it at the first checkpoint and at each K-th after it.
        directions: k; None: all of the outputs, but at most 4.
        rows: at most so many of the inputs are used, the first ones.
        position: the token whose outputs are taken, for outputs (n, sequence, C): "last" or an
            index.
    """

    def __init__(
        self,
        inputs: Any,
        targets: Any = None,
        *,
        every: int = 1,
        directions: Optional[int] = None,
        rows: int = 64,
        position: Any = "last",
    ) -> None:
        if every < 1 or rows < 2 or (directions is not None and directions < 1):
            raise ValueError("every and directions are at least 1, rows at least 2")
        inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
        self._inputs = tuple(values[:rows] for values in inputs)
        self._ideal = None if targets is None else _ideal_kernel(targets[:rows])
        self._n = len(self._inputs[0])
        self._every = every
        self._directions = directions
        self._position = -1 if position == "last" else position
        self._first: Optional[np.ndarray] = None
        self._calls = 0
        if any(len(values) != self._n for values in self._inputs):
            raise ValueError("the inputs have different numbers of rows")
        if self._ideal is not None and len(self._ideal) != self._n:
            raise ValueError(f"{len(self._ideal)} targets beside {self._n} inputs")

    def is_due(self) -> bool:
        """Whether this checkpoint is one of those that `every` asks for; called once at each."""
        self._calls += 1
        return (self._calls - 1) % self._every == 0

    def measure(self, model: Any, initial: Optional[Mapping[str, Any]] = None) -> dict[str, float]:
        """ntk_distance and, with targets, ntk_alignment, of the model as it is. Unit 1 both.

        The first call decides about K_0: with `initial`, a state_dict, that of the model in this
        state; else K itself, and the distance is 0. Raises ValueError as `kernel` does, and when
        `initial` lacks a parameter or has it in another shape.
        """
        if self._first is None and initial is not None:
            with _in_state(model, initial):
                self._first = self.kernel(model)
        kernel = self.kernel(model)
        if self._first is None:
            self._first = kernel
        measures = {"ntk_distance": 1 - _cosine(self._first, kernel)}
        if self._ideal is not None:
            measures["ntk_alignment"] = _cosine(_centred(kernel), self._ideal)
        return measures

    def kernel(self, model: Any) -> np.ndarray:
        """K, (n, n) of float64. Raises ValueError when the gradients would not fit."""
        import torch

        parameters = [p for p in model.parameters() if p.requires_grad]
        size = self._n * sum(p.numel() * p.element_size() for p in parameters)
        if size > GRADIENT_BYTES_MAX:
            raise ValueError(
                f"the gradients of {self._n} probe inputs take {size >> 20} MiB, at most "
                f"{GRADIENT_BYTES_MAX >> 20} are used: give fewer rows"
            )
        kernel = np.zeros((self._n, self._n))
        with _left_as_it_was(torch, model):
            directions = self._draw(self._outputs(model, 0).shape[-1])
            for direction in directions:
                kernel += self._along(torch, model, parameters, direction)
        return kernel / len(directions)

    def _outputs(self, model: Any, row: int) -> Any:
        """(C,): the outputs of one probe input."""
        outputs = model(*(values[row : row + 1] for values in self._inputs))
        if isinstance(outputs, (tuple, list)):
            outputs = outputs[0]
        outputs = outputs[0] if outputs.dim() < 3 else outputs[0, self._position]
        return outputs.reshape(-1)

    def _draw(self, n_outputs: int) -> np.ndarray:
        """(k, C) orthonormal rows; the same at every call."""
        k = min(n_outputs, self._directions or 4)
        if k == n_outputs:
            return np.eye(n_outputs)
        draw = np.random.default_rng(0).standard_normal((n_outputs, k))
        return np.linalg.qr(draw)[0].T

    def _along(self, torch: Any, model: Any, parameters: Any, direction: np.ndarray) -> np.ndarray:
        """(n, n): inner products of the gradients of the outputs along one direction (C,)."""
        gradients: list[list[Any]] = [[] for _ in parameters]
        for row in range(self._n):
            outputs = self._outputs(model, row)
            along = torch.as_tensor(direction, dtype=outputs.dtype, device=outputs.device)
            parts = torch.autograd.grad(outputs @ along, parameters, allow_unused=True)
            for kept, part in zip(gradients, parts):
                if part is not None:
                    kept.append(part.reshape(-1))
        kernel = np.zeros((self._n, self._n))
        for kept in gradients:
            if not kept:
                continue  # the outputs do not depend on this parameter
            for block in torch.stack(kept).split(BLOCK, dim=1):
                rows = block.cpu().double().numpy()
                kernel += rows @ rows.T
        return kernel


def _ideal_kernel(targets: Any) -> np.ndarray:
    """Y Y', (n, n), of labels (n,) as one-hot rows or of values (n, K), column means removed."""
    values = targets.detach().cpu().numpy() if hasattr(targets, "detach") else np.asarray(targets)
    if values.ndim == 1 and np.issubdtype(values.dtype, np.integer):
        values = values[:, None] == np.unique(values)[None, :]
    values = values.reshape(len(values), -1).astype(np.float64)
    values = values - values.mean(axis=0)
    return values @ values.T


def _centred(kernel: np.ndarray) -> np.ndarray:
    """H K H, (n, n): the kernel of the features with their means removed."""
    half = kernel - kernel.mean(axis=0)
    return half - half.mean(axis=1, keepdims=True)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    """<A, B> / (||A|| ||B||); NaN when one of them is 0."""
    size = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.vdot(a, b) / size) if size > 0 else float("nan")


def _devices(model: Any) -> list[int]:
    """The numbers of the CUDA devices that the model is on."""
    return sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})


@contextlib.contextmanager
def _in_state(model: Any, state: Mapping[str, Any]) -> Iterator[None]:
    """The model with the values of `state` for its parameters and buffers; its own come back.

    Tensors take the places of tensors, and no memory is overwritten: a graph that waits for its
    backward pass, and an optimizer, find everything as it was. Tied parameters are one tensor, and
    stay tied. Raises ValueError for a parameter that `state` lacks or has in another shape; buffers
    that it lacks stay.
    """
    parameters = dict(model.named_parameters())
    for name, parameter in parameters.items():
        same_shape(state, name, parameter)
    tensors = {**dict(model.named_buffers()), **parameters}
    own = {name: tensor.data for name, tensor in tensors.items() if name in state}
    try:
        for name, data in own.items():
            tensors[name].data = same_shape(state, name, data).to(data.device, data.dtype)
        yield
    finally:
        for name, data in own.items():
            tensors[name].data = data


@contextlib.contextmanager
def _left_as_it_was(torch: Any, model: Any) -> Iterator[None]:
    """The model in eval mode, with gradients; its mode and torch's generators come back."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        with torch.random.fork_rng(_devices(model)), torch.enable_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
