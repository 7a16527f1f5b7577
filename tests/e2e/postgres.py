"""A PostgreSQL server of the tests' own: an unprivileged user's, in a folder of its own, reached by
a UNIX socket alone."""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

from harness import PATIENCE_S, clean_environment, wait_until

PROGRAMS = pathlib.Path("/usr/lib/postgresql/15/bin")


class Postgres:
    """One server, with databases for tests. `url(name)` is what richd is told."""

    def __init__(self, fsync=False, primary=None, settings=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="richd-pg-"))
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.log.touch()
        self.process = None
        self.n_databases = 0
        self.prefix = []
        self.within = []
        if os.geteuid() == 0:  # the server refuses root
            user = pwd.getpwnam("nobody")
            for path in (self.folder, self.log):
                os.chown(path, user.pw_uid, user.pw_gid)
            self.prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
                           "--clear-groups"]
        self.folder.chmod(0o755)
        if primary is None:
            self.make()
        else:
            self.run("pg_basebackup", "-D", self.data, "-h", primary.folder, "-U", "richd", "-R",
                     "-X", "stream", "-c", "fast", "--no-sync")
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(f"listen_addresses = ''\nunix_socket_directories = '{self.folder}'\n"
                       f"fsync = {'on' if fsync else 'off'}\nmax_connections = 40\n"
                       f"shared_buffers = 32MB\n{settings}\n")

    def make(self):
        self.run("initdb", "-D", self.data, "-U", "richd", "-A", "trust", "-E", "UTF8",
                 "--locale=C", "--no-sync")
        rules = self.data / "pg_hba.conf"  # the role "locked" needs its password
        rules.write_text("local all locked scram-sha-256\n" + rules.read_text())

    def run(self, program, *arguments):
        done = subprocess.run([*self.prefix, PROGRAMS / program, *map(str, arguments)],
                              cwd=self.folder, env=clean_environment(LC_ALL="C"),
                              capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.within, *self.prefix, PROGRAMS / "postgres", "-D", self.data],
                cwd=self.folder, env=clean_environment(LC_ALL="C"), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)
        # after a crash it syncs every file before it recovers, which a busy disk makes slow
        wait_until(self.is_ready, lambda: f"PostgreSQL: {self.log.read_text()}",
                   timeout=6 * PATIENCE_S)
        return self

    def is_ready(self):
        assert self.process.poll() is None, self.log.read_text()
        return subprocess.run([PROGRAMS / "pg_isready", "-q", "-h", self.folder], check=False,
                              env=clean_environment()).returncode == 0

    def stop(self, number=signal.SIGINT):
        """Ends connections and the server."""
        self.process.send_signal(number)
        self.process.wait(2 * PATIENCE_S)
        self.process = None

    def kill(self):
        """kill -9 of the server and all its children."""
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)],
                                  capture_output=True, text=True, check=False).stdout.split()
        for pid in (self.process.pid, *map(int, children)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(PATIENCE_S)
        self.process = None
        time.sleep(0.05)

    def close(self):
        if self.process is not None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def add_small_disk(self, size_mb):
        """A tablespace "small" on a file system of that size, which is the server's own; false
        where this user may not mount one. Before the start."""
        disk = self.folder / "small"
        disk.mkdir()
        user = pwd.getpwnam("nobody")
        self.within = ["unshare", "--mount", "sh", "-c",
                       f"mount -t tmpfs -o size={size_mb}m,mode=700,uid={user.pw_uid} none {disk}"
                       ' && exec "$@"', "sh"]
        return subprocess.run([*self.within, "true"], check=False,
                              capture_output=True).returncode == 0

    def replica(self):
        """A server that streams from this one; not started yet."""
        return Postgres(primary=self)

    def cut_off(self):
        """This replica gets nothing more of its primary."""
        self.sql("postgres", "ALTER SYSTEM SET primary_conninfo = ''")
        self.sql("postgres", "SELECT pg_reload_conf()")
        wait_until(lambda: self.sql("postgres", "SELECT count(*) FROM pg_stat_wal_receiver"
                                    ) == [["0"]], "the replica to be cut off")

    def promote(self):
        self.run("pg_ctl", "promote", "-w", "-D", self.data)

    def new_database(self, more=""):
        self.n_databases += 1
        name = f"test{os.getpid()}_{self.n_databases}"
        self.sql("postgres", f"CREATE DATABASE {name} {more}")
        return Database(self, name)

    def sql(self, database, text):
        """The rows of a query, as lists of texts; NULL is None."""
        done = subprocess.run(
            [PROGRAMS / "psql", "-X", "-q", "-A", "-t", "-F", "\x1f", "-P", "null=\x02",
             "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-U", "richd", "-d", database,
             "-c", text], env=clean_environment(), capture_output=True, text=True,
            timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stderr
        return [[None if cell == "\x02" else cell for cell in line.split("\x1f")]
                for line in done.stdout.splitlines()]


class Database:
    """One database of the server."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.url = f"postgresql://richd@/{name}?host={server.folder}"

    def on(self, *servers):
        """The same one, on whichever of these servers takes writes."""
        hosts = ",".join(str(server.folder) for server in servers)
        return f"postgresql://richd@/{self.name}?host={hosts}&target_session_attrs=read-write"

    def sql(self, text):
        return self.server.sql(self.name, text)

    def value(self, text):
        return self.sql(text)[0][0]

    def has_tables(self):
        return self.value("SELECT to_regclass('richd.finding') IS NOT NULL") == "t"

    def count(self, table):
        return int(self.value(f"SELECT count(*) FROM richd.{table}")) if self.has_tables() else 0
