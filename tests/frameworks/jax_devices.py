"""Four devices: rows sharded over them are seen once, in the loop and compiled in (jit, shard_map,
pmap). Argument: the daemon's runtime folder. Run by test_jax."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.shard_map import shard_map
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import richd
import richd.jax

assert jax.device_count() == 4
run = richd.init(runtime_dir=sys.argv[1])
mesh = Mesh(np.array(jax.devices()), ("rows",))
spec = PartitionSpec("rows")
x = jax.device_put(jax.random.normal(jax.random.key(0), (64, 6)), NamedSharding(mesh, spec))


def observe(layer, x):
    richd.jax.observe(run, x, x[:, :2] + x[:, 2:4], 1, layer=layer)
    return x.sum()


observe("loop", x)
jax.jit(functools.partial(observe, "jit"))(x)
jax.pmap(functools.partial(observe, "pmap"))(x.reshape(4, 16, 6))
mapped = shard_map(lambda x: jnp.reshape(observe("shard_map", x), (1,)), mesh, spec, spec)
jax.jit(mapped)(x)
points = richd.jax.checkpoint(run, 1, wait=True)
run.finish()
assert {name: point.n for name, point in points.items()} == {
    "loop": 64, "jit": 64, "pmap": 64, "shard_map": 64
}, {name: point.n for name, point in points.items()}
values = [point.d_debiased for point in points.values()]
assert max(values) - min(values) < 1e-6, values
