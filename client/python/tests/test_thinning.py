"""An even choice of a window's rows, whatever its length: richd._values.thinning, held and pace."""

import itertools

import numpy as np
import pytest

from richd._values import held as _held, thinning as _thinning
from richd._values.held import Piece
from richd._values.pace import Pace
from richd._values.thinning import Thinning, one_of_each, rows_needed

WANTED = _thinning.ROWS_MIN


def thinning(seed=0, pace=None):
    made = Thinning(pace or Pace(1.0))
    made._generator = np.random.default_rng(seed)
    return made


def rows_of(numbers, step=0, width=1):
    """Rows whose features are their numbers."""
    features = np.repeat(np.asarray(numbers, dtype=np.float64)[:, None], width, axis=1)
    return Piece({"head": features}, features[:, :1], None, None, step)


def call(taken, numbers, step=0, split=None, width=1):
    """One pass of a model: its rows are numbers."""
    numbers = np.asarray(numbers)
    draw = taken.draw(split, len(numbers), 8 * width + 8)
    drawn = numbers if draw.index is None else numbers[draw.index]
    return taken.add(split, draw, rows_of(drawn, step, width))


def numbers_of(drawn):
    """(the numbers of all rows, in order; how many were left out)."""
    parts = [part[:, 0] for d in drawn for part in d.rows.features.values()]
    return np.concatenate([np.empty(0), *parts]).astype(int), sum(d.n_thinned for d in drawn)


def window(taken, n, batch, first=0):
    """The numbers that a window of n rows in passes of `batch` leaves, and how many it left out."""
    for start in range(first, first + n, batch):
        call(taken, range(start, min(start + batch, first + n)))
    return numbers_of(taken.take(1 << 30))


@pytest.mark.parametrize("n", [1, 100, WANTED, 2 * WANTED, 5000, 40_000, 300_000])
@pytest.mark.parametrize("batch", [64, 1000, 100_000])
def test_a_window_of_any_length_leaves_enough_rows_and_tells_the_others(n, batch):
    taken = thinning()
    for _ in range(2):  # the first window has no history
        rows, n_thinned = window(taken, n, batch)
        assert len(rows) + n_thinned == n and len(set(rows)) == len(rows)
        assert (rows == np.sort(rows)).all()
        assert min(n, 0.9 * WANTED) <= len(rows) <= min(n, 2 * WANTED)


