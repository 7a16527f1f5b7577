"""What goes over a slow way as moments, and what stays rows; without a daemon."""

import numpy as np
import pytest

from richd._link import wire
from richd._link.narrow import BACK, MOMENTS_BYTES_MAX, WINDOWS_REDUCED, Narrow, Way
from richd._link.outbox import Batch, Control, Outbox
from richd._report import Reporter

P, C, N = 8, 2, 400
RATE = 1000.0


def batch(seq, n=N, p=P, targets=0, bad=False):
    rng = np.random.default_rng(seq)
    x, y = rng.standard_normal((n, p)), rng.standard_normal((n, C))
    x[0, 0] = np.nan if bad else x[0, 0]
    header = wire.Header(
        kind=wire.KIND_ROWS, seq=seq, step=seq, rows_before=(seq - 1) * n, n_rows=n, n_features=p,
        n_outputs=C, features_dtype=wire.DTYPE_F64, outputs_dtype=wire.DTYPE_F64,
        n_targets=targets, targets_dtype=wire.DTYPE_F64 if targets else wire.DTYPE_NONE)
    frames = [header.encode(), b"head", x.tobytes(), y.tobytes()]
    frames += [np.zeros((n, targets)).tobytes()] if targets else []
    return Batch(n, frames, sum(map(len, frames)))


class Line:
    """An outbox and what stands behind it, on a way of RATE."""

    def __init__(self):
        self.outbox = Outbox()
        self.reporter = Reporter("run", raise_errors=False)
        self.narrow = Narrow(self.outbox, self.reporter, lambda batch: True)
        self.narrow.is_on = True
        self.narrow.way.rate = RATE
        self.n, self.now = 0, 0.0

    def window(self, seconds, *batches):
        """Puts them and a mark that comes `seconds` after the last one; returns what is sent."""
        for one in batches:
            assert self.outbox.reserve(one.size_bytes)
            self.outbox.put_batch(one)
        self.n, self.now = self.n + 1, self.now + seconds
        mark = Control("checkpoint", self.n, b"{}")
        mark.put_at = self.now
        self.outbox.put_control(lambda: mark)
        return self.sent()

    def sent(self):
        items = []
        while self.narrow.head() is not None:
            items.append(self.narrow.pop())
            if isinstance(items[-1], Batch):
                self.outbox.release(items[-1].size_bytes)
        return items


def kinds(items):
    return [item.frames[0][wire.KIND_AT] if isinstance(item, Batch) else item.type
            for item in items]


ROWS, MOMENTS = [wire.KIND_ROWS, "checkpoint"], [wire.KIND_MOMENTS, "checkpoint"]


def test_rows_that_the_way_cannot_carry_in_their_time_are_reduced():
    line = Line()
    size = batch(1).size_bytes
    slow, quick = 0.9 * size / RATE, 3 * size / RATE
    assert kinds(line.window(slow, batch(1))) == ROWS
    assert kinds(line.window(slow, batch(2))) == ROWS  # from now on the window's time is known
    items = line.window(slow, batch(3), batch(4))
    assert kinds(items) == MOMENTS
    header = wire.Header.decode(items[0].frames[0])
    assert (header.seq, header.n_rows, header.rows_before) == (4, 2 * N, 2 * N)
    assert line.reporter.stats().rows_reduced == 2 * N
    assert kinds(line.window(quick, batch(5))) == MOMENTS
    assert kinds(line.window(quick, batch(6))) == ROWS  # less than BACK of its time
    assert BACK * quick > size / RATE
    assert line.outbox.size_bytes == 0


def test_a_way_that_was_never_full_or_has_no_tcp_carries_rows():
    for changes in ({"rate": None}, {"is_on": False}):
        line = Line()
        line.narrow.way.rate = changes.get("rate", RATE)
        line.narrow.is_on = changes.get("is_on", True)
        for seq in range(1, 5):
            assert kinds(line.window(0.001, batch(seq))) == ROWS


@pytest.mark.parametrize("changes", [{"targets": 2}, {"p": 1500, "n": 2}])
def test_rows_without_moments_and_those_of_large_ones_stay_rows(changes):
    line = Line()
    for seq in range(1, 5):
        assert kinds(line.window(0.001, batch(seq, **changes))) == ROWS
    assert 8 * 1500 * 1501 / 2 > MOMENTS_BYTES_MAX


def test_rows_that_are_not_finite_are_counted():
    line = Line()
    for seq in range(1, 3):
        line.window(0.001, batch(seq))
    items = line.window(0.001, batch(3), batch(4, bad=True))
    assert wire.Header.decode(items[0].frames[0]).n_rows == N
    assert line.reporter.stats().rows_dropped == N


def test_rows_are_tried_again_after_a_while():
    line = Line()
    sent = [kinds(line.window(0.001, batch(seq))) for seq in range(1, WINDOWS_REDUCED + 4)]
    assert sent[2:WINDOWS_REDUCED + 2] == [MOMENTS] * WINDOWS_REDUCED
    assert sent[-1] == ROWS


def test_what_is_held_at_the_end_goes_out_first():
    line = Line()
    for seq in range(1, 3):
        line.window(0.001, batch(seq))
    for seq in (3, 4):
        assert line.outbox.reserve(batch(seq).size_bytes)
        line.outbox.put_batch(batch(seq))
    assert line.narrow.head() is None  # it is held
    assert kinds(line.narrow.drain()) == [wire.KIND_MOMENTS]


def test_the_rate_is_that_of_the_time_in_which_the_way_was_full():
    way = Way()
    way.look(0.0, True, 0, 100)
    way.look(0.3, True, 600, 100)
    way.look(0.6, False, 600, 0)
    assert way.rate == pytest.approx(2000)
    way.look(5.0, False, 10**9, 0)
    way.look(9.0, True, 0, 500)
    assert way.rate == pytest.approx(2000)
    way.look(11.0, True, 0, 500)  # nothing has passed: 500 in 2 s at most
    assert way.rate == pytest.approx(250)
    way.begin()
    assert way.rate is None
