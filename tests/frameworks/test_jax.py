"""richd.jax on the real JAX: in the loop and compiled in; losses and weights stay what they are."""

import pathlib
import subprocess
import sys

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import richd
import richd.jax
from harness import clean_environment, wait_until
from richd._values import arrays as _arrays

ROWS = 32


class Network(flax.linen.Module):
    """Gives the features of the last layer beside its outputs."""

    @flax.linen.compact
    def __call__(self, x):
        features = flax.linen.relu(flax.linen.Dense(16)(x))
        return flax.linen.Dense(3)(features), features


def batch(step):
    rng = np.random.default_rng(step)
    return rng.normal(size=(ROWS, 8)).astype(np.float32), rng.integers(0, 3, ROWS)


def train(run=None, n_steps=30, compiled_in=False):
    """Losses and final weights; with a run, the points as well."""
    model, optimizer = Network(), optax.adam(1e-2)
    params = model.init(jax.random.key(0), jnp.ones((1, 8)))
    state = optimizer.init(params)

    @jax.jit
    def train_step(params, state, x, y, step):
        def loss_of(params):
            logits, features = model.apply(params, x)
            if compiled_in:
                richd.jax.observe(run, features, logits, step, labels=y)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            return losses.mean(), (features, logits)

        (loss, aux), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, loss, *aux

    losses, points = [], []
    for step in range(n_steps):
        x, y = batch(step)
        params, state, loss, features, logits = train_step(params, state, x, y, step)
        losses.append(loss)
        if run is not None and not compiled_in:
            richd.jax.observe(run, features, logits, step, labels=y)
        if run is not None and step % 10 == 9:
            points.append(richd.jax.checkpoint(run, step, wait=True))
    return [float(loss) for loss in losses], jax.tree.map(np.asarray, params), points


def assert_same(one, other):
    assert one[0] == other[0]
    assert jax.tree.all(jax.tree.map(np.array_equal, one[1], other[1]))


@pytest.fixture(scope="module")
def bare():
    return train()


@pytest.mark.parametrize("compiled_in", [False, True], ids=["in the loop", "compiled in"])
def test_losses_and_weights_are_the_same_with_richd(new_run, bare, compiled_in):
    run = new_run()
    trained = train(run, compiled_in=compiled_in)
    run.finish()
    assert_same(trained, bare)
    heads = [point["head"] for point in trained[2]]
    assert [(h.step, h.n, h.p, h.c, h.rows_missing) for h in heads] == [
        (step, 10 * ROWS, 16, 3, 0) for step in (9, 19, 29)
    ]
    assert [(h.rows_from, h.rows_to) for h in heads] == [(0, 9), (10, 19), (20, 29)]
    assert all(0 < h.d_debiased < 1 and h.nc1 > 0 for h in heads)


@pytest.mark.parametrize("compiled_in", [False, True], ids=["in the loop", "compiled in"])
def test_losses_and_weights_are_the_same_without_a_daemon(bare, compiled_in):
    run = richd.init()
    trained = train(run, compiled_in=compiled_in)
    run.finish()
    assert_same(trained, bare)
    assert run.stats.rows_offered == 30 * ROWS


def test_both_ways_measure_the_same(new_run):
    points = [train(new_run(name), compiled_in=is_in)[2] for name, is_in in
              (("loop", False), ("in", True))]
    for loop, compiled in zip(*points):
        assert loop["head"].d_lr == pytest.approx(compiled["head"].d_lr, abs=1e-9)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16, jnp.int32])
def test_the_loop_does_not_wait_for_the_device(new_run, dtype):
    @jax.jit
    def slow(x):
        for _ in range(5):
            x = jnp.tanh(x @ x.T) @ x / 1000
        return x[:64, :8].reshape(8, 8, 8)

    def offer(step):
        """Whether the rows were still being computed when they had been offered."""
        outputs = slow(x)
        richd.jax.observe(run, (outputs + 1).astype(dtype), outputs[..., :3] * 0 + 1, step=step)
        return not outputs.is_ready()

    x = jnp.ones((1000, 1000))
    run = new_run()
    offer(0)  # what is compiled is compiled now
    n_tries = 5  # the training thread may get no core while the device computes
    were_pending = [offer(step) for step in range(1, 1 + n_tries)]
    point = run.checkpoint(step=n_tries, wait=True, timeout=30)["head"]
    assert (point.n, point.p, point.c, point.rows_missing) == (64 * (1 + n_tries), 8, 3, 0)
    assert any(were_pending) or dtype == jnp.int32


