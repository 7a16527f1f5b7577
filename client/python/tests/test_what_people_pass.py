"""Calls as programs make them: half wrong, without a step, with a configuration of any kind."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import enum
import pathlib
import re
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest

import richd
from richd._link import outbox as _outbox
from support import wait_until


def warnings_of(caplog):
    return [r.getMessage().split(" ", 1)[1] for r in caplog.records if r.name == "richd"]


def logged(daemon, run):
    run.finish()
    return [(m["step"], m["scalars"]) for m in daemon.controls("log")]


# ---- values --------------------------------------------------------------------------------------


def test_a_value_that_is_no_number_costs_itself_alone(daemon, run, caplog):
    values = {"loss": 0.5, "x": None, "image": np.ones((2, 2)), "text": "a", "acc": np.float32(1)}
    run.log(values, step=3)
    assert logged(daemon, run) == [(3, {"loss": 0.5, "acc": 1.0})]
    (text,) = warnings_of(caplog)
    for name in ("'x'", "'image'", "'text'"):
        assert f"{name} is left out" in text


def test_different_troubles_are_warned_of_once_each(run, caplog):
    for step in range(3):
        run.log({"x": None}, step=step)
        run.log({"y": "text"}, step=step)
        run.observe(np.ones((3 + step, 2)), np.ones((4 + step, 2)), step=step)
    texts = warnings_of(caplog)
    assert len(texts) == 3
    assert ["'x'" in texts[0], "'y'" in texts[1], "3 rows" in texts[2]] == 3 * [True]


@pytest.mark.parametrize("call, sentence", [
    (lambda run: run.log([0.5], step=1), "log takes numbers by name, .*not a list"),
    (lambda run: run.log({"loss": 0.5}, step="one"), "step is an integer from 0 to .*not 'one'"),
    (lambda run: run.checkpoint(step=[1]), "step is an integer from 0 to .*not \\[1\\]"),
    (lambda run: run.checkpoint(step=float("nan")), "step is an integer from 0 to .*not nan"),
])
def test_what_is_no_step_and_no_scalars_is_said_in_words(run, caplog, call, sentence):
    call(run)
    (text,) = warnings_of(caplog)
    assert re.search(sentence, text)


def test_raise_errors_raises_after_the_good_values_are_sent(daemon):
    with richd.init(endpoint=daemon.address, raise_errors=True) as run:
        assert wait_until(lambda: run.attempt is not None)
        with pytest.raises(ValueError, match="'x' is left out"):
            run.log({"loss": 0.5, "x": None}, step=1)
    assert [m["scalars"] for m in daemon.controls("log")] == [{"loss": 0.5}]


# ---- steps ---------------------------------------------------------------------------------------


def test_a_loop_that_gives_no_step_has_one_a_call(daemon, run, caplog):
    for i in range(4):
        run.log({"loss": i})
        run.log({"acc": -i})
    assert logged(daemon, run) == [
        pair for i in range(4) for pair in ((i, {"loss": float(i)}), (i, {"acc": float(-i)}))
    ]
    assert warnings_of(caplog) == ["without step=, each call goes on by one step"]


def test_a_log_without_a_step_belongs_to_the_last_one(daemon, run, caplog):
    for step in (10, 20):
        run.observe(np.ones((3, 2)), np.ones((3, 2)), step=step)
        run.checkpoint()
        run.log({"loss": 1})
    assert [step for step, _ in logged(daemon, run)] == [10, 20]
    assert [m["step"] for m in daemon.controls("checkpoint")] == [10, 20]
    assert not warnings_of(caplog)


def test_checkpoints_without_a_step_are_one_step_each(daemon, run):
    run.observe(np.ones((3, 2)), np.ones((3, 2)))
    for _ in range(3):
        run.checkpoint()
    run.finish()
    assert [m["step"] for m in daemon.controls("checkpoint")] == [0, 1, 2]


def test_a_step_that_is_given_again_writes_over(daemon, run, caplog):
    for value in (1, 2):
        run.log({"loss": value}, step=5)
    assert logged(daemon, run) == [(5, {"loss": 1.0}), (5, {"loss": 2.0})]
    assert not warnings_of(caplog)


# ---- configurations ------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    MIXED = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Slots:
    __slots__ = ("lr", "inner")
    lr: float
    inner: object


class Missing(collections.abc.Mapping):
    """As OmegaConf's are: a value that has to be given raises when it is read."""

    def __init__(self, **values):
        self.values_ = values

    def __getitem__(self, key):
        if self.values_[key] == "???":
            raise KeyError(key)
        return self.values_[key]

    def __iter__(self):
        return iter(self.values_)

    def __len__(self):
        return len(self.values_)


class Several(collections.abc.Sequence):
    def __init__(self, *values):
        self.values_ = values

    def __getitem__(self, i):
        return self.values_[i]

    def __len__(self):
        return len(self.values_)


