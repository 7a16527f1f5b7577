"""watch(reduce="device") on the CPU, where the same code runs as on a GPU."""

import pytest

#: What a point has of single rows, which moments have none of.
OF_ROWS = {
    *("d_lr_se", "d_debiased_se", "u_debiased_se", "pr_debiased_se", "cka_debiased"),
    *("dormant_features", "d_debiased", "u_debiased"),
}


def network(torch, dtype, ratio):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(12, 24), torch.nn.ReLU(), torch.nn.Linear(24, 5))
    with torch.no_grad():
        model[0].bias.add_(ratio)
    return model.to(dtype)


@pytest.mark.not_under("address", "thread", because="the daemon is sent moments elsewhere")
@pytest.mark.parametrize(
    ("dtype", "ratio", "cast", "tolerance"),
    [
        ("float64", 0.0, False, 1e-9),
        ("float64", 500.0, False, 1e-9),
        ("float32", 0.0, False, 1e-6),
        ("float32", 500.0, False, 1e-6),
        ("float32", 0.0, True, 1e-6),
        ("float32", 500.0, True, 1e-6),
    ],
)
def test_rows_reduced_on_the_device_equal_rows(daemon, new_run, dtype, ratio, cast, tolerance):
    import torch

    model = network(torch, getattr(torch, dtype), ratio)
    run = new_run()
    run.watch(model, layer="rows", module="2", reduce="rows")
    run.watch(model, layer="device", module="2", reduce="device")
    run.watch(model, layers=["0", "1"], reduce="device")
    for step in range(2):
        for rows in (60, 200, 7):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cast):
                model(torch.randn(rows, 12, dtype=getattr(torch, dtype)))
        points = run.checkpoint(step=step, wait=True, timeout=30)
        assert set(points) == {"rows", "device", "0", "1"}
        same, other = points["rows"], points["device"]
        assert other.n == same.n == 267 and other.flags == same.flags
        assert points["1"].d_lr == pytest.approx(same.d_lr, abs=tolerance)
        is_constant = cast and ratio > 0  # bf16 has no digits left, and both say so
        assert other.d_lr_se is None and (same.d_lr_se is None) == is_constant
        compare(same, other, tolerance)


def compare(rows, device, tolerance):
    for name, value in vars(rows).items():
        if isinstance(value, float) and name not in OF_ROWS and name != "time":
            assert getattr(device, name) == pytest.approx(value, rel=tolerance, abs=tolerance), name


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-6)])
def test_features_of_a_wide_head_are_reduced_without_its_outputs(
    daemon, new_run, dtype, tolerance
):
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 40))
    model.to(getattr(torch, dtype))
    run = new_run()
    run.watch(model, layer="rows", module="2", reduce="rows")
    run.watch(model, layer="device", module="2", reduce="device")
    for step in range(2):
        for rows in (100, 30):
            model(torch.randn(rows, 6, dtype=getattr(torch, dtype)))
        points = run.checkpoint(step=step, wait=True, timeout=30)
        assert points["device"].n == 130 and points["device"].d_lr is not None
        assert points["device"].flags == points["rows"].flags
        compare(points["rows"], points["device"], tolerance)


@pytest.mark.not_under("address", "thread", because="the daemon is sent moments elsewhere")
def test_rows_that_overflow_cost_themselves(daemon, new_run):
    import torch

    model = network(torch, torch.float32, 0.0)
    run = new_run()
    run.watch(model, layer="2", reduce="device")
    x = torch.randn(100, 12)
    x[7] = float("inf")
    model(x)
    point = run.checkpoint(step=0, wait=True, timeout=30)["2"]
    assert point.n == 99 and point.rows_missing == 1 and "partial" in point.flags
