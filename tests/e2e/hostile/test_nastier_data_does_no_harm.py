"""Data messages that keep to their sizes and mean nothing: refused with a sentence, or measured as
far as there is a value; the rows of the same run behind them are measured as ever."""

import json
import math

import numpy as np
import pytest

from harness import F16, BF16, assert_measures, draw
from messages import (C, F64, I32, N, P, features_alone, head_of, labelled, moments, rows, slice_of,
                      sums, weighted)

pytestmark = pytest.mark.not_under("thread", because="each is one message on one thread")

EYE, ONES = np.eye(P), np.ones((P, C))
DRAWN = draw(N, P, C)
HALF = DRAWN[0].astype(np.float16), DRAWN[1].astype(np.float16)
HUGE, TINY = 2**32 - 1, 5e-324


def two(first, second):
    """Two messages of moments, one after the other."""
    return [moments(**first), moments(header={"seq": 2, "rows_before": N}, **second)]


def layers(*names, **changes):
    """One message of several layers."""
    frames = []
    for left, name in zip(range(len(names) - 1, -1, -1), names):
        frames += [head_of(n_more=left, **changes), name, DRAWN[0].tobytes()]
    return [*frames, DRAWN[1].tobytes()]


#: What is sent, and the codes of the refusals.
MESSAGES = {
    # ---- moments that no rows have
    "X'Y beyond what X'X and Y'Y allow": ([moments(xy=1e6 * ONES)], []),
    "Y'Y of negative variance": ([moments(yy=-np.eye(C))], []),
    "X'X that is not positive": ([moments(xx=EYE - 2 * np.ones((P, P)))], []),
    "X'X of negative trace": ([moments(xx=-EYE)], []),
    "fourth moments below the square of the second": ([moments(fourth=np.zeros(1 + P))], []),
    "negative fourth moments": ([moments(fourth=-np.ones(1 + P))], []),
    "one row that varies": ([moments(header={"n_rows": 1})], []),
    "no row that varies": ([moments(header={"n_rows": 0})], []),
    "4,294,967,295 rows twice": ([moments(header={"n_rows": HUGE}),
                                  moments(header={"n_rows": HUGE, "seq": 2,
                                                  "rows_before": HUGE})], []),
    "NaN in the mean": ([moments(mean_x=np.full(P, math.nan))], ["ENUMERIC"]),
    "infinity in X'X": ([moments(xx=np.diag([math.inf, 1, 1, 1]))], ["ENUMERIC"]),
    "NaN below the diagonal": ([moments(xx=EYE + np.tril(np.full((P, P), math.nan), -1))],
                               ["ENUMERIC"]),
    "NaN in the fourth moments": ([moments(fourth=np.full(1 + P, math.nan))], ["ENUMERIC"]),
    "X'X beyond doubles when added": (two({"xx": 1e308 * EYE}, {"xx": 1e308 * EYE}), []),
    "means as far apart as doubles go": (two({"mean_x": np.full(P, 1.7e308)},
                                             {"mean_x": np.full(P, -1.7e308)}), []),
    "outputs beyond squares": ([moments(yy=1e308 * np.eye(C), xy=1e300 * ONES)], []),
    "denormal sums": ([moments(xx=TINY * EYE, yy=TINY * np.eye(C), xy=0 * ONES)], []),
    "moments with targets": ([moments(header={"k": 3, "targets": I32})], ["EPROTO"]),
    # ---- heads
    "slices out of order": ([features_alone(), slice_of(2, 2, 2), slice_of(0, 2, 3)],
                            ["ENUMERIC"]),
    "slices that overlap": ([features_alone(), slice_of(0, 3, 2), slice_of(2, 2, 3)],
                            ["ENUMERIC"]),
    "a slice that is repeated": ([features_alone(), slice_of(0, 2, 2), slice_of(0, 2, 3),
                                  slice_of(2, 2, 4)], []),
    "a slice beyond the triangle": ([features_alone(), slice_of(3, 2, 2)], ["EPROTO"]),
    "a slice whose end overflows": ([features_alone(), slice_of(1, HUGE, 2)], ["EPROTO"]),
    "a slice of no rows": ([features_alone(), slice_of(0, 0, 2)], ["EPROTO"]),
    "a head of NaN": ([features_alone(), slice_of(0, P, 2, values=math.nan)], ["ENUMERIC"]),
    "a head of zeros": ([features_alone(), slice_of(0, P, 2, values=0.0)], []),
    "a head beyond squares": ([features_alone(), slice_of(0, P, 2, values=1e300)], []),
    "a head of another width": ([features_alone(), slice_of(0, 3, 2, p=3)], ["ESHAPE"]),
    "a head where outputs came": ([rows(), slice_of(0, P, 2)], ["ESHAPE"]),
    "a head before any row": ([slice_of(0, P, 1)], []),
    # ---- rows
    "f16 below the least normal": ([rows(HALF[0] * np.float16(6e-8), HALF[1], features=F16,
                                         outputs=F16)], []),
    "f16 that overflowed": ([rows(np.full((N, P), np.inf, np.float16), HALF[1], features=F16,
                                  outputs=F16)], ["ENUMERIC"]),
    "bf16 that is no number": ([rows(np.full((N, P), 0x7fc1, "<u2"), np.zeros((N, C), "<u2"),
                                     features=BF16, outputs=BF16)], ["ENUMERIC"]),
    "f32 of 1e30": ([rows(DRAWN[0] * np.float32(1e30))], []),
    "f64 beyond squares": ([rows(DRAWN[0].astype(float) * 1e200, features=F64)], []),
    "f64 below squares": ([rows(DRAWN[0].astype(float) * 1e-300, features=F64)], []),
    "f32 denormals": ([rows(np.arange(N * P, dtype="<u4").reshape(N, P))], []),
    "a label of 2^31": ([labelled(2**31)], ["EPROTO"]),
    "a label of 2^63 - 1": ([labelled(2**63 - 1)], ["EPROTO"]),
    "labels of -2^63": ([labelled(-2**63)], []),
    "a label just below 2^24 classes": ([labelled(2**24 - 1, k=2**24)], []),
    "2^31 classes": ([labelled(0, k=2**31)], ["EPROTO"]),
    "weights that are all 0": ([weighted(0)], []),
    "one weight": ([weighted([1] + [0] * (N - 1))], []),
    "a negative weight": ([weighted([1] * (N - 1) + [-1e-9])], ["ENUMERIC"]),
    "a negative zero as weight": ([weighted(-0.0)], []),
    "a weight that is NaN": ([weighted(math.nan)], ["ENUMERIC"]),
    "weights of 1e308": ([weighted(1e308)], ["ENUMERIC"]),
    "weights of a denormal": ([weighted(TINY)], ["ENUMERIC"]),
    "weights 200 orders apart": ([weighted(np.geomspace(1e-100, 1e100, N))], []),
    "64 layers of one name": ([layers(*[b"head"] * 64)], None),
    "a layer's number counted wrong": ([[head_of(n_more=1), *rows()[1:3], *rows()[:3],
                                         *rows()[3:], b""]], ["EPROTO"]),
    "64 layers of no rows": ([[part if len(part) == 64 or part.startswith(b"l") else b""
                               for part in layers(*(b"l%d" % i for i in range(64)), n_rows=0)]],
                             []),
    "one feature of 4,294,967,295 rows": ([rows(n_rows=HUGE, p=1)], ["EPROTO"]),
    "a number that goes back": ([rows(seq=5), rows(seq=4, rows_before=N),
                                 rows(seq=6, rows_before=N)], None),
    "rows before that go back": ([rows(rows_before=2**30), rows(seq=2)], None),
    "a step of 2^63 - 1": ([rows(step=2**63 - 1)], []),
    "a step that goes back by 2^53": ([rows(step=2**53), rows(seq=2, rows_before=N)], []),
    "reserved bytes that are not 0": ([[rows()[0][:56] + b"\xff" * 8, *rows()[1:]]], []),
}
#: Beyond what any of the cases has sent.
TOTALS = {"seq": 1000, "rows": 2**39}
SHARES = ("d_lr", "u", "cka_linear")


