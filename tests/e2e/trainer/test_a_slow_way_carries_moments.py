"""A way that is slower than the training makes rows: they go as their moments, and all count."""

import asyncio
import socket
import threading

import numpy as np
import pytest

import richd
from harness import PATIENCE_S

P, C, N_ROWS = 64, 8, 4096
#: Rows of a window take half a second of it.
BYTES_A_SECOND = 4 * N_ROWS * (P + C) * 2
PIECE = 16384
WINDOWS_MAX = 60


class SlowWay:
    """A proxy on loopback that passes on so many bytes a second of what comes from the trainer."""

    def __init__(self, port):
        self.port = port
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(PATIENCE_S)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE_S)

    def _run(self):
        near = socket.socket()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)  # as a way has no memory
        near.bind(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{near.getsockname()[1]}"
        self.loop.run_until_complete(asyncio.start_server(self._connection, sock=near, limit=PIECE))
        self.ready.set()
        self.loop.run_forever()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def _carry(self, reader, writer, bytes_a_second):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
            if bytes_a_second:
                await asyncio.sleep(len(piece) / bytes_a_second)
        writer.close()

    async def _connection(self, reader, writer):
        far = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(self._carry(reader, far[1], BYTES_A_SECOND),
                             self._carry(far[0], writer, 0), return_exceptions=True)


def window(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N_ROWS, P)).astype("float32")
    return x, (x @ rng.standard_normal((P, C))).astype("float32")


@pytest.mark.not_under("thread", "address", because="the arithmetic is slower there")
def test_rows_become_moments_where_the_way_is_slow(new_daemon):
    daemon = new_daemon("--listen", "tcp://127.0.0.1:0").start()
    port = int(daemon.endpoints["ingest"].rsplit(":", 1)[1])
    with SlowWay(port) as way:
        run = richd.init(run_id="far", endpoint=way.endpoint, spool_bytes=0)
        n_windows = 0
        while run.stats.rows_reduced < 5 * N_ROWS and n_windows < WINDOWS_MAX:
            run.observe(*window(n_windows), step=n_windows)
            run.checkpoint(n_windows)
            n_windows += 1
            threading.Event().wait(0.15)
        stats = run.stats
        assert stats.rows_reduced >= 5 * N_ROWS, stats
        assert run.checkpoint(n_windows, wait=True, timeout=PATIENCE_S) is not None
        assert run.stats.checkpoint_bytes < 4 * N_ROWS * (P + C) / 10
        run.finish()
    columns = daemon.series("far", metrics=["d_lr", "d_debiased_se"])
    assert columns["n"] == [N_ROWS] * n_windows
    assert set(columns["rows_missing"]) == {0}
    assert columns["d_debiased_se"][0] is not None and columns["d_debiased_se"][-1] is None
    with richd.init(run_id="near", endpoint=daemon.endpoints["ingest"], spool_bytes=0) as near:
        near.observe(*window(n_windows - 1), step=0)
        same = near.checkpoint(0, wait=True, timeout=PATIENCE_S)["head"]
        assert near.stats.rows_reduced == 0
    assert abs(same.d_lr - columns["d_lr"][-1]) < 1e-6
