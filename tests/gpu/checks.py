"""What has to hold on a GPU: each check returns what it found, or raises AssertionError."""

from __future__ import annotations

import logging
import time

import numpy as np
import torch

from bench import Daemon, opened

from richd._link import wire as _wire  # noqa: E402
from richd._torch import lane as _lane, sums as _sums  # noqa: E402


def d_lr(xx, xy, yy):
    """1 - tr(xy yy^-1 xy') / (sqrt r |xx|), in double (FEED.md, against the span)."""
    shared = np.trace(np.linalg.solve(yy, xy.T @ xy))
    return 1 - shared / np.sqrt(len(yy)) / np.linalg.norm(xx)


def d_lr_of_rows(x, y):
    x, y = (v.double().cpu().numpy() for v in (x, y))
    x, y = x - x.mean(0), y - y.mean(0)
    return d_lr(x.T @ x, x.T @ y, y.T @ y)


def d_lr_of_frames(p, c, packed, xy, yy):
    xx = np.zeros((p, p))
    xx[np.triu_indices(p)] = packed
    xx += np.triu(xx, 1).T
    return d_lr(xx, np.reshape(xy, (p, c)), np.reshape(yy, (c, c)))


def error_in_d_lr(case, device, small):
    """mean/std 1000 with TF32 and autocast on around it, against float64 rows on the host."""
    n, p, c = (2000, 48, 6) if small else (8192, 768, 64)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, p, generator=generator) @ torch.randn(p, p, generator=generator)
    y = x @ torch.randn(p, c, generator=generator) / p
    x = (x / x.std() + 1000).to(device)
    y = y.to(device)
    exact = d_lr_of_rows(x, y)
    before = torch.get_float32_matmul_precision()
    found = []
    try:
        torch.set_float32_matmul_precision("high")
        for double in (True, False):
            with torch.autocast(x.device.type, dtype=torch.bfloat16):
                found.append(abs(reduced(x, y, double) - exact))
        z = x - x.mean(0)
        plain = (z.T @ z).double().cpu().numpy()
    finally:
        torch.set_float32_matmul_precision(before)
    u = (y.double() - y.double().mean(0)).cpu().numpy()
    v = z.double().cpu().numpy()
    plain = abs(d_lr(plain, v.T @ u, u.T @ u) - exact)
    assert max(found) <= 1e-6, f"D_LR is off by {found}"
    return f"double {found[0]:.1e}, single {found[1]:.1e}; plain products {plain:.1e}"


def reduced(x, y, double):
    shape = _sums.Shape(x.shape[1], y.shape[1])
    sums = _sums.Sums(shape, x.device, double)
    for a, b in zip(x.split(1000), y.split(1000)):
        sums.add(a, b)
    packed, rest = (t.double().cpu().numpy() for t in sums.take())
    p, c = shape.n_features, shape.n_outputs
    _, _, _, xy, yy, _ = shape.split(rest)
    return d_lr_of_frames(p, c, packed, xy, yy)


def moments_are_those_of_the_rows(case, device, small):
    """What arrives at the daemon of a watched step, beside the same rows in double."""
    kept = []
    with Daemon() as daemon, opened(daemon.address) as run:
        tap = run.watch(case.model, layer="head", reduce="device", parameters=False)
        hook = case.model.head.register_forward_hook(
            lambda m, args, out: kept.append((args[0].detach().clone(), out.detach().clone()))
        )
        for _ in range(3):
            case.step()
        hook.remove()
        run.checkpoint(step=0, wait=True, timeout=60)
        tap.remove()
    ((_, header, _, frames),) = daemon.batches()
    assert header.kind == _wire.KIND_MOMENTS, "rows were sent"
    x, y = (torch.cat([pair[i].flatten(0, -2) for pair in kept]) for i in (0, 1))
    assert header.n_rows == len(x), f"{header.n_rows} rows of {len(x)}"
    dtype = np.float32 if header.features_dtype == _wire.DTYPE_F32 else np.float64
    p, c = header.n_features, header.n_outputs
    packed = np.frombuffer(frames[2], dtype)
    got = d_lr_of_frames(p, c, packed, np.frombuffer(frames[3]), np.frombuffer(frames[4]))
    error = abs(got - d_lr_of_rows(x, y))
    assert error <= 1e-6, f"D_LR is off by {error}"
    return f"D_LR of {len(x)} rows, p = {p}, off by {error:.1e}"


