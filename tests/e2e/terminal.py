"""A program in a terminal: a pty on its side, a screen of cells (pyte) on ours."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

from harness import PATIENCE_S, clean_environment

#: What a program must have undone in the end: the alternate screen, wrapping, the cursor.
SWITCHES = ("1049", "7", "25")


class Terminal:
    """Runs a command with a pty for its three streams, as a session of its own.

    The screen wraps at its right edge whatever the program asks for: a line that is too wide shows.
    """

    def __init__(self, *command, columns=80, lines=24, **environment):
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.sent = b""
        self.master, self.slave = pty.openpty()
        self._set_size()
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=self.slave, stdout=self.slave,
            stderr=self.slave, preexec_fn=self._take_terminal,
            env=clean_environment(**{"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment}))

    def _take_terminal(self):
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def _set_size(self):
        size = struct.pack("HHHH", self.screen.lines, self.screen.columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def resize(self, columns, lines):
        """The screen is emptied: what stands there later has been drawn for the new size."""
        self.read(0.05)
        self.screen.resize(lines, columns)
        self.screen.erase_in_display(2)
        self._set_size()

    def read(self, seconds):
        """Takes what the program writes within that time."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0, deadline - time.monotonic())
            if not select.select([self.master], [], [], left)[0]:
                return
            with contextlib.suppress(OSError):
                data = os.read(self.master, 65536)
                self.sent += data
                self.stream.feed(data.replace(b"\x1b[?7l", b""))

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, condition, what):
        """Reads until `condition(text)` of the screen is true, and returns the screen's lines."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition(self.text):
            assert time.monotonic() < deadline, f"waited for {what}:\n{self.text}"
            self.read(0.05)
        return self.text.split("\n")

    def shows(self, words):
        return self.until(lambda text: words in text, words)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        """Waits for the end. Returns the exit code, having checked what was given back."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self.read(0.05)
        self.read(0.05)
        self.check_restored()
        return self.process.returncode

    def check_restored(self):
        assert termios.tcgetattr(self.slave) == self.before
        for switch, usual in zip(SWITCHES, "lhh"):
            on, off = self.sent.rfind(b"\x1b[?%sh" % switch.encode()), self.sent.rfind(
                b"\x1b[?%sl" % switch.encode())
            assert (on > off) == (usual == "h") or on == off == -1, switch

    def await_stop(self):
        """Waits until the program has stopped, as after Ctrl-Z."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.read(0.05)
            with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
                if file.read().rpartition(")")[2].split()[0] == "T":
                    return
            assert time.monotonic() < deadline, "it does not stop"

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
