"""Several processes of one job speak for one attempt of one run, and a checkpoint is one point over
the rows of all of them."""

import contextlib
import itertools

import numpy as np
import pytest

from harness import draw, measure, wait_until

WORLD = 4
EXACT = 1e-9
MEASURES = ("d_lr", "d_debiased", "u", "pr", "rank", "n")


@pytest.fixture
def daemon(new_daemon, request):
    return new_daemon(*getattr(request, "param", ())).start()


@pytest.fixture
def job(daemon):
    """Makes connected members of a run; closes them at the end."""
    with contextlib.ExitStack() as stack:
        def join(rank, run="job", launch="L1", world=WORLD, **fields):
            trainer = stack.enter_context(daemon.trainer())
            trainer.rank = rank
            welcome = trainer.open(run, member={"launch": launch, "rank": rank, "world": world},
                                   **fields)
            assert welcome["member"] == {"rank": rank, "world": world}
            return trainer
        yield join


def shares(features, outputs, world=WORLD):
    """Rows as a sampler deals them to ranks."""
    return [(features[rank::world], outputs[rank::world]) for rank in range(world)]


def step_all(members, parts, step):
    """Each sends its rows and its mark; returns the points of all acknowledgements."""
    for member, (features, outputs) in zip(members, parts):
        member.rows(features, outputs, step=step)
    marks = [member.mark(step) for member in members]
    return [member.wait(mark) for member, mark in zip(members, marks)]


def test_a_point_is_that_of_one_process_with_all_rows(daemon, job):
    members = [job(rank) for rank in range(WORLD)]
    assert {member.attempt for member in members} == {1}
    with daemon.trainer("alone") as alone:
        for step in range(1, 4):
            features, outputs = draw(400, 24, 5, seed=step, dtype=np.float64, noise=0.1)
            alone.rows(features, outputs, step=step)
            expected = alone.checkpoint(step)["head"]
            answers = step_all(members, shares(features, outputs), step)
            for answer in answers:
                assert answer["head"] == answers[0]["head"]
                assert answer["head"]["ranks_missing"] == answer["head"]["rows_missing"] == 0
                assert "partial" not in answer["head"]["flags"]
                for name in MEASURES:
                    assert abs(answer["head"][name] - expected[name]) <= EXACT, name
    assert daemon.series("job")["step"] == [1, 2, 3]


def test_moments_that_ranks_have_reduced_add_exactly(job, daemon):
    features, outputs = draw(300, 12, 3, seed=8, dtype=np.float64)
    members = [job(rank) for rank in range(WORLD)]
    for answer in step_all(members, shares(features, outputs), 1):
        truth = measure(features, outputs)
        assert abs(answer["head"]["d_lr"] - truth["d_lr"]) <= EXACT
        assert answer["head"]["n"] == 300


def test_rows_behind_a_mark_belong_to_the_next_window(job):
    members = [job(rank, world=2) for rank in range(2)]
    windows = [draw(100, 8, 2, seed=seed, dtype=np.float64) for seed in (1, 2)]
    fast, slow = members
    marks = []
    for step, window in enumerate(windows, 1):  # the first rank is a step ahead
        fast.rows(window[0][:50], window[1][:50], step=step)
        marks.append(fast.mark(step))
    for step, window in enumerate(windows, 1):
        slow.rows(window[0][50:], window[1][50:], step=step)
        point = slow.checkpoint(step)["head"]
        assert abs(point["d_lr"] - measure(*window)["d_lr"]) <= EXACT
        assert fast.wait(marks[step - 1])["head"] == point


@pytest.mark.parametrize("daemon", [("--ranks-wait", "1")], indirect=True)
def test_a_rank_that_never_marks_is_waited_for_once(daemon, job):
    members = [job(rank) for rank in range(WORLD)]
    parts = shares(*draw(200, 8, 2, seed=3, dtype=np.float64))
    for step in (1, 2):
        for member, part in zip(members, parts):
            member.rows(*part, step=step)
        wait_until(lambda: daemon.rpc("server.status")["rows"] >= 200 * step, "the rows")
        marks = [(member, member.mark(step)) for member in members[:3]]
        for member, mark in marks:
            point = member.wait(mark)["head"]
            assert point["ranks_missing"] == 1
            assert "partial" in point["flags"]
            assert point["n"] == 200  # its rows came all the same
            assert point["rows_missing"] == 0


