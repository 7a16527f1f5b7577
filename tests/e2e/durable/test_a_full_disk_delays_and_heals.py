import signal
import time

from harness import assert_measures, draw, wait_until


def test_a_full_disk_delays_and_heals(daemon):
    first, second = draw(50, 8, 3), draw(60, 8, 3, seed=1)
    with daemon.trainer("run") as trainer:
        trainer.rows(*first)
        trainer.checkpoint(1)
        daemon.fill_disk()
        trainer.rows(*second)
        seqs = [trainer.mark(2), trainer.log(2, loss=1.0)]
        wait_until(lambda: "not stored run=run seq=2" in daemon.output, "the disk to be full")
        assert not set(seqs) & set(trainer.acks)
        assert daemon.series("run")["step"] == [1], "reads are served, and show what is stored"

        daemon.free_disk()
        began = time.monotonic()
        point = trainer.wait(seqs[0])["head"]
        trainer.wait(seqs[1])
        assert time.monotonic() - began < 5
        assert trainer.nacks == []
    assert_measures(point, *second)
    assert daemon.series("run")["step"] == [1, 2]
    assert daemon.rpc("server.status")["points"] == 2


def test_the_package_goes_on_through_a_full_disk(daemon, new_run):
    run = new_run()
    run.observe(*draw(50, 8, 3), step=0)
    run.checkpoint(step=0, wait=True, timeout=30)
    daemon.fill_disk()
    for step in range(1, 20):
        run.observe(*draw(50, 8, 3, seed=step), step=step)
        run.log({"loss": step}, step=step)
        run.checkpoint(step=step)
    wait_until(lambda: "not stored" in daemon.output, "the disk to be full")
    daemon.free_disk()
    run.observe(*draw(50, 8, 3), step=20)
    assert run.checkpoint(step=20, wait=True, timeout=30)["head"].n == 50
    columns = daemon.series("run")
    assert columns["step"] == list(range(21))
    assert columns["rows_missing"] == [0] * 21


def test_a_run_that_opens_on_a_full_disk_opens_later(daemon, new_run):
    new_run("before").log({"loss": 1}, step=1)
    wait_until(lambda: daemon.rpc("server.status")["seq"] == "1", "the scalar to be stored")
    daemon.fill_disk()
    run = new_run("during")
    for step in range(3):
        run.observe(*draw(50, 8, 3, seed=step), step=step)
        run.checkpoint(step=step)
    wait_until(lambda: "code=EIO" in daemon.output, "the disk to be full")
    daemon.free_disk()
    wait_until(lambda: daemon.rpc("run.list")["total"] == 2, "the run to open")
    wait_until(lambda: daemon.rpc("run.get", run="during")["n_points"] == 3, "its points")


def test_all_that_waited_is_acknowledged(daemon):
    """As many control messages as may wait, acknowledged by one commit: no answer is lost."""
    with daemon.trainer("run") as trainer:
        trainer.wait(trainer.log(0, loss=0))
        daemon.fill_disk()
        for step in range(1, 4001):
            trainer.log(step, loss=step)
        trainer.say("ping", id=1)
        trainer.expect("pong")
        daemon.free_disk()
        trainer.wait(trainer.seq)
        assert sorted(trainer.acks) == list(range(1, 4002))
        assert trainer.nacks == []
    assert daemon.output.count("not stored") <= 10, "the log is not flooded"
    (loss,) = daemon.rpc("scalars.query", run="run")["scalars"]
    assert loss["columns"]["step"] == list(range(4001))


def test_an_idle_daemon_stays_for_what_is_not_stored(new_daemon, tmp_path):
    """It would refuse the next run until the disk has space again, in the place of serving it."""
    options = tmp_path / "richd.conf"
    options.write_text("idle-exit = 600\n")
    daemon = new_daemon("--config", options).start()
    with daemon.trainer("run") as trainer:
        trainer.wait(trainer.log(0, loss=0))
        daemon.fill_disk()
        last = trainer.log(1, loss=1)
        trainer.say("close", seq=last + 1, status="finished")
        wait_until(lambda: "not stored run=run" in daemon.output, "the disk to be full")
        options.write_text("idle-exit = 1\n")
        daemon.signal(signal.SIGHUP)
        until = daemon.rpc("server.status")["uptime_s"] + 3
        wait_until(lambda: daemon.rpc("server.status")["uptime_s"] > until, "three seconds")
        assert daemon.rpc("server.status")["runs_open"] == 0
        assert "nobody has used richd" not in daemon.output
        daemon.free_disk()
        trainer.wait(last + 1)
        wait_until(lambda: daemon.process.poll() is not None, "the idle daemon to end")
    assert daemon.process.returncode == 0
    daemon.process = None