def no_constant(name):
    raise AssertionError(f"{name} is not JSON")


def assert_is_a_point(point):
    """Its values are numbers that a reader of JSON knows, and shares are shares."""
    json.loads(json.dumps(point), parse_constant=no_constant)
    for name in SHARES:
        assert point.get(name) is None or 0 <= point[name] <= 1, (name, point)
    if point["d_lr"] is None:
        assert point["d_debiased"] is None, point


@pytest.mark.parametrize(("messages", "codes"), MESSAGES.values(), ids=MESSAGES.keys())
def test_nastier_data_does_no_harm(daemon, connect, run_id, messages, codes):
    refused = daemon.rpc("server.status")["batches_refused"]
    good = draw(50, P, C, seed=9)
    trainer = connect(run_id)
    for frames in messages:
        trainer.send(*frames)
    trainer.rows(*good, layer="after")
    mark = trainer.mark(1, layers=["after"])
    trainer.say("checkpoint", seq=2, step=2, layers={"head": TOTALS})
    while 2 not in trainer.acks:
        message = trainer.receive()
        assert message and not (message["type"] == "nack" and "seq" in message), message
    assert_measures(trainer.wait(mark)["after"], *good)
    for point in trainer.acks[2]:
        assert_is_a_point(point)
    if codes is not None:
        assert [nack["code"] for nack in trainer.nacks] == codes
    for nack in trainer.nacks:
        assert nack["text"] and not nack["fatal"] and nack["batch"] > 0, nack
    assert daemon.rpc("server.status")["batches_refused"] == refused + len(trainer.nacks)
    assert "NaN" not in daemon.richctl("series", run_id, "--layer", "after", "--json")


def test_sums_of_rows_are_a_good_message(connect, run_id):
    """The builder that the cases above change."""
    trainer = connect(run_id)
    trainer.send(*moments())
    trainer.say("checkpoint", seq=1, step=1, layers={"head": {"seq": 1, "rows": N}})
    assert trainer.wait(1)["head"]["n"] == N
    assert set(sums()) == {"mean_x", "mean_y", "xx", "xy", "yy", "fourth"}