def test_pending_rows_arrive_as_they_are(new_run):
    """Compared with numpy's, split over batches."""
    @jax.jit
    def compute(key):
        x = jax.random.normal(key, (300_000, 8))
        return x, x[:, :3] + 1

    run = new_run()
    x, y = compute(jax.random.key(0))
    richd.jax.observe(run, x, y, step=1)
    point = run.checkpoint(step=1, wait=True, timeout=30)["head"]
    run.observe(np.asarray(x), np.asarray(y), step=2)
    other = run.checkpoint(step=2, wait=True, timeout=30)["head"]
    assert (point.n, point.d_lr) == (300_000, other.d_lr)
    moments = richd.Moments().update(*compute(jax.random.key(0)))
    run.observe_moments(moments, step=3)
    assert run.checkpoint(step=3, wait=True)["head"].d_lr == pytest.approx(other.d_lr, abs=1e-6)


def test_rows_that_were_donated_before_they_were_there_are_lost():
    x = jax.jit(lambda key: jax.random.normal(key, (1500, 1500)) @ jnp.ones((1500, 1500)))(
        jax.random.key(0))
    rows = _arrays.as_rows(x, "features")
    assert isinstance(rows, _arrays.LaterRows)
    x.delete()
    with pytest.raises(RuntimeError, match="deleted"):  # the sender drops them, with a warning
        rows.stage(0, 2, copy=True).wait_filled()


def test_rows_without_a_label_are_told_apart_before_they_are_there(new_run):
    run = new_run()
    x = jax.random.normal(jax.random.key(0), (1200, 1200))
    x = (x @ x @ x / 1200)[:, :8].astype(jnp.bfloat16)
    labels = np.where(np.arange(1200) % 3, np.arange(1200) % 3 - 1, -100)
    richd.jax.observe(run, x, x[:, :2] * 1, 1, labels=labels)
    point = run.checkpoint(step=1, wait=True, timeout=30)["head"]
    run.observe(np.asarray(x)[labels >= 0], np.asarray(x[:, :2])[labels >= 0], 2,
                labels=labels[labels >= 0])
    assert (point.n, point.classes_seen) == (800, 2)
    assert point.d_lr == run.checkpoint(step=2, wait=True, timeout=30)["head"].d_lr


def test_every_takes_some_of_the_steps_of_a_scan(new_run):
    run = new_run()

    @jax.jit
    def steps(x):
        def body(x, step):
            richd.jax.observe(run, x, x[:, :2], step, every=5)
            return x * 1.01, None

        return jax.lax.scan(body, x, jnp.arange(20))[0]

    steps(jax.random.normal(jax.random.key(0), (16, 4)))
    point = richd.jax.checkpoint(run, 19, wait=True)["head"]
    assert (point.n, point.rows_from, point.rows_to) == (64, 0, 15)


def test_an_example_of_vmap_is_a_row(new_run):
    run = new_run()

    def predict(x):
        richd.jax.observe(run, x, x[:2])
        return x.sum()

    jax.vmap(jax.grad(predict))(jax.random.normal(jax.random.key(0), (12, 4)))
    point = richd.jax.checkpoint(run, 0, wait=True)["head"]
    assert (point.n, point.p, point.c) == (12, 4, 2)


def test_shards_of_several_devices_are_all_seen(daemon):
    program = pathlib.Path(__file__).with_name("jax_devices.py")
    environment = clean_environment(XLA_FLAGS="--xla_force_host_platform_device_count=4")
    ended = subprocess.run([sys.executable, program, daemon.runtime], timeout=120, env=environment,
                           capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]


def test_what_is_malformed_harms_no_training(new_run, caplog):
    run = new_run()

    @jax.jit
    def step(x):
        richd.jax.observe(run, x, x[:3, :2], layer="a")
        richd.jax.observe(run, None, x)
        return x + 1

    assert step(jnp.ones((4, 4))).sum() == 32
    jax.effects_barrier()
    assert wait_until(lambda: "4 rows of features beside 3 of outputs" in caplog.text)
    run.finish()
