import socket

from harness import Feed, Subscription, draw, wait_until


def point_keys(subscription):
    return [(p["run"], p["layer"], p["step"]) for p in subscription.points]


def test_subscriber_sees_every_point_once(daemon):
    with daemon.subscribe() as everything, daemon.trainer("left") as left, \
            daemon.trainer("right") as right:
        one = None
        for step in range(30):
            for trainer in (left, right):
                for layer in ("a", "b"):
                    trainer.rows(*draw(20, 4, 2, seed=step), layer=layer)
                trainer.mark(step)
                trainer.log(step, loss=step, accuracy=None)
            if step == 9:
                wait_until(lambda: left.receive(0) or 20 in left.acks, "the first ten")
                one = daemon.subscribe(run="left", since_seq="0")
        expected = [(run, layer, step) for step in range(30) for run in ("left", "right")
                    for layer in ("a", "b")]
        everything.read_until(lambda s: len(s.points) >= 120 and len(s.scalars) >= 120)
        assert sorted(point_keys(everything)) == sorted(expected)
        assert everything.seq == daemon.rpc("server.status")["seq"] == "240"
        one.read_until(lambda s: len(s.points) >= 60 and len(s.scalars) >= 60)
        assert point_keys(one) == [("left", layer, step) for step in range(30)
                                   for layer in ("a", "b")]
        one.close()


def test_without_since_the_first_answer_is_the_latest(daemon):
    with daemon.trainer("run") as trainer:
        for step in range(3):
            for layer in ("a", "b"):
                trainer.rows(*draw(20, 4, 2), layer=layer)
            trainer.checkpoint(step)
            trainer.wait(trainer.log(step, loss=step))
        with daemon.subscribe(run="run") as subscription:
            assert sorted(point_keys(subscription)) == [("run", "a", 2), ("run", "b", 2)]
            assert [(s["name"], s["value"]) for s in subscription.scalars] == [("loss", 2)]


def test_a_subscriber_resumes_over_a_restart(daemon):
    seen = []
    since = "0"
    step = 0
    for _ in range(4):
        with daemon.trainer("run") as trainer:
            subscription = daemon.subscribe(since_seq=since)
            for _ in range(25):
                trainer.rows(*draw(20, 4, 2, seed=step))
                trainer.mark(step)
                step += 1
            trainer.wait(trainer.seq)
            subscription.read_until(lambda s: len(s.points) >= 10)
            daemon.kill()
            while subscription.read_update():
                pass
            seen += point_keys(subscription)
            since = subscription.seq
            subscription.close()
            daemon.start()
    with daemon.subscribe(since_seq=since) as subscription:
        seen += point_keys(subscription)
    assert seen == [("run", "head", step) for step in range(100)]


def test_a_slow_reader_misses_nothing_and_costs_little(daemon):
    slow = daemon.subscribe(since_seq="0")
    n_steps, n_layers = 150, 40
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(20, 4, 2), layer="warm-up")
        trainer.checkpoint(0)
        before = daemon.resident_bytes()
        for step in range(n_steps):
            for layer in range(n_layers):
                trainer.rows(*draw(8, 4, 2), layer=f"layer{layer}")
            trainer.checkpoint(step)
        daemon.assert_grew_less(before, 64 << 20)
        n_points = daemon.rpc("server.status")["points"]
        assert n_points == n_steps * n_layers + 1
        assert daemon.rpc("run.list")["runs"][0]["n_points"] == n_points, "others are served"
    slow.read_until(lambda s: len(s.points) == n_points)
    assert len(set(point_keys(slow))) == n_points
    assert slow.seq == str(n_points)
    slow.close()


def test_unsubscribed_is_silent(daemon):
    with daemon.subscribe() as subscription, daemon.trainer("run") as trainer:
        assert subscription.call("series.unsubscribe", sub=1) == {}
        trainer.rows(*draw(20, 4, 2))
        trainer.checkpoint(1)
        assert subscription.call("server.status")["subscriptions"] == 0
        subscription.socket.settimeout(0.05)
        try:
            assert subscription.socket.recv(1) is None, "nothing is to come"
        except socket.timeout:
            pass


def test_subscriptions_of_one_connection_are_numbered_and_bounded(daemon):
    with Feed(daemon.endpoints["feed"]) as feed:
        numbers = [feed.call("series.subscribe")["sub"] for _ in range(64)]
        assert numbers == list(range(1, 65))
        answer = feed.ask('{"jsonrpc":"2.0","id":1,"method":"series.subscribe"}')
        assert answer["error"]["code"] == -32002
        feed.call("series.unsubscribe", sub=7)
        assert feed.call("series.subscribe")["sub"] == 65
    with Subscription(daemon.endpoints["feed"]) as fresh:
        assert fresh.seq == "0"
