import signal

import pytest

from harness import wait_until


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "richd.conf"
    path.write_text("log-level = info\n")
    return path


def reload(daemon, says):
    seen = len(daemon.output)
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: says in daemon.output[seen:], f"{says!r} to be logged")
    return daemon.output[seen:]


def is_debugging(daemon):
    """Whether a record that is stored leaves its line, which is of the level debug."""
    seen = len(daemon.output)
    with daemon.trainer(f"run{seen}") as trainer:
        trainer.wait(trainer.log(1, loss=0.5))
    daemon.rpc("server.status")  # the line is written between the ack and this answer
    return " stored run=" in daemon.output[seen:]


def test_the_log_level_changes_at_once(new_daemon, file):
    daemon = new_daemon("--config", str(file)).start()
    assert not is_debugging(daemon)
    file.write_text("log-level = debug\n")
    assert "restart" not in reload(daemon, "log-level has changed")
    assert is_debugging(daemon)


def test_what_cannot_change_is_said_and_stays(new_daemon, file):
    daemon = new_daemon("--config", str(file)).start()
    file.write_text("ranks-wait = 5\nlog-level = debug\n")
    said = reload(daemon, "log-level has changed")
    assert "ranks-wait has changed, which needs a restart" in said
    # Not taken: it still differs the next time, while the level does not.
    said = reload(daemon, "ranks-wait has changed, which needs a restart")
    assert "log-level" not in said


@pytest.mark.parametrize("text, why", [
    ("log-level = loud\n", "none of error, warn, info, debug"),
    ("log-level = debug\non-event = /nonexistent\n", "/nonexistent"),
    ("colour = red\n", 'unknown option "colour"'),
])
def test_a_mistake_leaves_all_as_it_was(new_daemon, file, text, why):
    daemon = new_daemon("--config", str(file)).start()
    file.write_text(text)
    assert why in reload(daemon, "the options stay as they were")
    assert not is_debugging(daemon)
    file.write_text("log-level = debug\n")
    reload(daemon, "log-level has changed")


def test_a_flag_wins_at_reload_as_at_the_start(new_daemon, file):
    daemon = new_daemon("--config", str(file), "--log-level", "info").start()
    file.write_text("log-level = debug\nranks-wait = 5\n")
    assert "log-level" not in reload(daemon, "ranks-wait has changed")
