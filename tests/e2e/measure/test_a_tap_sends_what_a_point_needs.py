import pytest

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.not_under(
    "address", "thread", because="a tap is the package's, and torch's")

STEPS, BATCH, WIDTH, CLASSES = 60, 400, 24, 5


def train(model, steps):
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(steps):
        x = torch.randn(BATCH, 8)
        labels = (x[:, :3].sum(1) > 0).long() + 2 * (x[:, 3] > 0).long()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()


@pytest.fixture
def model():
    torch.manual_seed(0)
    linear, relu = torch.nn.Linear, torch.nn.ReLU
    return torch.nn.Sequential(linear(8, WIDTH), relu(), linear(WIDTH, WIDTH), relu(),
                               linear(WIDTH, CLASSES))


def test_an_even_choice_of_rows_agrees_with_all_of_them(new_run, model):
    run = new_run(share=1.0)  # this network is so small that the hooks are most of its time
    run.watch(model, layer="thinned", module="4")
    run.watch(model, layer="whole", module="4", rows="all")
    for step in range(1, 4):
        for _ in range(STEPS):
            model(torch.randn(BATCH, 8))
        points = run.checkpoint(step=step, wait=True, timeout=30)
        thinned, whole = points["thinned"], points["whole"]
        assert (whole.n, whole.rows_thinned) == (STEPS * BATCH, 0)
        assert 900 <= thinned.n <= whole.n / 2
        assert thinned.n + thinned.rows_thinned == whole.n
        assert (thinned.rows_missing, thinned.flags) == (0, whole.flags)
        assert thinned.d_debiased_se <= 0.011 or step == 1
        assert abs(thinned.d_debiased - whole.d_debiased) < 4 * thinned.d_debiased_se
        assert abs(thinned.pr_debiased - whole.pr_debiased) < 4 * thinned.pr_debiased_se
        with torch.no_grad():  # a window's rows are those of one network
            for parameter in model.parameters():
                parameter.mul_(1.2)


@pytest.mark.parametrize("options", [{"window": "cumulative"}, {"probe": True}])
def test_windows_that_need_every_row_have_every_row(new_run, model, options):
    run = new_run(**options)
    run.watch(model, layer="4", train_only=True)
    train(model, STEPS)
    point = run.checkpoint(step=1, wait=True, timeout=30)["4"]
    assert (point.n, point.rows_thinned) == (STEPS * BATCH, 0)


def test_losses_and_weights_are_those_of_a_training_without_richd(new_run, model):
    bare = [parameter.detach().clone() for parameter in model.parameters()]

    def weights(watched):
        with torch.no_grad():
            for parameter, first in zip(model.parameters(), bare):
                parameter.copy_(first)
        torch.manual_seed(1)
        run = new_run(f"run{watched}")
        tap = run.watch(model, layer="4") if watched else None
        for step in range(1, 4):
            train(model, 20)
            run.checkpoint(step=step)
        if tap is not None:
            tap.remove()
        return [parameter.detach().clone() for parameter in model.parameters()]

    assert all(map(torch.equal, weights(False), weights(True)))
