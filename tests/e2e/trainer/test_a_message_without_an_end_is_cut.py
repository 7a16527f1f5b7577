"""A trainer that sends frames which announce more, and never the last one of the message."""

import contextlib
import threading

import zmtp
from harness import MEMORY_SLACK, draw, wait_until

MIB = 1 << 20
#: What the daemon lets one connection send without a message that it could read.
UNREAD_MAX = 128 * MIB


class Endless:
    """Sends in a thread until the daemon cuts it."""

    def __init__(self, endpoint):
        self.socket = zmtp.connect(endpoint)
        self.sent = 0
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        part = zmtp.frame(bytes(MIB), zmtp.MORE)
        with contextlib.suppress(OSError), self.socket:
            while self.sent < 20 * UNREAD_MAX:
                self.socket.sendall(part)
                self.sent += len(part)


def test_a_message_without_an_end_is_cut_and_its_memory_comes_back(daemon):
    before = daemon.resident_bytes()
    with daemon.trainer("healthy") as healthy:
        hostile = Endless(daemon.endpoints["ingest"])
        step = 0
        while hostile.thread.is_alive():
            step += 1
            healthy.rows(*draw(64, 16, 4))
            assert healthy.checkpoint(step)["head"]["n"] == 64
            daemon.assert_grew_less(before, 2 * UNREAD_MAX)
        hostile.thread.join()
        assert UNREAD_MAX <= hostile.sent < 2 * UNREAD_MAX
        wait_until(lambda: daemon.resident_bytes() < before + MEMORY_SLACK * UNREAD_MAX / 2,
                   "its memory to come back")
        wait_until(lambda: "cut trainers whose messages have no end, or who take no answers: 1" in daemon.output, "the log")
        assert daemon.rpc("server.status")["trainers_cut"] == 1
        healthy.rows(*draw(64, 16, 4))
        assert healthy.checkpoint(step + 1)["head"]["n"] == 64
        healthy.finish()
