"""Control messages in odd orders, with numbers at their ends, and in floods: each is answered once,
and a run that keeps to the page goes on."""

import json
import signal

import pytest

from harness import draw
from messages import N, moments, rows

pytestmark = pytest.mark.not_under("thread", because="each is one message on one thread")

BIG = 2**53 - 1
HELLO = {"type": "hello", "protocol_min": 1, "protocol_max": 1}


def hello(**fields):
    return {**HELLO, **fields}


def opened(**fields):
    """An open of the test's own run."""
    return {"type": "open", "writer": "w", **fields}


def member(rank, world, launch="L", **fields):
    return opened(member={"launch": launch, "rank": rank, "world": world}, **fields)


def mark(seq=1, step=1, batches=1, offered=N, **fields):
    totals = {"seq": batches, "rows": offered, **fields.pop("layer", {})}
    return {"type": "checkpoint", "seq": seq, "step": step, "layers": {"head": totals}, **fields}


def log(seq, step=1, scalars=None, **fields):
    return {"type": "log", "seq": seq, "step": step, "scalars": scalars or {"a": 1}, **fields}


def close(seq, status="finished"):
    return {"type": "close", "seq": seq, "status": status}


def constants(kind, seq, values):
    return {"type": kind, "seq": seq, kind: values}


START = [HELLO, opened()]
MORE = rows(seq=2, rows_before=N)

