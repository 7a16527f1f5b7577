import pytest

import richd
from harness import draw

NAMES = ("param_norm", "param_change", "ntk_distance", "ntk_alignment")


@pytest.mark.not_under("address", "thread", because="the norms are computed by torch")
def test_parameters_and_tangent_kernel_stand_beside_d_lr(daemon, new_run):
    import torch
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.Tanh(), torch.nn.Linear(12, 3))
    x, labels = torch.randn(64, 6), torch.arange(64) % 3
    before = sum(float(p.detach().double().square().sum()) for p in model.parameters())
    run = new_run()
    run.watch(model, layer="2", ntk=richd.NTK(x[:16], labels[:16], every=2))
    points = []
    for step in range(3):
        model(x)
        points.append(run.checkpoint(step=step, wait=True, timeout=30)["2"])
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(2)
    steps, series = run.series("param_norm")
    run.finish()

    assert points[0].param_norm == pytest.approx(before, rel=1e-12)
    assert [p.param_norm for p in points] == pytest.approx([before, 4 * before, 16 * before])
    assert [p.param_change for p in points] == pytest.approx([0, 1, 9])
    assert points[0].ntk_distance == pytest.approx(0, abs=1e-12)
    assert points[1].ntk_distance is points[1].ntk_alignment is None
    assert 0 < points[2].ntk_distance < 1 and -1 <= points[2].ntk_alignment <= 1
    assert points[0].d_lr is not None
    assert list(steps) == [0, 1, 2] and list(series) == [p.param_norm for p in points]
    columns = daemon.series("run", layer="2")
    assert {name: columns[name] for name in NAMES} == \
        {name: [getattr(p, name) for p in points] for name in NAMES}


def test_a_measure_that_is_not_the_trainers_is_refused_by_name(daemon, new_run, monkeypatch, caplog):
    monkeypatch.setattr("richd._torch.reported.REPORTED", (*NAMES, "d_lr"))
    run = new_run()
    run.observe(*draw(64, 4, 2), step=0)
    assert run.checkpoint(step=0, wait=True, timeout=30, metrics={"d_lr": 0.5}) == {}
    point = run.checkpoint(step=1, wait=True, timeout=30, metrics={"param_norm": 2.5})["head"]
    run.finish()
    assert point.param_norm == 2.5 and point.d_lr != 0.5 and point.n == 64
    assert any('"d_lr" is no metric that a trainer reports' in r.getMessage()
               for r in caplog.records)