@pytest.mark.parametrize("n, batch", [(20_000, 512), (20_000, 37), (5_000, 512)])
def test_every_row_of_a_window_has_the_same_chance(n, batch):
    counts, taken, n_windows = np.zeros(n), thinning(), 60
    for _ in range(n_windows):
        counts[window(taken, n, batch)[0]] += 1
    share = counts.mean() / n_windows
    for parts in (20, 7):  # of the window; an even choice scatters less than a random one
        mean = np.array([part.mean() for part in np.array_split(counts, parts)]) / n_windows
        limit = 4 * np.sqrt(share * (1 - share) / (n_windows * (n // parts)))
        assert np.abs(mean - share).max() < limit, (mean, share, limit)
    of_place = counts.reshape(-1, 50).mean(axis=0) / n_windows  # rows with a period
    assert np.abs(of_place - share).max() < 5 * np.sqrt(share / (n_windows * (n // 50)))


def test_a_window_shorter_than_the_last_still_has_rows():
    taken = thinning()
    window(taken, 100_000, 500)
    rows, _ = window(taken, 800, 100)
    assert WANTED // _thinning.GUARD <= len(rows) * 1.1 and len(rows) <= 800
    parts = np.histogram(rows, bins=4, range=(0, 800))[0]
    assert parts.min() > 0.7 * len(rows) / 4


def test_the_first_rows_are_not_copied_in_vain_where_the_last_window_tells():
    taken, copied = thinning(), []
    for _ in range(2):
        copied.append(0)
        for start in range(0, 50_000, 500):
            draw = taken.draw(None, 500, 16)
            numbers = np.arange(start, start + 500)
            numbers = numbers if draw.index is None else numbers[draw.index]
            copied[-1] += len(numbers)
            taken.add(None, draw, rows_of(numbers))
        taken.take(1 << 30)
    assert copied[1] < 0.6 * copied[0]


def test_splits_have_windows_of_their_own():
    taken = thinning()
    for start in range(0, 100_000, 1000):
        call(taken, range(start, start + 1000))
    call(taken, range(50), split="eval")
    drawn = taken.take(1 << 30)
    assert numbers_of(drawn[-1:])[0].tolist() == list(range(50))
    assert len(numbers_of(drawn[:-1])[0]) <= 2 * WANTED


def test_the_steps_of_the_first_and_the_last_rows_are_told():
    taken = thinning()
    for step in range(10, 16):
        call(taken, range(10 * step, 10 * step + 10), step=step)
    drawn = [(d.rows.n_rows, d.rows.step) for d in taken.take(1 << 30)]
    assert drawn == [(10, 10), (50, 15)]
    call(taken, range(5), step=20)
    assert [(d.rows.n_rows, d.rows.step) for d in taken.take(1 << 30)] == [(5, 20)]
    assert taken.take(1 << 30) == []


def test_rows_of_another_width_are_held_beside():
    taken = thinning()
    for width in (1, 3, 1):
        call(taken, range(10), width=width)
    assert [len(numbers_of([d])[0]) for d in taken.take(1 << 30)] == [20, 10]


def test_what_a_tap_holds_is_bounded_and_the_rest_is_sent_before(monkeypatch):
    monkeypatch.setattr(_thinning, "HELD_BYTES_MAX", 200 * 16)
    monkeypatch.setattr(_held, "PIECE_BYTES", 0)
    taken = thinning()
    sent = [call(taken, range(start, start + 50)) for start in range(0, 1000, 50)]
    rows = numbers_of([*itertools.chain(*sent), *taken.take(1 << 30)])[0]
    assert rows.tolist() == list(range(1000)) and max(len(numbers_of(d)[0]) for d in sent) <= 250
    long = [call(taken, range(start, start + 50)) for start in range(0, 20_000, 50)]
    rows, n_thinned = numbers_of([*itertools.chain(*long), *taken.take(1 << 30)])
    assert len(rows) + n_thinned == 20_000
    long = [call(taken, range(start, start + 50)) for start in range(0, 20_000, 50)]
    rows, n_thinned = numbers_of([*itertools.chain(*long), *taken.take(1 << 30)])
    assert 0.9 * WANTED < len(rows) < 2.2 * WANTED and len(rows) + n_thinned == 20_000
    parts = np.histogram(rows, bins=10, range=(0, 20_000))[0]
    assert np.abs(parts - len(rows) / 10).max() < 5 * np.sqrt(len(rows) / 10)


def test_passes_of_one_row_do_not_cost_more_than_their_bytes_say():
    """Each is a few objects of Python, which are more than the row."""
    taken, before = thinning(), []
    n = _thinning.HELD_BYTES_MAX // _held.PIECE_BYTES + 1
    for number in range(n):
        before += call(taken, [number])
        if number == 0:  # points say that so many are needed
            taken.note({"layer": "head", "rank": n})
    rows, rest = numbers_of(before)[0], numbers_of(taken.take(1 << 30))[0]
    assert 0.9 * n < len(rows) and [*rows, *rest] == list(range(n))


def test_a_queue_with_little_room_gets_an_even_choice_in_place_of_a_piece():
    taken = thinning()
    call(taken, range(2000))
    rows, n_thinned = numbers_of(taken.take(600 * 16))
    assert 300 <= len(rows) <= 600 and len(rows) + n_thinned == 2000
    assert np.histogram(rows, bins=4, range=(0, 2000))[0].min() > 0.7 * len(rows) / 4


def test_rows_of_each_form_stand_for_those_of_their_form():
    taken = thinning()
    for start in range(0, 10_000, 100):
        call(taken, range(start, start + 100), width=3 if start % 400 == 0 else 1)
    drawn = taken.take(1 << 30)
    assert len(numbers_of(drawn)[0]) + numbers_of(drawn)[1] == 10_000
    for width, n in ((1, 7500), (3, 2500)):
        of_form = [d for d in drawn if d.rows.features["head"].shape[1] == width]
        rows, n_thinned = numbers_of(of_form)
        assert len(rows) + n_thinned == pytest.approx(n, rel=0.05)


def test_labels_stay_with_their_rows():
    taken = thinning()
    for start in range(0, 50_000, 500):
        draw = taken.draw(None, 500, 16)
        numbers = np.arange(start, start + 500)
        numbers = numbers if draw.index is None else numbers[draw.index]
        rows = rows_of(numbers, step=start)
        given = {"labels": numbers % 7, "n_classes": 7}
        taken.add(None, draw, Piece(rows.features, rows.outputs, None, given, start))
    for drawn in taken.take(1 << 30):
        given = drawn.rows.given
        assert (given["labels"] == drawn.rows.features["head"][:, 0] % 7).all()
        assert given["n_classes"] == 7


def test_rows_that_no_checkpoint_took_are_let_go_and_counted():
    taken = thinning()
    call(taken, range(30))
    call(taken, range(20), split="eval")
    assert taken.forget() == 50
    assert taken.forget() == 0 and taken.take(1 << 30) == []


def test_what_a_point_needs():
    assert rows_needed({"n": 1000, "rank": 10, "d_debiased_se": 0.005}) == WANTED
    assert rows_needed({"n": 1000, "rank": 10, "d_debiased_se": 0.03}) == 9001
    assert rows_needed({"n": 1000, "rank": 1000, "d_debiased_se": None}) == 4000
    assert rows_needed({}) == WANTED


def test_points_say_how_many_rows_the_next_windows_have():
    taken = thinning()
    window(taken, 1000, 500)
    taken.note({"layer": "head", "n": 1000, "rank": 1, "d_debiased_se": 0.02})
    taken.note({"layer": "another", "n": 1000, "rank": 4000})
    assert 0.9 * 4001 <= len(window(taken, 100_000, 500)[0]) <= 2 * 4001


def test_calls_that_take_too_long_leave_fewer_rows_and_never_too_few():
    pace = Pace(0.01)
    pace.turn(0.0)
    assert pace.allows(5000, 10) == 5000
    pace.add(0.02)
    pace.turn(1.0)
    assert pace.allows(5000, 10) == 2500
    pace.add(0.5)
    pace.turn(2.0)
    assert pace.allows(5000, 10) == 625  # at most by 4 at once
    for now in range(3, 9):
        pace.add(0.5)
        pace.turn(now)
    assert pace.allows(5000, 10) == 256 and pace.allows(5000, 1000) == 2000
    assert pace.allows(100, 10) == 100
    for now in range(9, 30):
        pace.add(0.001)
        pace.turn(now)
    assert pace.allows(5000, 10) == 5000


def test_a_draw_is_one_of_each_stride_and_rows_have_the_same_chance():
    generator = np.random.default_rng(0)
    for n, stride in ((10, 3), (12, 4), (3, 8), (0, 4)):
        counts = np.zeros(n)
        for _ in range(4000):
            index = one_of_each(stride, n, generator)
            assert (index // stride == np.arange(len(index))).all() and len(index) >= n // stride
            counts[index] += 1
        assert np.abs(counts / 4000 - 1 / stride).max(initial=0) < 0.035