@pytest.mark.parametrize("daemon", [("--ranks-wait", "1")], indirect=True)
def test_a_late_mark_is_answered_with_the_stored_points(daemon, job):
    members = [job(rank, world=2) for rank in range(2)]
    first, late = members
    window = draw(90, 8, 2, seed=4, dtype=np.float64)
    first.rows(window[0], window[1], step=1)
    point = first.checkpoint(1)["head"]
    assert (point["ranks_missing"], point["n"]) == (1, 90)
    late.rows(*draw(30, 8, 2, seed=5, dtype=np.float64), step=1)
    assert late.checkpoint(1)["head"] == point
    step_two = [first.mark(2), late.mark(2)]
    assert first.wait(step_two[0])["head"]["n"] == 30  # its rows count now
    assert late.wait(step_two[1])["head"]["ranks_missing"] == 0
    assert daemon.series("job")["step"] == [1, 2]


def test_a_rank_that_closed_is_not_waited_for(daemon, job):
    members = [job(rank) for rank in range(WORLD)]
    parts = shares(*draw(80, 6, 2, seed=6, dtype=np.float64))
    step_all(members, parts, 1)
    members[3].finish()
    for answer in step_all(members[:3], parts, 2):
        assert (answer["head"]["ranks_missing"], answer["head"]["n"]) == (1, 60)
    assert daemon.state_of("job") == "open"


@pytest.mark.parametrize(("words", "state"), [
    (("finished",) * 2, "finished"), (("finished", "failed"), "failed"),
    (("failed", "finished"), "failed")])
def test_the_attempt_is_over_when_all_have_closed(daemon, job, words, state):
    members = [job(rank, world=2) for rank in range(2)]
    for member, word in zip(members, words):
        assert daemon.state_of("job") == "open"
        member.finish(word)
    assert daemon.state_of("job") == state


def test_readers_see_how_many_ranks_are_open(daemon, job):
    members = [job(rank) for rank in range(3)]
    wait_until(lambda: daemon.rpc("run.get", run="job")["ranks"] == {"world": 4, "open": 3})
    run = daemon.rpc("run.get", run="job")
    assert run["attempts"][0]["ranks"] == run["ranks"]
    members[0].finish()
    assert daemon.rpc("run.list")["runs"][0]["ranks"] == {"world": 4, "open": 2}
    assert "ranks      2 of 4 open" in daemon.richctl("show", "job")
    with daemon.trainer("alone"):
        assert daemon.rpc("run.get", run="alone")["ranks"] is None


def test_each_logs_under_numbers_of_its_own(daemon, job):
    members = [job(rank, world=3) for rank in range(3)]
    for step in range(5):
        logs = [(m, m.log(step, **{f"loss_{m.rank}": step + m.rank / 10})) for m in members]
        for member, seq in logs:
            assert seq == step + 1
            member.wait(seq)
    scalars = daemon.rpc("run.get", run="job")["scalars"]
    assert sorted(scalars) == ["loss_0", "loss_1", "loss_2"]


def test_a_rank_that_restarts_alone_joins_the_same_attempt(daemon, job):
    members = [job(rank, world=2) for rank in range(2)]
    parts = shares(*draw(80, 6, 2, seed=7, dtype=np.float64), 2)
    step_all(members, parts, 1)
    members[1].rows(*parts[1], step=2)
    members[1].close()  # killed in mid-window
    again = job(1, world=2)
    assert (again.attempt, again.seq) == (1, 0)
    answers = step_all([members[0], again], parts, 2)
    assert answers[0]["head"] == answers[1]["head"]
    assert answers[0]["head"]["n"] == 120  # rows that had come count
    assert answers[0]["head"]["ranks_missing"] == 0
    for answer in step_all([members[0], again], parts, 3):
        assert (answer["head"]["n"], answer["head"]["rows_missing"]) == (80, 0)
    assert daemon.series("job")["step"] == [1, 2, 3]


def test_points_are_stored_when_a_higher_rank_came_first_and_said_more(daemon, job):
    second, first = [job(rank, world=2) for rank in (1, 0)]
    for step in range(3):
        second.wait(second.log(step, loss=1.0))
    parts = shares(*draw(80, 6, 2, seed=11, dtype=np.float64), 2)
    for step in (1, 2):
        for answer in step_all([first, second], parts, step):
            assert answer["head"]["n"] == 80
    assert daemon.series("job")["step"] == [1, 2]


