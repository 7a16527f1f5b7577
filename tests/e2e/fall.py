"""A training whose D_LR falls, so that one transition is found."""

import numpy as np

#: Points before the fall, and what the detector waits behind it at most.
PLATEAU, BEHIND = 40, 20


def rows(step, idle):
    """256 rows of 16 features, 2 of them the outputs, the others idle with that deviation: the less
    they do, the richer (about 0.64 at 1, 0.05 at 0.3)."""
    rng = np.random.default_rng(step)
    features = rng.normal(size=(256, 16))
    outputs = features[:, :2].copy()
    features[:, 2:] *= idle
    return features.astype("f4"), outputs.astype("f4")


def advance(trainer, steps, accuracy=None, layers=("head",)):
    """Checkpoints at these steps; D_LR falls at step 10 * PLATEAU."""
    for step in steps:
        rich = step >= 10 * PLATEAU
        for layer in layers:
            trainer.rows(*rows(step, 0.3 if rich else 1.0), layer=layer)
        if accuracy:
            trainer.wait(trainer.log(step, **{accuracy: 1.0 if rich else 0.1}))
        trainer.checkpoint(step)


def all_steps():
    return [10 * k for k in range(PLATEAU + BEHIND)]