class Unsayable:
    def __str__(self):
        raise RuntimeError("no")


class Model:
    """As pydantic's are."""

    model_fields = {"depth": None}

    def __init__(self, depth):
        self.depth = depth


Pair = collections.namedtuple("Pair", "first second")


@pytest.mark.parametrize(
    "given, stored",
    [
        (argparse.Namespace(lr=1, data=types.SimpleNamespace(n=2)), {"lr": 1, "data": {"n": 2}}),
        (Slots(0.1, Slots(1, None)), {"lr": 0.1, "inner": {"lr": 1, "inner": None}}),
        (Missing(a=1, b="???"), {"a": 1, "b": "<KeyError>"}),
        ({"layers": Several(1, Missing(a=2))}, {"layers": [1, {"a": 2}]}),
        ({"x": Unsayable(), Unsayable(): 1}, {"x": "<Unsayable>", "<Unsayable>": 1}),
        ({"c": Colour.RED, "m": Colour.MIXED, "l": Level.HIGH}, {"c": "red", "m": [1, 2], "l": 3}),
        ({"path": pathlib.PurePosixPath("/a/b")}, {"path": "/a/b"}),
        ({"model": Model(3)}, {"model": {"depth": 3}}),
        ({"pair": Pair(1, 2)}, {"pair": {"first": 1, "second": 2}}),
        ({"type": int, "f": np.float32(2)}, {"type": "<class 'int'>", "f": 2.0}),
    ],
)
def test_a_configuration_is_stored_as_a_reader_expects_it(daemon, given, stored):
    run = richd.init(endpoint=daemon.address, config=given)
    assert wait_until(lambda: daemon.controls("open"))
    assert daemon.controls("open")[0]["config"] == stored
    run.finish()


def test_a_configuration_that_holds_itself_ends_somewhere(daemon):
    config = {}
    config["self"] = config
    richd.init(endpoint=daemon.address, config=config).finish()


# ---- the end -------------------------------------------------------------------------------------

ENDINGS = {
    "": "finished",
    "sys.exit()": "finished",
    "sys.exit(0)": "finished",
    "sys.exit(1)": "failed",
    "sys.exit('no data')": "failed",
    "1 / 0": "failed",
    "raise KeyboardInterrupt": "failed",
}


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_way_a_program_ends_is_the_state_of_its_run(daemon, ending, within):
    body = f"with run:\n    pass\n    {ending}" if within else ending
    program = textwrap.dedent("""
        import sys, time, richd
        run = richd.init(endpoint=sys.argv[1])
        while run.attempt is None:
            time.sleep(.01)
    """) + body
    subprocess.run([sys.executable, "-c", program, daemon.address], timeout=30, check=False,
                   env={"PYTHONPATH": str(pathlib.Path(richd.__file__).parents[1])},
                   stderr=subprocess.DEVNULL)
    assert wait_until(lambda: daemon.controls("close"))
    assert [m["status"] for m in daemon.controls("close")] == [ENDINGS[ending]]


def test_an_exit_that_was_caught_in_the_middle_is_no_end(daemon):
    program = textwrap.dedent("""
        import argparse, sys, richd
        run = richd.init(endpoint=sys.argv[1])
        try:
            argparse.ArgumentParser().parse_args(["--unknown"])
        except SystemExit:
            run.log({"x": 1}, step=1)
    """)
    subprocess.run([sys.executable, "-c", program, daemon.address], timeout=30, check=True,
                   env={"PYTHONPATH": str(pathlib.Path(richd.__file__).parents[1])},
                   stderr=subprocess.DEVNULL)
    assert wait_until(lambda: daemon.controls("close"))
    assert daemon.controls("close")[0]["status"] == "finished"


def test_a_launcher_that_catches_the_exit_does_not_hide_it(daemon):
    program = textwrap.dedent("""
        import sys, richd
        run = richd.init(endpoint=sys.argv[1])
        try:
            sys.exit(3)
        except SystemExit:
            pass
    """)
    subprocess.run([sys.executable, "-c", program, daemon.address], timeout=30, check=True,
                   env={"PYTHONPATH": str(pathlib.Path(richd.__file__).parents[1])})
    assert wait_until(lambda: daemon.controls("close"))
    assert daemon.controls("close")[0]["status"] == "failed"


def test_the_close_finds_room_behind_a_full_queue(daemon, monkeypatch):
    monkeypatch.setattr(_outbox, "CONTROLS_MAX", 3)
    run = richd.init(endpoint=daemon.address)
    run._outbox.controls_max = 3
    for step in range(5):
        run.log({"x": 1}, step=step)
    run.finish()
    assert [m["status"] for m in daemon.controls("close")] == ["finished"]
    assert [m["step"] for m in daemon.controls("log")][:3] == [0, 1, 2]


# ---- what has no step ----------------------------------------------------------------------------