def test_the_old_process_of_a_rank_is_told(job):
    first = job(0, world=2)
    job(0, world=2)
    assert first.expect("nack")["code"] == "EFENCED"


def test_a_new_launch_is_a_new_attempt_and_fences_the_old_one(daemon, job):
    old = [job(rank, world=2) for rank in range(2)]
    step_all(old, shares(*draw(40, 4, 2, seed=9, dtype=np.float64), 2), 1)
    new = job(0, launch="L2", world=1)  # the world shrank
    assert new.attempt == 2
    for member in old:
        assert member.expect("nack")["code"] == "EFENCED"
    with daemon.trainer() as straggler:
        straggler.hello()
        straggler.expect("hello")
        straggler.say("open", run="job", writer="w",
                      member={"launch": "L1", "rank": 1, "world": 2})
        assert straggler.expect("nack")["code"] == "EFENCED"
    new.rows(*draw(40, 4, 2, seed=10, dtype=np.float64), step=2)
    assert new.checkpoint(2)["head"]["ranks_missing"] == 0


def test_another_world_is_refused(daemon, job):
    job(0)
    with daemon.trainer() as other:
        other.hello()
        other.expect("hello")
        other.say("open", run="job", writer="w", member={"launch": "L1", "rank": 1, "world": 5})
        nack = other.expect("nack")
    assert (nack["code"], nack["fatal"]) == ("EPROTO", True)
    assert "5 ranks were launched, others say 4" in nack["text"]


def test_ranks_open_in_any_order_and_all_at_once(daemon):
    with contextlib.ExitStack() as stack:
        members = [stack.enter_context(daemon.trainer()) for _ in range(16)]
        for rank, member in enumerate(members):
            member.hello()
            member.expect("hello")
            member.say("open", run="job", writer=member.writer, resume="never",
                       member={"launch": "x", "rank": 15 - rank, "world": 16})
        assert {member.expect("welcome")["attempt"] for member in members} == {1}


# ---- the daemon dies ---------------------------------------------------------------------------


def reopen(member, daemon, world=2):
    """As a client does after the end of its connection."""
    member.socket.disconnect(member.socket.last_endpoint)
    member.socket.connect(daemon.endpoints["ingest"])
    return member.open("job", attempt=member.attempt,
                       member={"launch": "L1", "rank": member.rank, "world": world})


def test_kill_nine_in_mid_window_is_said_and_points_stay_one_a_step(daemon, job):
    members = [job(rank, world=2) for rank in range(2)]
    features, outputs = draw(80, 6, 2, seed=11, dtype=np.float64)
    parts = shares(features, outputs, 2)
    step_all(members, parts, 1)
    for member, part in zip(members, parts):
        member.rows(*part, step=2)  # lost with the daemon
    lone = members[0].mark(2)       # waits for the other, and is lost as well
    wait_until(lambda: daemon.rpc("server.status")["rows"] >= 120, "the rows")
    daemon.kill()
    daemon.start()
    for member in members:
        acked = 1
        assert reopen(member, daemon)["last_seq"] == acked
    for member, part in zip(members, parts):
        member.rows(*part, step=2)
    members[0].mark(2, seq=lone)
    members[0].seq = lone
    members[1].mark(2)
    points = [member.wait(2)["head"] for member in members]
    assert points[0] == points[1]
    assert points[0]["rows_missing"] == 80
    assert points[0]["n"] == 80
    assert points[0]["ranks_missing"] == 0
    assert daemon.series("job")["step"] == [1, 2]


def test_a_mark_that_is_on_disk_is_acknowledged_again_to_each(daemon, job):
    members = [job(rank, world=2) for rank in range(2)]
    parts = shares(*draw(80, 6, 2, seed=12, dtype=np.float64), 2)
    points = step_all(members, parts, 1)
    daemon.kill()
    daemon.start()
    for member, before in zip(members, points):
        assert reopen(member, daemon)["last_seq"] == 1
        member.mark(1, seq=1)
        assert member.wait(1) == before
    for answer in step_all(members, parts, 2):
        assert (answer["head"]["n"], answer["head"]["rows_missing"]) == (80, 0)


