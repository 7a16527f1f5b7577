"""A program that trains, with Trackio and its mirror: run by test_mirrors, where Trackio is found.

Arguments: the daemon's runtime folder. It logs the loss without a step, three times; and prints the
values of D_LR as JSON.
"""

import json
import sys

import numpy as np
import trackio

import richd

HEAD = np.random.default_rng(1).normal(size=(6, 3))

trackio.init(project="p", name="mirrored", embed=False)
run = richd.init(runtime_dir=sys.argv[1], mirror="trackio")
rng = np.random.default_rng(0)
points = []
for step in (0, 100, 200):
    features = rng.normal(size=(64, 6))
    run.observe(features, features @ HEAD, step=step)
    points.append(run.checkpoint(step=step, wait=True)["head"].d_debiased)
    trackio.log({"loss": 1.0})
run.finish()
trackio.finish()
print(json.dumps(points))