#: What is said, and the answers: types, codes of refusals (with ! where they are fatal), and
#: ackN for the acknowledgement of N.
TALKS = {
    # ---- orders
    "hello twice": ([HELLO, *START], ["hello", "hello", "welcome"]),
    "hello behind open": ([*START, HELLO, log(1)], ["hello", "welcome", "hello", "ack1"]),
    "open twice": ([*START, opened(), log(1)], ["hello", "welcome", "welcome", "ack1"]),
    "another run on the connection": ([*START, opened(run="other"), log(1)],
                                      ["hello", "welcome", "EPROTO", "ack1"]),
    "another writer on the connection": ([*START, opened(writer="v", attempt=1), log(1)],
                                         ["hello", "welcome", "EPROTO", "ack1"]),
    "close before open": ([HELLO, close(1)], ["hello", "ENOTOPEN"]),
    "close before hello": ([close(1)], ["ENOTOPEN"]),
    "a word of the daemon": ([*START, {"type": "ack", "seq": 1}, log(1)],
                             ["hello", "welcome", "EPROTO", "ack1"]),
    "a number of 2^53 - 1": ([*START, log(BIG)], ["hello", "welcome", f"ack{BIG}"]),
    # ---- checkpoints
    "a layer that never came": ([*START, mark(batches=5, offered=50)],
                                ["hello", "welcome", "ack1"]),
    "no layer": ([*START, {"type": "checkpoint", "seq": 1, "step": 1, "layers": {}}],
                 ["hello", "welcome", "ack1"]),
    "totals that go back": ([*START, rows(), mark(batches=5, offered=50),
                             mark(2, 2, batches=4, offered=40)],
                            ["hello", "welcome", "EPROTO", "ack1"]),
    "2^53 - 1 rows offered": ([*START, rows(), mark(offered=BIG), mark()],
                              ["hello", "welcome", "EPROTO", "ack1"]),
    "2^53 - 1 batches": ([*START, rows(), mark(batches=BIG), mark()],
                         ["hello", "welcome", "EPROTO", "ack1"]),
    "2^53 - 1 rows thinned out": ([*START, rows(), mark(layer={"thinned": BIG})],
                                  ["hello", "welcome", "ack1"]),
    "a mark again with another step": ([*START, rows(), mark(), mark(step=9)],
                                       ["hello", "welcome", "ack1"]),
    "one step twice": ([*START, rows(), mark(1, 5), MORE, mark(2, 5, 2, 2 * N)],
                       ["hello", "welcome", "ack1", "ack2"]),
    "a step that goes back by 2^53 - 1": ([*START, rows(), mark(1, BIG), MORE,
                                           mark(2, 0, 2, 2 * N)],
                                          ["hello", "welcome", "ack1", "ack2"]),
    "a measure of ours, reported": ([*START, mark(metrics={"d_lr": 0.1}), mark()],
                                    ["hello", "welcome", "EPROTO", "ack1"]),
    "measures at the end of doubles": ([*START, rows(), mark(metrics={"param_norm": 1.7e308,
                                                                      "param_change": -5e-324})],
                                       ["hello", "welcome", "ack1"]),
    "steps told and implied": ([*START, log(1, 3, implied=True), log(2, 3),
                                log(3, 1, implied=True)],
                               ["hello", "welcome", "ack1", "ack2", "ack3"]),
    # ---- names
    "1,024 scalars of 128 bytes": ([*START, log(1, scalars={f"{i:04}" + "n" * 124: i
                                                            for i in range(1024)})],
                                   ["hello", "welcome", "ack1"]),
    "scalars that are programs": ([*START, log(1, scalars={"\u202e<script>": 1, "' OR 1=1 --": 2,
                                                           "\x01\x7f": 3, "=cmd|'!A0": 4})],
                                  ["hello", "welcome", "ack1"]),
    "a run named as a path": ([HELLO, opened(name="../..", project="/etc", group="a/b"), log(1)],
                              ["hello", "welcome", "ack1"]),
    "a run named in HTML": ([HELLO, opened(name="<img src=x onerror=alert(1)>"), log(1)],
                            ["hello", "welcome", "ack1"]),
    "3,000 tags": ([HELLO, opened(tags=["t" * 256] * 3000), log(1)],
                   ["hello", "welcome", "ack1"]),
    "20,000 unknown fields": ([HELLO, opened(**{f"x{i}": i for i in range(20000)}), log(1)],
                              ["hello", "welcome", "ack1"]),
    "config of names that are none": ([*START, constants("config", 1, {"": 1, "__proto__": {"x": 1},
                                                                       "a" * 100000: 1}), log(2)],
                                      ["hello", "welcome", "ack1", "ack2"]),
    "a summary that is a list": ([*START, {"type": "summary", "seq": 1, "summary": [1]}, log(1)],
                                 ["hello", "welcome", "EPROTO", "ack1"]),
    # ---- how a run is measured
    "a half-life of no row": ([HELLO, opened(window={"kind": "exponential",
                                                     "half_life_rows": 5e-324}), rows(), mark()],
                              ["hello", "welcome", "ack1"]),
    "a half-life of all rows": ([HELLO, opened(window={"kind": "exponential",
                                                       "half_life_rows": 1e300}), rows(), mark()],
                                ["hello", "welcome", "ack1"]),
    "moments that are forgotten at once": (
        [HELLO, opened(window={"kind": "exponential", "half_life_rows": 1e-300}), moments(),
         moments(header={"seq": 2, "rows_before": N}), mark(1, 1, 2, 2 * N)],
        ["hello", "welcome", "ack1"]),
    "a spectrum of 2^31 - 1": ([HELLO, opened(spectrum={"every": 2**31 - 1, "leading": 2**31 - 1}),
                                rows(), mark()], ["hello", "welcome", "ack1"]),
    "a projector of 2^31 - 1 directions": ([HELLO, opened(projector={"kind": "top",
                                                                     "k": 2**31 - 1}),
                                            rows(), mark()], ["hello", "welcome", "ack1"]),
    "a share of the energy of 5e-324": ([HELLO, opened(projector={"kind": "top", "energy": 5e-324}),
                                         rows(), mark()], ["hello", "welcome", "ack1"]),
    "a ridge that leaves nothing": ([HELLO, opened(projector={"kind": "ridge", "lambda": 1.7e308}),
                                     rows(), mark()], ["hello", "welcome", "ack1"]),
    "a ridge that is none": ([HELLO, opened(projector={"kind": "ridge", "lambda": 5e-324}),
                              rows(), mark()], ["hello", "welcome", "ack1"]),
    "a watch for nothing that is": ([HELLO, opened(transitions={"metrics": ["nope"]})],
                                    ["hello", "EPROTO!"]),
    # ---- attempts and members
    "an attempt of 2^31 - 1": ([HELLO, opened(attempt=2**31 - 1)], ["hello", "ENOENT!"]),
    "an attempt of 2^31": ([HELLO, opened(attempt=2**31)], ["hello", "EPROTO!"]),
    "a run that must be": ([HELLO, opened(resume="must")], ["hello", "ENOENT!"]),
    "a rank beyond its world": ([HELLO, member(4, 4)], ["hello", "EPROTO!"]),
    "a world of 65,537": ([HELLO, member(0, 65537)], ["hello", "EPROTO!"]),
    "a launch of control characters": ([HELLO, member(0, 1, "a\tb")], ["hello", "EPROTO!"]),
    "the last rank of the largest world": ([HELLO, member(65535, 65536), log(1)],
                                           ["hello", "welcome", "ack1"]),
    # ---- versions
    "versions up to 2^53 - 1": ([hello(protocol_max=BIG), opened()], ["hello", "welcome"]),
    "versions that are to come": ([hello(protocol_min=BIG, protocol_max=BIG)], ["EVERSION!"]),
}


