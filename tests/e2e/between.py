"""What may stand between richd and PostgreSQL: a pooler, and a long way."""

import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import PATIENCE_S, clean_environment, wait_until


class Bouncer:
    """pgbouncer in transaction mode, with fewer connections to the server than come to it."""

    CONFIG = """[databases]
* = host={server} user=richd
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = 2
"""

    def __init__(self, server):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="richd-pgb-"))
        self.folder.chmod(0o777)  # the server's user writes there
        config = self.folder / "pgbouncer.ini"
        config.write_text(self.CONFIG.format(server=server.folder, folder=self.folder))
        self.process = subprocess.Popen(
            [*server.prefix, "/usr/sbin/pgbouncer", "-q", config], cwd=self.folder,
            env=clean_environment(LC_ALL="C"), stdin=subprocess.DEVNULL)
        wait_until((self.folder / ".s.PGSQL.6432").exists, "pgbouncer")

    def url(self, database):
        return f"postgresql://richd@/{database.name}?host={self.folder}&port=6432"

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        shutil.rmtree(self.folder, ignore_errors=True)


class LongWay:
    """Passes all on, each byte half a round trip later."""

    def __init__(self, server, round_trip_s):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="richd-way-"))
        self.target = str(server.folder / ".s.PGSQL.5432")
        self.delay_s = round_trip_s / 2
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.folder / ".s.PGSQL.5432"))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self, database):
        return f"postgresql://richd@/{database.name}?host={self.folder}"

    def accept(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:  # closed
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self.target)
            for one, other in ((near, far), (far, near)):
                pieces = queue.Queue(1000)
                threading.Thread(target=self.take, args=(one, pieces), daemon=True).start()
                threading.Thread(target=self.give, args=(other, pieces), daemon=True).start()

    def take(self, source, pieces):
        piece = b"-"
        while piece:
            try:
                piece = source.recv(65536)
            except OSError:
                piece = b""
            pieces.put((time.monotonic() + self.delay_s, piece))

    def give(self, target, pieces):
        while True:
            due, piece = pieces.get()
            time.sleep(max(0, due - time.monotonic()))
            try:
                if not piece:
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(piece)
            except OSError:
                return

    def close(self):
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)
