"""What the trainer reports with a checkpoint: parameter norms, and the tangent kernel."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import torch

import richd
from richd._torch import parameters as _parameters, tangent as _tangent


nn = torch.nn

#: Sums of up to 1e5 doubles.
EXACT = 1e-12


def network(*sizes):
    torch.manual_seed(0)
    pairs = zip(sizes, sizes[1:])
    layers = [layer for a, b in pairs for layer in (nn.Linear(a, b), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


def flat(model):
    return np.concatenate(
        [p.detach().double().numpy().ravel() for p in model.parameters() if p.requires_grad]
    )


def move(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator).to(p.dtype)


def reported(daemon, run, step=0):
    """The metrics of the message of a checkpoint behind one batch; None when it had none."""
    run.observe(np.ones((4, 3)), np.ones((4, 2)), step=step)
    run.checkpoint(step=step, wait=True)
    return daemon.controls("checkpoint")[-1].get("metrics")


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


# ---- parameters ----------------------------------------------------------------------------------


def test_norm_and_change_are_those_of_all_trainable_parameters(daemon, run):
    model = network(5, 4, 3)
    run.watch(model, layer="0")
    first = flat(model)
    assert reported(daemon, run) == {
        "param_norm": pytest.approx(first @ first, rel=EXACT),
        "param_change": 0.0,
    }
    move(model)
    now = flat(model)
    expected = ((now - first) @ (now - first)) / (first @ first)
    assert reported(daemon, run, 1) == {
        "param_norm": pytest.approx(now @ now, rel=EXACT),
        "param_change": pytest.approx(expected, rel=EXACT),
    }


def test_frozen_parameters_do_not_count(daemon, run):
    model = network(5, 4, 3)
    model[0].weight.requires_grad_(False)
    run.watch(model, layer="0")
    now = flat(model)
    assert len(now) == 4 + 12 + 3
    assert reported(daemon, run)["param_norm"] == pytest.approx(now @ now, rel=EXACT)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_sums_are_in_double_whatever_the_parameters_are(dtype):
    model = nn.Linear(300, 300, bias=False).to(dtype)
    with torch.no_grad():
        model.weight.fill_(3.0)
        parameters = _parameters.Parameters(model)
        model.weight[0, 0] = 4.0
    measures = parameters.measure()
    assert measures["param_norm"] == 9 * 89_999 + 16  # far beyond 65,504, the largest f16
    assert measures["param_change"] == pytest.approx(1 / (9 * 90_000), rel=EXACT)


def test_blocks_cover_a_large_parameter(monkeypatch):
    monkeypatch.setattr(_parameters, "BLOCK", 7)
    model = network(5, 4, 3)
    parameters = _parameters.Parameters(model)
    first = flat(model)
    move(model)
    now = flat(model)
    measures = parameters.measure()
    assert measures["param_norm"] == pytest.approx(now @ now, rel=EXACT)
    expected = ((now - first) @ (now - first)) / (first @ first)
    assert measures["param_change"] == pytest.approx(expected, rel=EXACT)


def test_a_large_model_is_measured_only_when_asked(daemon, run, monkeypatch):
    monkeypatch.setattr(_parameters, "UNASKED_MAX", 30)
    model = network(5, 4, 3)  # 39 parameters
    run.watch(model, layer="0")
    assert reported(daemon, run) is None
    with richd.init(endpoint=daemon.address) as other:
        other.watch(model, layer="0", parameters=True)
        assert set(reported(daemon, other)) == {"param_norm", "param_change"}


def test_parameters_false_reports_nothing(daemon, run):
    run.watch(network(5, 4, 3), layer="0", parameters=False)
    assert reported(daemon, run) is None


def test_a_resumed_run_measures_from_the_state_it_is_given(daemon, run):
    model = network(5, 4, 3)
    first, state = flat(model), {k: v.clone() for k, v in model.state_dict().items()}
    move(model)
    run.watch(model, layer="0", initial=state)
    now = flat(model)
    expected = ((now - first) @ (now - first)) / (first @ first)
    assert reported(daemon, run)["param_change"] == pytest.approx(expected, rel=EXACT)


def test_an_initial_state_of_another_network_is_one_warning(daemon, run, caplog):
    run.watch(network(5, 4, 3), layer="0", initial=network(5, 6, 3).state_dict())
    assert reported(daemon, run) is None
    text = warnings(caplog)[0]
    assert "'0.weight' is (4, 5), its initial value (6, 5)" in text


def test_a_layer_that_is_replaced_gives_null_and_one_warning(daemon, run, caplog):
    model = network(5, 4, 3)
    run.watch(model, layer="0")
    model[2] = nn.Linear(4, 7)
    assert reported(daemon, run) is None and reported(daemon, run, 1) is None
    (text,) = [text for text in warnings(caplog) if "parameters:" in text]
    assert "'2.weight'" in text
    assert [c["step"] for c in daemon.controls("checkpoint")] == [0, 1]


def test_values_that_overflowed_are_null(daemon, run):
    model = network(5, 4, 3)
    run.watch(model, layer="0")
    with torch.no_grad():
        model[0].weight[0, 0] = math.inf
    assert reported(daemon, run) == {"param_norm": None, "param_change": None}


def test_the_trainer_may_say_it_itself(daemon, run, caplog):
    run.observe(np.ones((4, 3)), np.ones((4, 2)), step=0)
    run.checkpoint(step=0, metrics={"param_norm": np.float32(2.5), "ntk_distance": math.nan})
    run.checkpoint(step=1, wait=True, metrics={"loss": 1.0})
    first, second = daemon.controls("checkpoint")
    assert first["metrics"] == {"param_norm": 2.5, "ntk_distance": None}
    assert "metrics" not in second
    (text,) = warnings(caplog)
    assert "'loss'" in text


def test_without_a_daemon_nothing_is_raised(tmp_path):
    with richd.init(endpoint=f"ipc://{tmp_path}/nobody") as run:
        model = network(5, 4, 3)
        run.watch(model, layer="0", ntk=richd.NTK(torch.randn(4, 5)))
        model(torch.randn(6, 5))
        assert run.checkpoint(step=0) is None


# ---- the tangent kernel --------------------------------------------------------------------------


def test_kernel_of_a_linear_model_is_that_of_its_inputs():
    torch.manual_seed(0)
    x = torch.randn(9, 5, dtype=torch.float64)
    model = nn.Linear(5, 3).double()
    kernel = richd.NTK(x, directions=3).kernel(model)
    # d f_c / d W_c = x, d f_c / d b_c = 1: x'x + 1, the same for each output.
    assert np.allclose(kernel, x.numpy() @ x.numpy().T + 1, rtol=1e-13)
    assert np.allclose(richd.NTK(x, directions=2).kernel(model), kernel, rtol=1e-13)


def test_kernel_is_that_of_the_finite_differences():
    model = network(4, 6, 3).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    parameters = list(model.parameters())
    h, columns = 1e-5, []
    with torch.no_grad():
        for p in parameters:
            for i in range(p.numel()):
                before = p.view(-1)[i].item()
                p.view(-1)[i] = before + h
                up = model(x)
                p.view(-1)[i] = before - h
                columns.append(((up - model(x)) / (2 * h)).numpy())
                p.view(-1)[i] = before
    jacobian = np.stack(columns)  # (P, n, C)
    expected = np.einsum("pic,pjc->ij", jacobian, jacobian) / 3
    # The differences err by h^2 f''' / 6 and eps / h, both about 1e-10.
    assert np.allclose(richd.NTK(x).kernel(model), expected, atol=1e-8)


def test_distance_starts_at_zero_and_alignment_is_of_the_centred_kernel(daemon, run):
    x = torch.randn(8, 5)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0])
    model = network(5, 16, 3)
    probe = richd.NTK(x, labels, directions=3)
    run.watch(model, layer="0", parameters=False, ntk=probe)
    first = reported(daemon, run)
    k0 = probe.kernel(model)
    move(model)
    second = reported(daemon, run, 1)
    k1 = probe.kernel(model)
    y = np.eye(3)[labels.numpy()]
    y -= y.mean(axis=0)

    def cosine(a, b):
        return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())

    assert first["ntk_distance"] == pytest.approx(0, abs=EXACT)
    assert second["ntk_distance"] == pytest.approx(1 - cosine(k0, k1), rel=1e-9)
    assert second["ntk_distance"] > 1e-4
    h = np.eye(8) - 1 / 8
    for metrics, kernel in ((first, k0), (second, k1)):
        centred = h @ kernel @ h
        assert metrics["ntk_alignment"] == pytest.approx(cosine(centred, y @ y.T), rel=1e-9)


def test_a_resumed_run_measures_its_kernel_from_the_state_it_is_given(daemon, run):
    x = torch.randn(8, 5)
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 6), nn.Linear(6, 3))
    model[2].weight = model[0].weight = nn.Parameter(torch.randn(6, 5))
    model[2].forward = lambda h: h @ model[2].weight @ model[0].weight.T  # tied
    model(x)  # the buffers, too, are those of the state
    k0 = richd.NTK(x, directions=3).kernel(model)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    move(model)
    model(10 * x)
    probe = richd.NTK(x, directions=3)
    k1 = probe.kernel(model)
    moved = {k: v.clone() for k, v in model.state_dict().items()}
    places = [t.data_ptr() for t in (*model.parameters(), *model.buffers())]
    versions = [t._version for t in (*model.parameters(), *model.buffers())]
    loss = model.eval()(x).square().sum()  # a graph that waits
    run.watch(model, layer="3", initial=state, ntk=probe)
    metrics = reported(daemon, run)
    cosine = np.vdot(k0, k1) / (np.linalg.norm(k0) * np.linalg.norm(k1))
    assert metrics["ntk_distance"] == pytest.approx(1 - cosine, rel=1e-9)
    assert metrics["ntk_distance"] > 1e-4
    loss.backward()
    assert all(torch.equal(v, moved[k]) for k, v in model.state_dict().items())
    tensors = (*model.parameters(), *model.buffers())
    assert [t.data_ptr() for t in tensors] == places
    assert [t._version for t in tensors] == versions


def test_a_kernel_without_an_initial_state_starts_at_zero_after_a_resume():
    x = torch.randn(8, 5)
    model = network(5, 16, 3)
    assert richd.NTK(x).measure(model)["ntk_distance"] == pytest.approx(0, abs=EXACT)
    move(model)
    resumed = richd.NTK(x)
    assert resumed.measure(model)["ntk_distance"] == pytest.approx(0, abs=EXACT)


def test_an_initial_state_that_does_not_fit_leaves_the_model_alone():
    model = network(5, 16, 3)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    for wrong, text in (
        ({**state, "2.bias": torch.zeros(4)}, "'2.bias' is"),
        ({k: v for k, v in state.items() if k != "2.bias"}, "no parameter '2.bias'"),
    ):
        with pytest.raises(ValueError, match=text):
            richd.NTK(torch.randn(4, 5)).measure(model, {k: v + 1 for k, v in wrong.items()})
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_every_and_rows_thin_out(daemon, run):
    probe, model = richd.NTK(torch.randn(100, 5), every=3), network(5, 4, 3)
    run.watch(model, layer="0", parameters=False, ntk=probe)
    due = [reported(daemon, run, step) is not None for step in range(5)]
    assert due == [True, False, False, True, False]
    assert probe.kernel(model).shape == (64, 64)


def test_the_probe_leaves_no_trace(daemon, run):
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    model[1].eval()
    tap = run.watch(model, layer="3", ntk=richd.NTK(torch.randn(6, 5)))
    model(torch.randn(7, 5)).sum().backward()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    gradients = [p.grad.clone() for p in model.parameters()]
    random = torch.get_rng_state()
    with torch.no_grad():
        run.checkpoint(step=0, wait=True)
    assert "ntk_distance" in daemon.controls("checkpoint")[-1]["metrics"]
    assert tap.calls == tap.batches == 1
    assert [m.training for m in model.modules()] == [True, True, False, True, True]
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients))
    assert torch.equal(torch.get_rng_state(), random)


def test_a_probe_that_cannot_be_computed_gives_null_and_one_warning(daemon, run, caplog):
    model = network(5, 4, 3)
    run.watch(model, layer="0", ntk=richd.NTK(torch.randn(6, 9)))
    metrics = [reported(daemon, run, step) for step in range(2)]
    assert [set(m) for m in metrics] == [{"param_norm", "param_change"}] * 2
    (text,) = [text for text in warnings(caplog) if "ntk:" in text]
    assert "ntk: RuntimeError" in text
    assert model.training


def test_gradients_that_do_not_fit_are_refused_with_the_numbers(monkeypatch):
    monkeypatch.setattr(_tangent, "GRADIENT_BYTES_MAX", 1 << 20)
    with pytest.raises(ValueError, match="64 probe inputs take 7 MiB, at most 1 are used"):
        richd.NTK(torch.randn(64, 30)).kernel(nn.Linear(30, 1000))


def test_sequences_give_the_outputs_of_one_token():
    model = nn.Linear(5, 3)
    x = torch.randn(6, 7, 5)
    last = richd.NTK(x).kernel(model)
    assert np.allclose(last, richd.NTK(x[:, -1]).kernel(model))
    assert np.allclose(richd.NTK(x, position=2).kernel(model), richd.NTK(x[:, 2]).kernel(model))