def name_of(answer):
    """An answer as TALKS has it."""
    if answer["type"] == "nack":
        return answer["code"] + "!" * answer["fatal"]
    return f"ack{answer['seq']}" if answer["type"] == "ack" else answer["type"]


def say(trainer, said, run):
    """Sends a message; an open waits for its answer, as nothing may be sent before."""
    if isinstance(said, list):
        trainer.send(*said)
        return []
    fields = {"run": run, **said} if said["type"] == "open" else said
    trainer.socket.send(json.dumps(fields).encode())
    if said["type"] != "open":
        return []
    answers = [trainer.receive()]
    while answers[-1]["type"] not in ("welcome", "nack"):
        answers.append(trainer.receive())
    return answers


def talk(trainer, messages, run, expected):
    """The answers that come until a ping behind the expected number of them is answered."""
    answers = []
    for said in messages:
        answers += say(trainer, said, run)
    while len(answers) < len(expected):
        answer = trainer.receive()
        assert answer, f"only {list(map(name_of, answers))}"
        answers += [answer] if answer["type"] != "progress" else []
    trainer.say("ping", id=99)
    while (answer := trainer.receive()) and answer["type"] != "pong":
        answers += [answer] if answer["type"] != "progress" else []
    return answers


@pytest.mark.parametrize(("messages", "expected"), TALKS.values(), ids=TALKS.keys())
def test_nastier_control_does_no_harm(daemon, connect, run_id, messages, expected):
    trainer = connect()
    answers = list(map(name_of, talk(trainer, messages, run_id, expected)))
    # what is sent twice is acknowledged once or twice, as the first was on disk
    again = [name for i, name in enumerate(answers) if name in answers[:i] and "ack" in name]
    assert sorted(answers) == sorted(expected + again)
    for nack in trainer.nacks:
        assert len(nack["text"]) > 10, nack
    daemon.richctl("runs", "--json")


# ---- floods --------------------------------------------------------------------------------------


def count_answers(trainer, n):
    """Waits for n acknowledgements and refusals; the refusals' codes."""
    while len(trainer.acks) + len(trainer.nacks) < n:
        assert trainer.receive(), f"{len(trainer.acks)} and {len(trainer.nacks)} answers"
    return {nack["code"] for nack in trainer.nacks}


def test_5000_checkpoints_at_once_are_stored_or_refused(connect, run_id):
    trainer = connect(run_id)
    for seq in range(1, 5001):
        trainer.say("checkpoint", seq=seq, step=seq, layers={})
    assert count_answers(trainer, 5000) <= {"EBUSY"}
    assert set(trainer.acks) == set(range(1, len(trainer.acks) + 1)), "a prefix"


def test_1100_layers_are_1024(connect, run_id):
    trainer = connect(run_id)
    for i in range(1100):
        trainer.send(rows(n_rows=0, p=1, c=1)[0], b"l%d" % i, b"", b"")
    trainer.say("ping", id=1)
    while trainer.receive()["type"] != "pong":
        pass
    assert [nack["code"] for nack in trainer.nacks] == ["EPROTO"] * 76
    trainer.wait(trainer.mark(1, layers=[]))


