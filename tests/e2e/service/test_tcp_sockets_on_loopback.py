import re
import subprocess

import pytest

from harness import BUILD, PATIENCE_S, assert_measures, clean_environment, draw


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_tcp_sockets_on_loopback(new_daemon, host):
    import richd

    daemon = new_daemon("--listen", f"tcp://{host}:0", "--feed", f"tcp:{host}:0").start()
    listen, feed = daemon.endpoints["ingest"], daemon.endpoints["feed"]
    for address in (listen, feed):
        port = int(re.search(r":(\d+)$", address).group(1))
        assert port > 0, "the real port, not the 0 that was asked for"
    rows = draw(50, 6, 3)
    with daemon.trainer("run") as trainer, daemon.subscribe() as subscription:
        trainer.rows(*rows)
        point = trainer.checkpoint(1)["head"]
        subscription.read_until(lambda s: s.points)
        assert subscription.points == [point]
    assert_measures(point, *rows)
    run = richd.init(run_id="package", runtime_dir=str(daemon.runtime))
    run.observe(*rows, step=1)
    assert_measures(vars(run.checkpoint(step=1, wait=True, timeout=30)["head"]), *rows)
    run.finish()
    subprocess.run([BUILD / "example", "--runtime-dir", daemon.runtime, "--steps", "4"], check=True,
                   env=clean_environment(), stdout=subprocess.DEVNULL, timeout=PATIENCE_S)
    assert daemon.series("clusters")["step"] == [1, 2, 4]
    (status,) = daemon.richctl_json("status")
    assert (status["ingest"], status["feed"]) == (listen, feed)


def test_a_port_in_use_is_said(new_daemon):
    first = new_daemon("--listen", "tcp://127.0.0.1:0", "--feed", "tcp:127.0.0.1:0").start()
    for flag, address in (("--listen", first.endpoints["ingest"]),
                          ("--feed", first.endpoints["feed"])):
        second = new_daemon(flag, address)
        with pytest.raises(AssertionError, match="richd ended with 69.*" + re.escape(address) +
                           rf".*in use \(held by richd, pid {first.pid}\)"):
            second.start()
        second.process = None
