import resource

from harness import connect_feed, draw

USUAL_SOFT_LIMIT = 1024
#: Readers of the feed, and as many as are missing to the usual limit over HTTP.
READERS, MORE = 1000, 100


def test_a_trainer_connects_beside_more_readers_than_the_usual_limit_has_files(
        new_daemon, many_files):
    daemon = new_daemon("--http", "127.0.0.1:0")
    daemon.preexec = lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                                (USUAL_SOFT_LIMIT, many_files))
    daemon.start()
    readers = [connect_feed(daemon.endpoints["feed"]) for _ in range(READERS)]
    readers += [connect_feed("tcp:" + daemon.endpoints["http"].rpartition("/")[2])
                for _ in range(MORE)]
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(16, 4, 2))
        assert trainer.checkpoint(1)["head"]["n"] == 16
    for reader in readers:
        reader.close()