def test_summaries_of_a_mebibyte_are_bounded_in_memory(daemon, connect, run_id):
    """60 of them; with all of them waiting it were 400 MiB."""
    before = daemon.resident_bytes()
    trainer = connect(run_id)
    for seq in range(1, 61):
        trainer.say("summary", seq=seq, summary={"k": "x" * 900000})
    assert count_answers(trainer, 60) <= {"EBUSY"}
    daemon.assert_grew_less(before, 256 << 20)


def test_runs_that_open_all_at_once_open_or_are_told_why(connect, run_id):
    trainers = [connect() for _ in range(40)]
    for i, trainer in enumerate(trainers):
        trainer.hello()
        trainer.say("open", run=f"{run_id}.{i}", writer="w")
    for trainer in trainers:
        trainer.expect("hello")
        answer = trainer.receive()
        assert answer["type"] == "welcome" or "memory" in answer["text"], answer


# ---- several at once -----------------------------------------------------------------------------


def refusal_of_open(trainer, run, **fields):
    """What an open that must not succeed is answered."""
    trainer.hello()
    trainer.expect("hello")
    trainer.say("open", run=run, writer="other", **fields)
    return trainer.expect("nack")


def test_ranks_that_disagree_about_their_world(connect, run_id):
    job = {"launch": "L", "rank": 0, "world": 2}
    first, second = connect(run_id, member=job), connect()
    nack = refusal_of_open(second, run_id, member={**job, "rank": 1, "world": 3})
    assert (nack["code"], nack["fatal"]) == ("EPROTO", True) and "3 ranks" in nack["text"]
    first.wait(first.log(1, a=1))


def test_ranks_that_disagree_about_their_layers(connect, run_id):
    job = {"launch": "L", "world": 2}
    one, other = (connect(run_id, member={**job, "rank": rank}) for rank in range(2))
    one.rows(*draw(40, 4, 2), layer="a")
    one.say("ping", id=1)
    one.expect("pong")  # the layer is declared
    other.rows(*draw(40, 4, 2), layer="b")
    other.rows(*draw(40, 6, 2), layer="a")  # another width
    assert other.expect("nack")["code"] == "ESHAPE"
    marks = one.mark(1), other.mark(1)
    points = [trainer.wait(seq) for trainer, seq in zip((one, other), marks)]
    assert points[0] == points[1]
    assert {name: point["n"] for name, point in points[0].items()} == {"a": 40, "b": 40}


def test_a_rank_of_two_writers_is_the_newer_ones(connect, run_id):
    job = {"launch": "L", "rank": 0, "world": 1}
    old, new = connect(run_id, member=job), connect(run_id, member=job)
    old.say("log", seq=1, step=1, scalars={"a": 1})
    assert old.expect("nack")["code"] == "EFENCED"
    new.wait(new.log(1, a=2))


def test_two_writers_of_one_attempt(connect, run_id):
    one, other = connect(run_id), connect()
    nack = refusal_of_open(other, run_id, attempt=1)
    assert (nack["code"], nack["fatal"]) == ("EHELD", True) and one.writer in nack["text"]
    one.wait(one.log(1, a=1))


def test_a_connection_that_says_everything_at_once(daemon, connect, run_id):
    """Nothing is sent before the welcome, but by who does not keep to that."""
    trainer = connect()
    daemon.signal(signal.SIGSTOP)  # it meets all of it at once, however slow the sender is
    for said in (HELLO, opened(run=run_id), log(1), rows(), mark(2), close(3), close(4)):
        if isinstance(said, list):
            trainer.send(*said)
        else:
            trainer.socket.send(json.dumps(said).encode())
    daemon.signal(signal.SIGCONT)
    trainer.expect("hello")
    while trainer.receive()["type"] != "welcome":
        pass
    assert {nack["code"] for nack in trainer.nacks} == {"ENOTOPEN"}
    trainer.wait(trainer.log(1, a=1))
