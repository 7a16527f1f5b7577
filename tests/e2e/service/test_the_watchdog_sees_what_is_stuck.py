"""What systemd's watchdog hears of a daemon whose loop, worker or store hangs, and of one that
computes for long. A library put before the others makes a call hang at a pipe, or compute for as
long as a file is there."""

import os
import signal
import socket
import subprocess

import pytest

from harness import connect_feed, draw, wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.not_under("address", "thread",
                          because="what hangs lies before the sanitizer's own functions")]

WATCHDOG_S = 4
HANGING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void hang(const char *name)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof path, "%s/%s", getenv("HANG_DIR"), name);
    fd = open(path, O_RDONLY);
    if (fd >= 0)
        close(fd);
}

static void compute(void)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/computing", getenv("HANG_DIR"));
    while (access(path, F_OK) == 0)
        continue;
}

int fdatasync(int fd)
{
    hang("store");
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    hang("loop");
    return ((int (*)(int, struct sockaddr *, socklen_t *, int))dlsym(RTLD_NEXT, "accept4"))(
        fd, address, size, flags);
}

typedef int eigen(int, char, char, int, double *, int, double *, double *, int, int *, int);

/* Each point needs the eigenvalues of Y'Y. */
int LAPACKE_dsyevd_work(int layout, char job, char part, int n, double *a, int ld, double *w,
                        double *reals, int n_reals, int *integers, int n_integers)
{
    hang("worker");
    compute();
    return ((eigen *)dlsym(RTLD_NEXT, "LAPACKE_dsyevd_work"))(layout, job, part, n, a, ld, w, reals,
                                                              n_reals, integers, n_integers);
}
"""


class Watched:
    """A daemon that tells systemd it lives, where systemd is this test."""

    def __init__(self, new_daemon, folder):
        self.folder = folder
        self.library = folder / "hanging.so"
        source = folder / "hanging.c"
        source.write_text(HANGING)
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", self.library, source], check=True)
        self.daemon = new_daemon(
            LD_PRELOAD=str(self.library), HANG_DIR=str(folder),
            WATCHDOG_USEC=str(1000000 * WATCHDOG_S))
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = self.daemon.runtime / "notify"
        self.socket.bind(str(path))
        self.daemon.environment["NOTIFY_SOCKET"] = str(path)
        self.daemon.start()

    def begin(self, what):
        os.mkfifo(self.folder / what)

    def end(self, what):
        pipe = os.open(self.folder / what, os.O_RDWR)  # lets go who waits there
        (self.folder / what).unlink()
        os.close(pipe)

    def messages(self):
        """What came since the last call."""
        self.socket.setblocking(False)
        found = []
        while True:
            try:
                found += self.socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return found

    def wait_until_said(self, sentence):
        def is_said():
            self.messages()  # ten that nobody takes hold the daemon up
            return sentence in self.daemon.output

        wait_until(is_said, f'"{sentence}"')

    def wait_for_life(self, times=1):
        heard = []

        def is_heard():
            heard.extend(self.messages())
            return heard.count("WATCHDOG=1") >= times

        wait_until(is_heard, "a sign of life")

    def assert_silent(self):
        """For longer than between two signs of a life."""
        self.messages()
        self.socket.settimeout(2.5)
        with pytest.raises(TimeoutError):
            self.socket.recv(4096)


@pytest.fixture
def watched(new_daemon, tmp_path):
    watched = Watched(new_daemon, tmp_path)
    yield watched
    for path in ("store", "worker", "loop", "computing"):
        if (tmp_path / path).exists():
            watched.end(path)
    watched.socket.close()


def test_a_daemon_that_computes_for_long_is_alive(watched):
    with watched.daemon.trainer("run") as trainer:
        trainer.rows(*draw(30, 4, 2))
        watched.begin("computing")
        mark = trainer.mark(1)
        watched.messages()
        watched.wait_for_life(times=WATCHDOG_S + 1)
        assert not trainer.acks
        with watched.daemon.trainer("other") as other:
            assert other.log(1, loss=1.0) and other.expect("ack"), "others do not wait behind it"
        watched.end("computing")
        trainer.wait(mark)


def test_nor_does_it_keep_the_daemon_from_ending(watched):
    daemon = watched.daemon
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(30, 4, 2))
        trainer.checkpoint(1)
        watched.begin("computing")
        trainer.rows(*draw(30, 4, 2))
        trainer.mark(2)
        trainer.say("ping", id=1)
        trainer.expect("pong")
        daemon.signal(signal.SIGTERM)
        watched.wait_until_said("are left behind")
        assert daemon.process.wait(5) == -signal.SIGTERM
        daemon.process = None
    watched.end("computing")
    daemon.start()
    assert daemon.series("run")["step"] == [1]


def test_a_disk_that_others_fill_is_no_hang(watched):
    with watched.daemon.trainer("run") as trainer:
        trainer.rows(*draw(30, 4, 2))
        watched.begin("store")
        mark = trainer.mark(1)
        watched.messages()
        watched.wait_for_life(times=WATCHDOG_S + 1)
        watched.end("store")
        trainer.wait(mark)
    assert "the watchdog hears nothing more" not in watched.daemon.output


@pytest.mark.parametrize("part", ["store", "worker"])
def test_a_store_or_worker_that_hangs_is_seen(watched, part):
    daemon = watched.daemon
    with daemon.trainer("run") as trainer, daemon.trainer("other") as other:
        trainer.rows(*draw(30, 4, 2))
        watched.wait_for_life()
        watched.begin(part)
        mark = trainer.mark(1)
        watched.wait_until_said("the watchdog hears nothing more")
        other.say("ping", id=1)
        other.expect("pong")  # the loop goes on
        watched.assert_silent()
        watched.end(part)
        trainer.wait(mark)
    watched.wait_until_said("what was stuck moves again")
    watched.wait_for_life()


def test_a_loop_that_hangs_is_silent(watched):
    watched.wait_for_life()
    watched.begin("loop")
    with connect_feed(watched.daemon.endpoints["feed"]):
        watched.assert_silent()
        watched.end("loop")
        watched.wait_for_life()
