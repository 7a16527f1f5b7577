"""Memory that the process may not have: it says so at the start, and never waits for it later."""

import resource

import pytest

from harness import draw, limiting, richd

MIB = 1 << 20

pytestmark = pytest.mark.not_under("address", "thread", because="they map terabytes")


def test_a_limit_of_memory_that_is_too_low_is_said_at_the_start(tmp_path):
    done = richd("--state-dir", tmp_path / "s", "--runtime-dir", tmp_path / "r",
                 limits={resource.RLIMIT_AS: 250 * MIB})
    assert done.returncode == 71
    assert "MiB more memory, and the limit of 250 MiB for all of it has no room" in done.stderr
    assert not (tmp_path / "s").exists()


def test_a_daemon_that_starts_with_a_limit_measures(new_daemon, tmp_path):
    """What it needs is in the refusal; with that, and what it has when it asks, it works."""
    refusal = richd("--state-dir", tmp_path / "s", "--runtime-dir", tmp_path / "r",
                    limits={resource.RLIMIT_AS: 250 * MIB}).stderr
    needed = int(refusal.partition("richd needs ")[2].split()[0]) * MIB
    daemon = new_daemon()
    daemon.preexec = limiting({resource.RLIMIT_AS: 250 * MIB + needed})
    daemon.start()
    with daemon.trainer("run") as trainer:
        for i in range(8):
            trainer.rows(*draw(600, 64, 4, seed=i), layer=f"layer{i}")
        assert len(trainer.checkpoint(1, spectrum=True)) == 8