def training_is_bit_identical(case, device, small):
    """Losses and weights with rows reduced and parameters measured, beside an unwatched copy."""
    start = {name: value.cpu().clone() for name, value in case.model.state_dict().items()}

    def train(watched):
        case.model.load_state_dict(start)
        losses = []
        with Daemon() as daemon, opened(daemon.address) as run:
            if watched:
                run.watch(case.model, layer="head", reduce="device", parameters=True)
            for step in range(4):
                losses.append(case.step())
                run.checkpoint(step=step)
        return torch.stack(losses), [p.detach().cpu().clone() for p in case.model.parameters()]

    with deterministic():
        plain, again, watched = train(False), train(False), train(True)
    case.model.load_state_dict(start)
    if not same(plain, again):
        return "not compared: two trainings without richd differ here (attention's gradient)"
    assert same(plain, watched), "the losses or the weights differ"
    return "4 losses and all weights"


def same(one, other):
    return torch.equal(one[0], other[0]) and all(map(torch.equal, one[1], other[1]))


class deterministic:
    """Only cuDNN's choice of algorithms, which could differ from run to run."""

    def __enter__(self):
        self.before = torch.backends.cudnn.deterministic
        torch.backends.cudnn.deterministic = True

    def __exit__(self, *_):
        torch.backends.cudnn.deterministic = self.before


def nobody_waits_for_the_device(case, device, small):
    """torch raises at each call of the training thread that waits for the device."""
    with Daemon() as daemon, opened(daemon.address, raise_errors=True) as run:
        tap = run.watch(case.model, layer="head", reduce="device", parameters=True)
        case.step()
        run.checkpoint(step=0, wait=True, timeout=60)
        try:
            torch.cuda.set_sync_debug_mode("error")
            for step in range(1, 4):
                case.step()
                run.checkpoint(step=step)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        tap.remove()
        run.checkpoint(step=9, wait=True, timeout=60)
    assert len(daemon.batches()) == 4
    return "3 steps and 3 checkpoints"


def copies_are_pinned(case, device, small):
    """And arrive before their flag."""
    lane = _lane.lane_of(torch.device(device, torch.cuda.current_device()))
    values = torch.arange(1 << 22, dtype=torch.float64, device=device)
    with lane.behind_training():
        (copied,), wait = lane.to_host([values * 2])
    wait()
    assert torch.from_numpy(copied).is_pinned(), "the memory is not pinned"
    assert np.array_equal(copied, 2 * np.arange(1 << 22)), "the copy is wrong"
    return "32 MiB"


def compiled_models_are_watched(case, device, small):
    """The tap is put on before torch.compile, and sees each step once."""
    with Daemon() as daemon, opened(daemon.address) as run:
        tap = run.watch(case.model, layer="head", reduce="device", parameters=False)
        compiled = torch.compile(case.model)
        for _ in range(3):
            case.step(compiled)
        run.checkpoint(step=0, wait=True, timeout=60)
        tap.remove()
    rows = sum(header.n_rows for _, header, _, _ in daemon.batches())
    expected = 3 * case.batch[..., 0].numel() if case.batch.ndim == 3 else 3 * len(case.batch)
    assert rows == expected, f"{rows} rows of {expected}"
    return f"{rows} rows of 3 steps"


def graphs_can_be_captured(case, device, small):
    """A watched model is captured and replayed; that its rows are not seen is said."""
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logging.getLogger("richd").addHandler(handler)
    batch = case.batch.clone()
    with Daemon() as daemon, opened(daemon.address) as run, torch.no_grad():
        tap = run.watch(case.model, layer="head", reduce="device", parameters=False)
        eager = case.model(batch)
        run.checkpoint(step=0)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = case.model(batch)
        graph.replay()
        torch.cuda.synchronize()
        tap.remove()
    logging.getLogger("richd").removeHandler(handler)
    assert torch.allclose(out, eager, rtol=1e-3, atol=1e-3), "the replay computes something else"
    assert sum("CUDA graph" in text for text in said) == 1, f"said: {said}"
    return "captured, replayed, said once"


def a_checkpoint_takes_a_millisecond(case, device, small):
    """The training thread at a mark with parameter norms: median of 20, in ms."""
    times = []
    with Daemon() as daemon, opened(daemon.address) as run:
        tap = run.watch(case.model, layer="head", reduce="device", parameters=True)
        for step in range(20):
            case.step()
            began = time.perf_counter()
            run.checkpoint(step=step)
            times.append(1e3 * (time.perf_counter() - began))
        tap.remove()
    n = sum(p.numel() for p in case.model.parameters())
    return f"{np.median(times):.2f} ms at {n / 1e6:.1f} million parameters, goal 1.00"


#: For every case; then those of the first case, on a GPU alone.
EVERYWHERE = (moments_are_those_of_the_rows, training_is_bit_identical)
ONCE = (error_in_d_lr,)
ON_GPU = (
    nobody_waits_for_the_device,
    a_checkpoint_takes_a_millisecond,
)
ON_GPU_ONCE = (copies_are_pinned, compiled_models_are_watched, graphs_can_be_captured)
