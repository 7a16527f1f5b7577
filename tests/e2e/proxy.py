"""A proxy between a trainer and the daemon that treats their connection badly.

    with Proxy(daemon.endpoints["ingest"], "cut", seed=1) as proxy:
        richd.init(endpoint=proxy.endpoint)

Bytes pass in order or not at all, as on any stream, so what the faults do to messages is what they
would do on a real one: late, in pieces, lost with their connection, and again after it. ZMTP 3.0
(rfc.zeromq.org/spec/23) is understood as far as it takes to send whole messages twice.
"""

import asyncio
import random
import tempfile
import threading

#: Of each direction, before a connection meets its fault: some hundred messages.
BYTES_MEAN = 20000
GREETING = 64
MORE, LONG, COMMAND = 1, 2, 4


class Messages:
    """Takes a direction's bytes apart: the greeting, in pieces as it comes, because each side waits
    for the other's first bytes, then whole messages."""

    def __init__(self):
        self.buffer = b""
        self.greeting_left = GREETING

    def _frame_end(self, at):
        """Where the frame at `at` ends, and its flags; (None, 0) while it is not whole."""
        if len(self.buffer) < at + 2:
            return None, 0
        flags = self.buffer[at]
        size_end = at + (9 if flags & LONG else 2)
        end = size_end + int.from_bytes(self.buffer[at + 1:size_end], "big")
        return (end, flags) if size_end <= len(self.buffer) >= end else (None, 0)

    def _first(self):
        """The size of the first message, and whether it is no command of ZMTP; 0: not whole."""
        at, flags = 0, MORE
        while flags & MORE:
            at, flags = self._frame_end(at)
            if at is None:
                return 0, False
        return at, not flags & COMMAND

    def take(self, piece):
        """What is whole with this piece, as (bytes, is_message)."""
        greeting, piece = piece[:self.greeting_left], piece[self.greeting_left:]
        self.greeting_left -= len(greeting)
        self.buffer += piece
        found = [(greeting, False)] if greeting else []
        while (first := self._first())[0]:
            found.append((self.buffer[:first[0]], first[1]))
            self.buffer = self.buffer[first[0]:]
        return found


class Way:
    """One direction of one connection."""

    def __init__(self, proxy, writer, from_trainer):
        self.proxy = proxy
        self.chance = proxy.chance
        self.writer = writer
        self.from_trainer = from_trainer
        self.left = self.chance.expovariate(1 / BYTES_MEAN)
        self.messages = Messages()

    async def write(self, piece):
        self.writer.write(piece)
        await self.writer.drain()

    async def clean(self, piece):
        await self.write(piece)

    async def delay(self, piece):
        await asyncio.sleep(self.chance.uniform(0, 0.02))
        await self.write(piece)

    async def bytewise(self, piece):
        """The first bytes one by one, so that every boundary is met; later ones in small pieces."""
        at = 0
        while at < len(piece):
            n = 1 if self.left > 0 else self.chance.randint(1, 200)
            await self.write(piece[at:at + n])
            await asyncio.sleep(0)
            self.left -= 10 * n
            at += n

    async def cut(self, piece):
        """All of it, part of it, or nothing, and then no connection more."""
        self.left -= len(piece)
        if self.left > 0:
            await self.write(piece)
            return
        await self.write(piece[:self.chance.randint(0, len(piece))])
        self.proxy.n_faults += 1
        raise ConnectionAbortedError

    async def half_open(self, piece):
        """From some point on nothing passes this way, and nobody is told."""
        self.left -= len(piece)
        if self.left > 0:
            await self.write(piece)
        elif not self.proxy.n_faults:
            self.proxy.n_faults += 1
            await asyncio.Event().wait()
        else:
            await self.write(piece)

    async def duplicate(self, piece):
        """Some of a trainer's messages twice."""
        for message, is_message in self.messages.take(piece):
            twice = self.from_trainer and is_message and self.chance.random() < 0.3
            self.proxy.n_faults += twice
            await self.write(message * (2 if twice else 1))


class Proxy:
    """Listens at `endpoint`; `fault` is the name of a method of Way."""

    def __init__(self, target, fault, seed=0):
        self.target = target.removeprefix("ipc://")
        self.fault = fault
        self.chance = random.Random(seed)
        self.folder = tempfile.TemporaryDirectory(prefix="proxy-")
        self.endpoint = f"ipc://{self.folder.name}/s"
        self.n_connections = self.n_faults = 0
        self.loop = asyncio.new_event_loop()
        self.connections = set()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        path = self.endpoint.removeprefix("ipc://")
        self.server = asyncio.run_coroutine_threadsafe(
            asyncio.start_unix_server(self._serve, path), self.loop).result()
        return self

    def heal(self):
        """From now on connections are good; those that were treated badly are cut."""
        self.loop.call_soon_threadsafe(self._heal)

    def _heal(self):
        self.fault = "clean"
        for task in self.connections:
            task.cancel()

    async def _end(self):
        self.server.close()
        self._heal()
        await asyncio.gather(*self.connections, return_exceptions=True)

    def __exit__(self, *exc):
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.folder.cleanup()

    async def _pass(self, reader, way, fault):
        while piece := await reader.read(65536):
            await getattr(way, fault)(piece)

    async def _serve(self, reader, writer):
        self.n_connections += 1
        self.connections.add(asyncio.current_task())
        there, ways = None, []
        try:
            back, there = await asyncio.open_unix_connection(self.target)
            ways = [asyncio.ensure_future(self._pass(*way, self.fault))
                    for way in ((reader, Way(self, there, True)), (back, Way(self, writer, False)))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.connections.discard(asyncio.current_task())
            for end in (writer, there):
                if end:
                    end.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
