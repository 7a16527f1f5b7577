"""A program that trains with Keras; run by test_keras, once a backend.

    keras_program.py BACKEND compare RUNTIME_DIR        # with and without richd, with no daemon
    keras_program.py BACKEND resume RUNTIME_DIR FOLDER  # interrupted once, then to its end
    keras_program.py BACKEND odd RUNTIME_DIR            # what is no plain network, no plain labels

It prints what came of it as JSON.
"""

import json
import os
import sys

BACKEND, WHAT, RUNTIME_DIR = sys.argv[1:4]
os.environ["KERAS_BACKEND"] = BACKEND
if BACKEND == "torch":
    import keras_torch  # noqa: F401, what Debian's torch lacks

import keras  # noqa: E402
import numpy as np  # noqa: E402

from richd.keras import RichdCallback  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 8)).astype("float32")
Y = (X @ RNG.normal(size=(8, 3))).argmax(1)


def new_model():
    """With seeds, a head that ends in softmax, and running means, which Debian's torch lacks."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    if BACKEND == "jax":
        hidden = keras.layers.BatchNormalization()(hidden)
    hidden = keras.layers.Dropout(0.2)(hidden)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="last")(hidden))
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    return model


def fit(callbacks, epochs=3):
    model = new_model()
    kept = model.fit(X, Y, batch_size=32, epochs=epochs, validation_data=(X[:64], Y[:64]),
                     callbacks=callbacks, verbose=0)
    return model, kept.history


def compare():
    bare, losses = fit([])
    seen = {}
    for name, options in (("daemon", {"runtime_dir": RUNTIME_DIR}), ("none", {})):
        told = []
        callback = RichdCallback(X[:128], Y[:128], validation=(X[128:], Y[128:]), every=5,
                                 run_id=f"run-{name}", config={"seed": 1}, **options)
        model, with_richd = fit([callback, keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: told.append(sorted(logs)))])
        same = [np.array_equal(a, b) for a, b in zip(bare.get_weights(), model.get_weights())]
        seen[name] = {"losses": with_richd == losses, "weights": all(same), "logs": told,
                      "is_clean": "call" not in vars(model.get_layer("last"))}
        if name == "daemon":
            features = keras.Model(model.input, model.get_layer("last").input)
            seen["features"] = np.asarray(features.predict(X[:128], verbose=0)).tolist()
            seen["head"] = [w.tolist() for w in model.get_layer("last").get_weights()]
        callback.finish()
    return seen


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def resume():
    folder = sys.argv[4]
    callback = RichdCallback(X, Y, project="resumed", backup_dir=folder, runtime_dir=RUNTIME_DIR)
    callbacks = [callback, keras.callbacks.BackupAndRestore(folder)]
    if not os.path.exists(os.path.join(folder, "richd.json")):
        try:
            fit([*callbacks, Interrupt()], epochs=4)
        except KeyboardInterrupt:
            return {"run": callback.run.id}  # and the program ends as if all were well
    fit(callbacks, epochs=4)
    return {"run": callback.run.id}


class Subclassed(keras.Model):
    """A head within a layer, called twice; several inputs; no mode of training."""

    def __init__(self):
        super().__init__()
        self.body = keras.Sequential([keras.layers.Dense(8, activation="tanh")])
        self.heads = keras.Sequential([keras.layers.Dense(3, name="twice")])

    def call(self, inputs):
        return self.heads(self.body(inputs["x"])) + self.heads(self.body(inputs["z"]))


def odd():
    """The subclassed model, with steps that Keras makes at once, and a layer that is not there."""
    keras.utils.set_random_seed(1)
    model = Subclassed()
    at_once = 4 if BACKEND == "jax" else 1
    model.compile(keras.optimizers.SGD(1e-2), "mse", steps_per_execution=at_once)
    inputs, targets = {"x": X, "z": -X}, np.eye(3)[Y]
    callbacks = [
        RichdCallback(inputs, targets, layer=layer, run_id=layer, every=4, runtime_dir=RUNTIME_DIR)
        for layer in ("twice", "absent")
    ]
    for _ in range(2):
        model.fit(inputs, targets, batch_size=32, epochs=1, callbacks=callbacks, verbose=0)
    for callback in callbacks:
        callback.finish()


print(json.dumps({"compare": compare, "resume": resume, "odd": odd}[WHAT]()))
