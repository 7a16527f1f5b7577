"""A run that was offered rows and stored no point says why when it ends."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from support import Daemon, connected, message, python, wait_until

X = np.ones((8, 4), np.float32)


def at_the_end(caplog):
    texts = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    return [text for text in texts if "no point was stored" in text]


def test_a_run_that_calls_no_checkpoint_says_so(daemon, caplog):
    run = connected(daemon)
    run.observe(X, X, step=0)
    run.finish()
    (text,) = at_the_end(caplog)
    assert "8 rows were offered" in text and "checkpoint() was never called" in text


@pytest.mark.parametrize("rows", ["auto", "all"])
def test_a_watched_run_that_calls_no_checkpoint_says_so(daemon, caplog, rows):
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    run = connected(daemon)
    run.watch(model, layer="0", rows=rows)
    model(torch.ones(8, 4))
    run.finish()
    (text,) = at_the_end(caplog)
    assert "8 rows were offered" in text and "checkpoint() was never called" in text
    assert run.stats.rows_offered == 8


def test_a_run_whose_calls_could_not_take_their_rows_says_so(daemon, caplog):
    run = connected(daemon)
    for step in range(3):
        run.observe(X, X[:3], step=step)
        run.checkpoint(step=step)
    run.finish()
    (text,) = at_the_end(caplog)
    assert "no call could take its rows" in text and "ValueError" in text


def test_a_run_whose_batches_were_all_refused_says_so(caplog):
    def refuse(peer, fields):
        return [message("ack", seq=fields["seq"])] if fields["type"] == "checkpoint" else None

    with Daemon(script=refuse) as daemon:
        run = connected(daemon)
        run.observe(X, X, step=0)
        daemon.say("nack", code="ENUMERIC", text="row 1 is not finite", layer="head", batch=1)
        assert wait_until(lambda: run.stats.batches_refused)
        run.checkpoint(step=0, wait=True)
        run.finish()
    (text,) = at_the_end(caplog)
    assert "refused 1 batches" in text and "row 1 is not finite" in text


def test_a_run_whose_rows_came_after_its_checkpoints_says_so(caplog):
    def none(peer, fields):
        return [message("ack", seq=fields["seq"])] if fields["type"] == "checkpoint" else None

    with Daemon(script=none) as daemon:
        run = connected(daemon)
        run.observe(X, X, step=0)
        run.checkpoint(step=0, wait=True)
        run.finish()
    (text,) = at_the_end(caplog)
    assert "before a checkpoint" in text


def test_a_hook_that_takes_no_rows_says_so(daemon, caplog):
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Flatten(0))
    run = connected(daemon)
    run.watch(model, layer="1", parameters=False)
    model(torch.ones(8, 4))
    run.checkpoint(step=0)
    run.finish()
    (text,) = at_the_end(caplog)
    assert "no call could take its rows" in text


def test_it_is_said_at_the_interpreters_exit_as_well(daemon):
    code = """
import sys, numpy as np, richd
richd.init(endpoint=sys.argv[1]).observe(np.ones((8, 4)), np.ones((8, 4)), step=0)
"""
    done = python(code, daemon.address)
    assert done.returncode == 0 and done.stderr.count("no point was stored") == 1


def test_runs_that_store_a_point_or_offer_nothing_say_nothing(daemon, caplog):
    run = connected(daemon)
    run.observe(X, X, step=0)
    run.checkpoint(step=0)
    run.finish()
    run = connected(daemon)
    run.log({"x": 1}, step=0)
    run.checkpoint(step=0)
    run.finish()
    with pytest.raises(KeyError), connected(daemon) as run:
        run.observe(X, X, step=0)
        raise KeyError
    assert at_the_end(caplog) == []