def test_a_step_that_nobody_gave_is_implied(daemon, run):
    run.log({"n_params": 1e6})
    run.observe(np.ones((3, 2)), np.ones((3, 2)))
    run.checkpoint()
    run.observe(np.ones((3, 2)), np.ones((3, 2)), step=40)
    run.checkpoint()
    run.log({"loss": 0.5})
    run.finish()
    sent = daemon.controls("log") + daemon.controls("checkpoint")
    assert [(m["step"], m.get("implied")) for m in sent] == [
        (0, True), (40, None), (0, True), (40, None)
    ]


def test_constants_go_out_without_a_step(daemon, run):
    run.config.update({"n_params": 10**6, "optimizer": {"lr": float("nan")}}, seed=0)
    run.config["seed"] = 1
    run.config(argparse.Namespace(width=4))
    run.summary(best_acc=np.float32(0.5))
    run.summary.update({"best_step": 7})
    run.finish()
    assert [m["config"] for m in daemon.controls("config")] == [
        {"n_params": 10**6, "optimizer": {"lr": None}, "seed": 0}, {"seed": 1}, {"width": 4}
    ]
    assert [m["summary"] for m in daemon.controls("summary")] == [
        {"best_acc": 0.5}, {"best_step": 7}
    ]
    assert [m["seq"] for m in daemon.controls("config")] == [1, 2, 3]
    assert dict(run.summary) == {"best_acc": 0.5, "best_step": 7}
    assert (run.config["seed"], len(run.config)) == (1, 4)


def test_constants_that_cannot_be_stored_cost_themselves(daemon, run, caplog):
    run.summary(3)
    run.summary(text="x" * (1 << 20))
    run.summary(best_acc=0.5)
    run.finish()
    assert [m["summary"] for m in daemon.controls("summary")] == [{"best_acc": 0.5}]
    assert len(warnings_of(caplog)) == 2


# ---- keywords ------------------------------------------------------------------------------------


def test_a_keyword_that_is_unknown_costs_itself(daemon, run, caplog, tmp_path):
    x, y = np.ones((3, 2)), np.ones((3, 2))
    for _ in range(2):
        run.observe(x, y, step=1, lable="x", layer="a")
        run.observe_layers({"b": x}, y, step=1, label=[0, 1, 0], splits="eval")
        run.log({"loss": 1}, step=1, epoch=3)
        assert set(run.checkpoint(step=1, wait=True, spectra=True)) == {"a", "b"}
    run.watch(object(), trains_only=True)
    with pytest.raises(richd.RichdError):
        run.series(layers="a", timeout=0.1)
    run.finish(state="finished")
    texts = warnings_of(caplog)
    for said in (
        "observe has no 'lable', which is left out: do you mean 'labels'?",
        "observe_layers has no 'label', which is left out: do you mean 'labels'?",
        "observe_layers has no 'splits', which is left out: do you mean 'split'?",
        "log has no 'epoch', which is left out",
        "checkpoint has no 'spectra', which is left out: do you mean 'spectrum'?",
        "watch has no 'trains_only', which is left out: do you mean 'train_only'?",
        "finish has no 'state', which is left out: do you mean 'status'?",
        "series has no 'layers', which is left out: do you mean 'layer'?",
    ):
        assert texts.count(said) == 1, texts


def test_init_goes_on_without_a_keyword_that_it_does_not_have(daemon, caplog):
    richd.init(endpoint=daemon.address, projekt="x").finish()
    assert "init has no 'projekt', which is left out: do you mean 'project'?" in caplog.text
    with pytest.raises(TypeError, match="projekt"):
        richd.init(endpoint=daemon.address, projekt="x", raise_errors=True)


def test_what_has_no_run_goes_on_without_it_as_well(daemon, run, caplog, monkeypatch):
    torch = pytest.importorskip("torch")
    tap = run.watch(torch.nn.Linear(2, 2), module="", layer="head")
    calls = {
        "Moments has no 'precison', which is left out: do you mean 'precision'?":
            lambda: richd.Moments(precison="double"),
        "NTK has no 'row', which is left out: do you mean 'rows'?":
            lambda: richd.NTK(torch.ones(3, 2), row=2),
        "labels has no 'classes', which is left out: do you mean 'n_classes'?":
            lambda: tap.labels(torch.ones(3), classes=2),
    }
    for said, call in calls.items():
        call()
        assert said in caplog.text
    monkeypatch.setenv("RICHD_RAISE", "1")
    for call in (*calls.values(), lambda: richd.init(endpoint=daemon.address, projekt="x")):
        with pytest.raises(TypeError):
            call()


def test_raise_errors_raises_for_an_unknown_keyword(daemon):
    with richd.init(endpoint=daemon.address, raise_errors=True) as run:
        with pytest.raises(TypeError, match="'labels'"):
            run.observe(np.ones((3, 2)), np.ones((3, 2)), lable=1)
