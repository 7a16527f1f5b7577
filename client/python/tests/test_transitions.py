"""Which measures are watched for transitions: what init() takes, and what the daemon hears."""

from __future__ import annotations

import logging

import pytest
import richd
from support import message, wait_until


def opened_with(daemon, **arguments):
    """What `open` says of transitions; None when it says nothing."""
    with richd.init(endpoint=daemon.address, **arguments):
        assert wait_until(lambda: daemon.controls("open"))
    return daemon.controls("open")[-1].get("transitions")


@pytest.mark.parametrize(
    "transitions, said",
    [
        (("d_lr", "pr"), ["d_lr", "pr"]),
        (["d_lr"], ["d_lr"]),
        (["nc1", "scalar:test_acc"], ["nc1", "scalar:test_acc"]),
        ((), []),
    ],
)
def test_open_says_what_is_watched(daemon, transitions, said):
    assert opened_with(daemon, transitions=transitions) == {"metrics": said}


def test_open_leaves_the_default_to_the_daemon(daemon):
    assert opened_with(daemon) is None


@pytest.mark.parametrize(
    "transitions",
    ["pr", 3, ["pr", 1], ["pr", "pr"], ["d_lr", "pr", "u", "nc1", "rankme"]],
)
def test_malformed_transitions_are_found_at_once(transitions):
    with pytest.raises(ValueError, match="transitions"):
        richd.init(mode="disabled", transitions=transitions)


def test_a_measure_that_the_daemon_does_not_know_stops_the_run_with_its_words(daemon, caplog):
    def refuse(peer, fields):
        if fields["type"] != "open":
            return None
        text = 'open: transitions: "lr_d" is no measure of a point'
        return [message("nack", code="EPROTO", text=text, fatal=True)]

    daemon.script = refuse
    with richd.init(endpoint=daemon.address, transitions=["lr_d"]):
        assert wait_until(lambda: any('"lr_d"' in r.getMessage() for r in caplog.records))
    said = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(said) == 1 and '"lr_d" is no measure' in said[0].getMessage()
