"""What the tests of a shared history have in common."""

from harness import draw, wait_until


def train(trainer, steps, layers=("head", "body"), p=16):
    """A checkpoint of each layer, with its spectrum, and logged values at each step."""
    features, outputs = draw(64, p, 3)
    for step in steps:
        for layer in layers:
            trainer.rows(features, outputs + step * 1e-3, layer=layer, step=step)
        trainer.checkpoint(step, spectrum=True)
        trainer.wait(trainer.log(step, loss=1 / (1 + step), broken=None))


def is_level(daemon):
    status = daemon.rpc("server.status")
    return status["history_waiting"] == 0 and status["history_lag_s"] == 0


def await_level(daemon):
    """All that was stored is in the shared history."""
    wait_until(lambda: is_level(daemon), lambda: daemon.rpc("server.status"))


#: What each daemon has in its own way: when it was told, and what its trainers may go on with.
OWN = {"seq", "revision"}


def answers(daemon, run):
    """All that the feed says of a run, without what is the daemon's own."""
    told = daemon.rpc("run.get", run=run)
    layers = daemon.rpc("layer.list", run=run)["layers"]
    said = {
        "run": told,
        "layers": layers,
        "series": daemon.rpc("series.query", run=run,
                             attempts="all")["layers"],
        "scalars": daemon.rpc("scalars.query", run=run)["scalars"],
        "events": daemon.rpc("event.query", run=run)["events"],
    }
    return without(said, OWN | {"probe_rows"})


def without(value, names):
    if isinstance(value, dict):
        return {key: without(each, names) for key, each in value.items() if key not in names}
    if isinstance(value, list):
        return [without(each, names) for each in value]
    return value


def has_points(daemon, run, n):
    runs = {each["run"]: each for each in daemon.rpc("run.list")["runs"]}
    return run in runs and runs[run]["n_points"] == n


def assert_same(reader, writer, run):
    """The reader says of the run what its writer says, as soon as it has read all of it."""
    def unlike():
        return differences(answers(reader, run), answers(writer, run))

    n_points = writer.rpc("run.get", run=run)["n_points"]
    wait_until(lambda: has_points(reader, run, n_points), "the points")
    wait_until(lambda: not unlike(), lambda: f"the reader to have {unlike()}")


def differences(value, other, path=""):
    """Where two answers differ, and the values there."""
    if isinstance(value, dict) and isinstance(other, dict):
        pairs = [(f"{path}.{key}", value.get(key), other.get(key)) for key in {*value, *other}]
    elif isinstance(value, list) and isinstance(other, list) and len(value) == len(other):
        pairs = [(f"{path}[{i}]", *both) for i, both in enumerate(zip(value, other))]
    else:
        return [] if value == other else [(path, value, other)]
    return [each for path, *both in pairs for each in differences(*both, path)]
