"""What a person writes about runs, by richctl: what is asked of the feed, and what is printed."""

import pytest

from memoryfeed import FeedError

pytestmark = pytest.mark.not_under("thread", because="richctl has one thread")


@pytest.fixture
def run(feed):
    return feed.add("r-1", "old", tags=["a", "b"])


def asked(feed, method="run.edit"):
    return [r["params"] for r in feed.requests if r["method"] == method]


def test_a_run_is_renamed(ctl, feed, run):
    assert ctl.run("rename", "old", "new name") == "r-1  mod97/new name\n"
    assert asked(feed) == [{"run": "old", "name": "new name"}]
    assert ctl.json("show", "new name")[0]["run"] == "r-1"
    assert "rename needs RUN NAME" in ctl.run("rename", "r-1", code=64)


def test_a_note_is_written_printed_and_removed(ctl, run):
    ctl.run("note", "r-1", "looked at\nwith \x1b[2J care")
    assert ctl.run("note", "r-1") == "looked at\nwith \\x1b[2J care\n"
    assert "looked at\\x0awith \\x1b[2J care" in ctl.run("show", "r-1")
    ctl.run("note", "r-1", "")
    assert ctl.run("note", "r-1") == ""


def test_tags_are_added_and_taken_away(ctl, feed, run):
    assert ctl.run("tag", "r-1").split() == ["a", "b"]
    ctl.run("tag", "r-1", "+c", "-a", "d", "-nobody", "+b")
    assert run.facts["tags"] == ["c", "d", "b"]
    ctl.run("tag", "r-1", "-b", "--json", "-c", "-d")
    assert run.facts["tags"] == []
    assert len(asked(feed)) == 2, "to look asks for no change"
    assert '"+" names no tag' in ctl.run("tag", "r-1", "+", code=64)


def test_a_dash_is_an_option_everywhere_else(ctl, run):
    assert "unknown option -b" in ctl.run("hide", "r-1", "-b", code=64)
    assert "unknown option --b" in ctl.run("tag", "r-1", "--b", code=64)


def test_runs_are_hidden_and_shown_again(ctl, feed, run):
    feed.add("r-2", "b")
    assert ctl.run("hide", "r-1", "r-2").splitlines() == ["r-1  mod97/old", "r-2  mod97/b"]
    assert asked(feed) == [{"run": "r-1", "hidden": True}, {"run": "r-2", "hidden": True}]
    assert [line.split()[2:4] for line in ctl.run("runs", "--hidden").splitlines()[1:]] == [
        ["open,", "hidden"]] * 2
    assert ctl.json("unhide", "r-1")[0]["hidden"] is False


def test_a_run_that_is_not_there_is_said(ctl, run):
    for command in (["rename", "x", "y"], ["note", "x", "y"], ["tag", "x", "+y"], ["hide", "x"]):
        assert 'no run "x"' in ctl.run(*command, code=1)


def test_an_older_daemon_is_told_from_a_wrong_command(ctl, feed, run):
    feed.run_edit = None
    said = ctl.run("rename", "r-1", "x", code=1)
    assert said.startswith("richctl: the daemon does not know run.edit: it is older than this")
    assert said.count("\n") == 1


@pytest.mark.parametrize("args, filters", [
    (["--search", "x", "--group", "g", "--tag", "a", "--tag", "b", "--hidden"],
     {"search": "x", "group": "g", "tags": ["a", "b"], "hidden": True}),
    (["--config", "lr=1e-4..1e-2", "--config", "opt=adam", "--config", "n=8", "--config", "x=true",
      "--config", 's="8"'],
     {"config": {"lr": {"min": 1e-4, "max": 1e-2}, "opt": "adam", "n": 8, "x": True, "s": "8"}}),
    (["--config", "a=..3", "--config", "b=2..", "--config", "c=../data", "--config", "d="],
     {"config": {"a": {"max": 3}, "b": {"min": 2}, "c": "../data", "d": ""}}),
    (["--sort", "d_lr"], {"sort": "d_lr"}),
    (["--sort", "d_lr", "--reverse"], {"sort": "d_lr", "descending": True}),
    (["--sort", "updated", "--reverse"], {"sort": "updated", "descending": False}),
    (["--reverse"], {"descending": False}),
])
def test_options_choose_runs(ctl, feed, run, args, filters):
    ctl.run("runs", *args)
    page = 100 if "config" in filters else 1000
    assert asked(feed, "run.list") == [{"limit": page, "offset": 0, **filters}]


@pytest.mark.parametrize("args, why", [
    (["--config", "lr"], "--config takes KEY=VALUE or KEY=LOW..HIGH"),
    (["--config", "=1"], "--config takes KEY=VALUE"),
    (["--config", "a=1", "--config", "a=2"], 'names "a" twice'),
    ([word for _ in range(65) for word in ("--tag", "a")], "--tag is given more than 64 times"),
])
def test_wrong_conditions_are_said(ctl, run, args, why):
    assert why in ctl.run("runs", *args, code=64)


def test_what_was_asked_of_the_configuration_has_a_column(ctl, feed):
    feed.add("r-1", "a", config={"lr": 0.1, "model": {"depth": 3}})
    heading, row = ctl.run("runs", "--config", "lr=0..1", "--config", "model.depth=3").splitlines()
    assert heading.split()[-3:] == ["lr", "model.depth", "UPDATED"]
    assert row.split()[6:8] == ["0.1", "3"]


@pytest.mark.parametrize("option, refusal", [
    (["--sort", "d_lr"], 'run.list has no parameter "sort"'),
    (["--config", "lr=1"], '"config" must be true or false'),
])
def test_a_daemon_that_lacks_an_option_is_said_to_be_older(ctl, feed, monkeypatch, option, refusal):
    def refuse(**_):
        raise FeedError(-32602, refusal)

    monkeypatch.setattr(feed, "run_list", refuse)
    said = ctl.run("runs", *option, code=1)
    assert "it is older than this richctl" in said and refusal in said