def test_kills_at_any_instant_lose_and_double_nothing(daemon, job):
    """Each mark of each rank is acknowledged, each step has one point, and all rows are told of."""
    rng = np.random.default_rng(5)
    members = [job(rank, world=3) for rank in range(3)]
    n_steps, n_rows, dead = 30, 20, 0
    for step in range(1, n_steps + 1):
        for member in members:
            member.rows(*draw(n_rows, 6, 2, seed=100 * step + member.rank), step=step)
        marks = [(member, member.mark(step)) for member in members]
        if step % 5 == 0:
            members[0].receive(timeout=rng.uniform(0, 0.004))
            daemon.kill()
            daemon.start()
            dead += 1
            for member, mark in marks:
                if reopen(member, daemon, world=3)["last_seq"] < mark:
                    member.seq = mark
                    member.mark(step, seq=mark)
                else:
                    member.acks[mark] = []
                member.seq = mark
        for member, mark in marks:
            member.wait(mark)
    members[0].rows(*draw(n_rows, 6, 2, seed=1), step=n_steps + 1)
    marks = [(member, member.mark(n_steps + 1)) for member in members]
    for member, mark in marks:
        member.wait(mark)
    series = daemon.series("job")
    assert series["step"] == sorted(set(series["step"]))
    assert len(series["step"]) >= n_steps + 1 - dead
    assert sum(series["n"]) + sum(series["rows_missing"]) == (3 * n_steps + 1) * n_rows
    assert set(series["ranks_missing"]) == {0}


def test_sigterm_measures_what_waits_for_others(daemon, job):
    members = [job(rank, world=2) for rank in range(2)]
    members[0].rows(*draw(50, 6, 2, seed=13, dtype=np.float64), step=1)
    mark = members[0].mark(1)
    members[0].say("ping", id=1)
    members[0].expect("pong")
    daemon.signal(15)
    assert members[0].wait(mark)["head"]["ranks_missing"] == 1
    daemon.process.wait(30)
    daemon.start()


# ---- what goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize("member", [
    {"launch": "x", "rank": 4, "world": 4}, {"launch": "x", "rank": -1, "world": 4},
    {"launch": "", "rank": 0, "world": 4}, {"launch": "x" * 129, "rank": 0, "world": 4},
    {"launch": "a\nb", "rank": 0, "world": 4}, {"launch": "x", "rank": 0, "world": 0},
    {"launch": "x", "rank": 0, "world": 65537}, {"launch": "x", "rank": 0.5, "world": 2},
    {"rank": 0, "world": 4}, {"launch": "x", "world": 4}, {"launch": "x", "rank": 0}, "x", [1]])
def test_a_member_that_cannot_be_is_refused(daemon, member):
    with daemon.trainer() as trainer:
        trainer.hello()
        trainer.expect("hello")
        trainer.say("open", run="job", writer="w", member=member)
        assert trainer.expect("nack")["code"] == "EPROTO"
    assert daemon.rpc("run.list")["total"] == 0


def test_a_connection_speaks_for_one_rank(daemon, job):
    member = job(0)
    member.say("open", run="job", writer=member.writer,
               member={"launch": "L1", "rank": 1, "world": WORLD})
    assert member.expect("nack")["code"] == "EPROTO"
    member.say("open", run="other", writer=member.writer,
               member={"launch": "L1", "rank": 0, "world": WORLD})
    assert member.expect("nack")["code"] == "EPROTO"
    assert member.open("job", member={"launch": "L1", "rank": 0, "world": WORLD})["attempt"] == 1


@pytest.mark.parametrize("daemon", [("--ranks-wait", "1")], indirect=True)
def test_marks_of_any_steps_are_all_answered(daemon, job):
    """Each is in the store or answered with what is, whatever the ranks disagree on."""
    members = [job(rank, world=2) for rank in range(2)]
    steps = ([5, 3, 9, 9, 2, 10], [4, 6, 1, 9, 9, 10])
    pending = []
    for ours in itertools.zip_longest(*steps):
        for member, step in zip(members, ours):
            member.rows(*draw(10, 4, 2, seed=step, dtype=np.float64), step=step)
            pending.append((member, member.mark(step)))
    for member, mark in pending:
        member.wait(mark)
    series = daemon.series("job")
    assert len(series["step"]) == len(set(series["step"]))


def test_a_lone_trainer_is_not_joined_by_ranks(daemon, job):
    with daemon.trainer("job") as alone:
        member = job(0, world=2)
        assert member.attempt == 2
        assert alone.expect("nack")["code"] == "EFENCED"
    with daemon.trainer() as other:
        other.hello()
        other.expect("hello")
        other.say("open", run="job", writer="else", attempt=2)
        assert other.expect("nack")["code"] == "EHELD"
