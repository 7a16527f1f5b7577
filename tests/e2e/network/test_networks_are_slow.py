"""A long cable, on which packets are lost."""

import pytest

from harness import PATIENCE_S
from hosts import DAEMON_IP, PORT, join, pair
from test_networks_break import step
from test_trainers_on_other_hosts import line_of, start, train

#: The kernel's netem is not everywhere, so a program passes bytes on, 100 ms late in each
#: direction, with a pause of a second after every 200 kB, as where a packet is lost.
DELAY = """
import asyncio, sys
async def carry(reader, writer):
    passed, loop = 0, asyncio.get_running_loop()
    queue = asyncio.Queue(1000)
    async def put():
        while (piece := await reader.read(65536)):
            await queue.put((loop.time() + 0.1, piece))
        await queue.put((loop.time() + 0.1, b""))
    task = asyncio.create_task(put())
    while True:
        due, piece = await queue.get()
        await asyncio.sleep(max(0, due - loop.time()))
        if not piece:
            return writer.close()
        writer.write(piece)
        passed += len(piece)
        if passed > 200000:
            passed = 0
            await asyncio.sleep(1)
async def connection(reader, writer):
    far = await asyncio.open_connection(sys.argv[1], int(sys.argv[2]))
    await asyncio.gather(carry(reader, far[1]), carry(far[0], writer), return_exceptions=True)
async def main():
    async with await asyncio.start_server(connection, "127.0.0.1", int(sys.argv[2])) as server:
        print("ready", flush=True)
        await server.serve_forever()
asyncio.run(main())
"""


@pytest.mark.not_under("address", "thread", because="a handshake has 5 s")
def test_a_slow_way_that_loses_packets_brings_all(new_daemon, daemon_host, trainer_host, tmp_path):
    public, secret = pair()
    daemon = start(new_daemon, daemon_host, f"{public} gpu3 write")
    way = trainer_host.python(DELAY, DAEMON_IP, PORT, home="/")
    assert way.stdout.readline() == "ready\n"
    join(tmp_path, daemon.endpoints["server_key"], public, secret, f"tcp://127.0.0.1:{PORT}")
    program = train(trainer_host, tmp_path)
    points = [line_of(program)["points"]]
    for _ in range(3):
        step(program)
        points.append(line_of(program)["points"])
    assert points == [1, 1, 1, 1]
    program.communicate(timeout=PATIENCE_S)
    (run,) = daemon.rpc("run.list")["runs"]
    assert (run["state"], run["attempt"]) == ("finished", 1)
    way.kill()
    way.communicate()
