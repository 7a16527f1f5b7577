"""What the end-to-end tests share: the real daemon in a folder of its own, a trainer that speaks
plain ZeroMQ, a reader of the feed, and the measure in numpy to compare with."""

import contextlib
import json
import math
import os
import pathlib
import re
import resource
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
import zmq

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RICHD_BUILD", ROOT / "build")).resolve()
PACKAGE = ROOT / "client" / "python" / "src"
#: A sanitized daemon on a busy machine is slow; what takes longer than this is a failure.
PATIENCE_S = 30.0
IS_SANITIZED = BUILD.name != "build"
#: Sanitizers keep what was freed, and shadow the rest: bounds on memory are this much wider there.
MEMORY_SLACK = 8 if IS_SANITIZED else 1
#: A sanitizer sees in a few rounds what it can see in many.
IS_THINNED = IS_SANITIZED and os.environ.get("RICHD_TESTS") != "all"
SANITIZER_REPORTS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:")
F32, F64, F16, BF16, I32, I64 = 1, 2, 3, 4, 5, 6
#: The measures of a point beside d_lr, d_debiased, u and pr.
#: The members of a point, as the page shows them, and of these its measures beyond the first four.
POINT_KEYS = tuple(json.loads(re.search(
    r"^POINT.*?```json\n(.*?)```", (ROOT / "proto" / "FEED.md").read_text(), re.M | re.S).group(1)))
COMPANIONS = POINT_KEYS[POINT_KEYS.index("pr") + 1:-1]
HEADER = struct.Struct("<4sHBBQqQIIIIBBBB12x")


def wait_until(condition, what="the condition", timeout=PATIENCE_S):
    """What `condition()` returns as soon as that is true; fails after `timeout` seconds.

    `what` is a sentence's end, or a function that makes it when it is needed.
    """
    deadline = time.monotonic() + timeout
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, \
            f"waited {timeout:g} s for {what() if callable(what) else what}"
        time.sleep(pause)
        pause = min(1.1 * pause, 0.05)


def free_port():
    """A TCP port that is free, and below those that the kernel gives to others meanwhile."""
    while True:
        port = 10000 + secrets.randbelow(22000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port


def clean_environment(**more):
    """The shell's variables without those by which a daemon or a client finds its way."""
    foreign = ("RICHD_", "XDG_", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    kept.setdefault("TSAN_OPTIONS", f"suppressions={ROOT / 'tests' / 'tsan.supp'}")
    spool = {name: os.environ[name] for name in ("RICHD_SPOOL_DIR",) if name in os.environ}
    return {**kept, **spool, "PYTHONPATH": str(PACKAGE), "RICHD_AUTOSTART": "0", **more}


def limiting(limits):
    """For the child of a fork: sets these resource limits, soft and hard."""
    def apply():
        for resource_number, limit in limits.items():
            resource.setrlimit(resource_number, (limit, limit))

    return apply


def richd(*flags, limits=None, **environment):
    """Runs the daemon's binary to its end: for options that make it print, or refuse."""
    return subprocess.run([BUILD / "richd", *flags], env=clean_environment(**environment),
                          capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                          preexec_fn=limiting(limits or {}))


# ---- the daemon -----------------------------------------------------------------------------------


class RpcError(Exception):
    """The feed answered with an error."""

    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['message']}")
        self.code = error["code"]
        self.text = error["message"]


class Daemon:
    """One richd: started, stopped and killed in folders that outlive it.

    It is not nice to the tests beside it: they would wait for it on a busy machine. It has a page
    where a test asks for one, since others count its memory and descriptors. The runtime
    folder is short and not below pytest's: a socket's path has at most 107
    bytes.
    """

    def __init__(self, folder, *flags, **environment):
        self.folder = pathlib.Path(folder)
        self.state = self.folder / "state"
        self.runtime = pathlib.Path(tempfile.mkdtemp(prefix="richd-"))
        self.log = self.folder / "richd.log"
        self.log.touch()
        self.flags = list(flags)
        self.environment = {"RICHD_NICE": "0", "RICHD_HTTP": "off", **environment}
        self.prefix = []  # a program that runs it, and keeps its process id
        self.preexec = None
        self.process = None

    def start(self):
        self.launch()
        wait_until(self.is_ready, "the daemon to be ready")
        return self

    def launch(self):
        """Starts the process, and does not wait for it."""
        self.began_at = self.log.stat().st_size
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, BUILD / "richd", "--state-dir", self.state, "--runtime-dir", self.runtime,
                 *self.flags],
                env=clean_environment(**self.environment), preexec_fn=self.preexec,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def is_ready(self):
        text = self.log.read_bytes()[self.began_at:].decode()
        assert self.process.poll() is None, f"richd ended with {self.process.returncode}: {text}"
        return " ready ingest=" in text

    @property
    def output(self):
        return self.log.read_text("utf-8", "replace")

    @property
    def pid(self):
        return self.process.pid

    @property
    def endpoints(self):
        return json.loads((self.runtime / "endpoints.json").read_text())

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, expect=0):
        """SIGTERM, and what an orderly end looks like."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_S)
        self.process = None
        assert code == expect, self.output
        assert self.output.rstrip().endswith("stopped"), self.output
        assert not (self.runtime / "endpoints.json").exists()
        assert not list(self.runtime.glob("*.sock"))
        self.check_sanitizers()

    def kill(self):
        """kill -9: no destructor runs, nothing is flushed."""
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def check_sanitizers(self):
        for report in SANITIZER_REPORTS:
            assert report not in self.output, self.output

    def close(self):
        """At the end of a test: one that still runs must also end well."""
        try:
            if self.process is not None:
                self.process.send_signal(signal.SIGCONT)
                self.stop()
            self.check_sanitizers()
        finally:
            if self.process is not None:
                self.kill()
            shutil.rmtree(self.runtime, ignore_errors=True)

    # ---- what it answers -------------------------------------------------------------------------

    def rpc(self, method, **params):
        """One request on a connection of its own; raises RpcError for an error."""
        with Feed(self.endpoints["feed"]) as feed:
            return feed.call(method, **params)

    def series(self, run, layer="head", **params):
        """The columns of a layer's series."""
        layers = self.rpc("series.query", run=run, layer=layer, **params)["layers"]
        assert [entry["layer"] for entry in layers] == [layer]
        return layers[0]["columns"]

    def state_of(self, run):
        return self.rpc("run.get", run=run)["state"]

    def subscribe(self, **params):
        return Subscription(self.endpoints["feed"], **params)

    def richctl(self, *arguments, expect=0):
        """Runs richctl on this daemon; returns what it printed."""
        done = subprocess.run([BUILD / "richctl", "--runtime-dir", self.runtime, *arguments],
                              env=clean_environment(), capture_output=True, text=True,
                              timeout=PATIENCE_S, check=False)
        assert done.returncode == expect, done.stderr
        return done.stdout

    def richctl_json(self, *arguments):
        return [json.loads(line) for line in self.richctl("--json", *arguments).splitlines()]

    def trainer(self, run=None, **open_fields):
        """A connected trainer; with `run`, it has opened it."""
        trainer = Trainer(self.endpoints["ingest"])
        if run is not None:
            trainer.open(run, **open_fields)
        return trainer

    def train(self, *arguments):
        """Starts a Python program that finds this daemon. SIGINT interrupts it, also where these
        tests run in the background of a shell, which ignores it there."""
        return subprocess.Popen([sys.executable, *map(str, arguments)], text=True,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                                env=clean_environment(RICHD_RUNTIME_DIR=str(self.runtime)),
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def assert_grew_less(self, before_bytes, limit_bytes):
        grown = self.resident_bytes() - before_bytes
        assert grown < MEMORY_SLACK * limit_bytes, f"the daemon grew by {grown / 2**20:.1f} MiB"

    def fill_disk(self):
        """From now on the write-ahead log cannot grow: to the daemon the disk is full."""
        wal = self.state / "richd.sqlite-wal"
        self.limit_file_size(wal.stat().st_size)

    def free_disk(self):
        self.limit_file_size(resource.RLIM_INFINITY)

    def limit_file_size(self, size_bytes):
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


# ---- the feed -------------------------------------------------------------------------------------


def connect_feed(address):
    scheme, _, rest = address.partition(":")
    if scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE_S)
        connection.connect(rest)
        return connection
    host, _, port = rest.replace("[", "").replace("]", "").rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE_S)


class Feed:
    """One connection to the feed: lines out, lines in."""

    def __init__(self, address):
        self.socket = connect_feed(address)
        self.lines = self.socket.makefile("rb")
        self.n_calls = 0

    def send(self, line):
        self.socket.sendall(line if isinstance(line, bytes) else line.encode())

    def receive(self):
        """The next line's object; None when the daemon closed."""
        line = self.lines.readline()
        return json.loads(line) if line else None

    def ask(self, line):
        """Sends one line as it is; returns the answer's object."""
        self.send(line if line.endswith(b"\n" if isinstance(line, bytes) else "\n")
                  else line + (b"\n" if isinstance(line, bytes) else "\n"))
        return self.receive()

    def call(self, method, **params):
        self.n_calls += 1
        answer = self.ask(json.dumps({"jsonrpc": "2.0", "id": self.n_calls, "method": method,
                                      "params": params}))
        assert answer is not None, "the daemon closed the connection"
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] == self.n_calls
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def close(self):
        self.lines.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Subscription(Feed):
    """A subscriber that keeps all it was told; `seq` is where another one would go on."""

    def __init__(self, address, **params):
        super().__init__(address)
        self.points, self.scalars = [], []
        self._take(self.call("series.subscribe", **params))

    def _take(self, update):
        self.seq = update["seq"]
        self.points += update["points"]
        self.scalars += update["scalars"]

    def read_update(self):
        """Waits for one notification; False when the daemon has gone."""
        message = self.receive()
        if message is None:
            return False
        assert message["method"] == "series.update"
        self._take(message["params"])
        return True

    def read_until(self, condition):
        while not condition(self):
            assert self.read_update(), "the daemon closed the subscription"
        return self


# ---- a trainer ------------------------------------------------------------------------------------


def header(seq, rows_before, n_rows, p, c, *, step=0, kind=1, targets=0, dtypes=(F32, F32, 0, 0),
           magic=b"RICH", version=1):
    """The 64 bytes of a data message's header, right or wrong."""
    return HEADER.pack(magic, version, kind, 0, seq, step, rows_before, n_rows, p, c, targets,
                       *dtypes)


def dtype_code(values):
    return {np.dtype("f4"): F32, np.dtype("f8"): F64, np.dtype("f2"): F16}[values.dtype]


class Trainer:
    """One ZeroMQ connection that says what proto/INGEST.md says, or whatever a test wants."""

    def __init__(self, endpoint, context=None, **options):
        self.socket = (context or zmq.Context.instance()).socket(zmq.DEALER)
        self.socket.linger = 0
        self.socket.rcvhwm = 0
        self.socket.sndhwm = 0
        self.socket.ipv6 = "[" in endpoint
        for name, value in options.items():
            self.socket.setsockopt(getattr(zmq, name.upper()), value)
        self.socket.connect(endpoint)
        self.writer = secrets.token_hex(8)
        self.attempt = 0
        self.granted = self.sent_bytes = 0
        self.seq = 0
        self.layers = {}  # name -> [last batch number, rows offered]
        self.acks = {}    # seq -> points
        self.nacks = []

    # ---- control ---------------------------------------------------------------------------------

    def say(self, kind, **fields):
        self.socket.send(json.dumps({"type": kind, **fields}).encode())

    def send(self, *frames):
        self.socket.send_multipart(frames)

    def receive(self, timeout=PATIENCE_S):
        """The next message of the daemon, noted; None when there is none in time."""
        if not self.socket.poll(1000 * timeout):
            return None
        message = json.loads(self.socket.recv())
        if message["type"] == "ack":
            self.acks[message["seq"]] = message.get("points")
        elif message["type"] == "nack":
            self.nacks.append(message)
        elif message["type"] == "progress":
            assert message["granted"] > self.granted
            self.granted = message["granted"]
        return message

    def expect(self, kind, timeout=PATIENCE_S, **fields):
        """Waits for a message of that kind (and those fields), passing over credit."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            message = self.receive(left) if left > 0 else None
            assert message is not None, f"no {kind} {fields} within {timeout:g} s"
            if message["type"] == kind and fields.items() <= message.items():
                return message
            assert message["type"] in ("progress", "ack", "pong"), message

    def hello(self, low=1, high=1):
        self.say("hello", protocol_min=low, protocol_max=high, client="e2e", host="here", pid=1)

    def open(self, run, **fields):
        """Greets and opens; returns the welcome."""
        self.hello()
        self.expect("hello")
        self.say("open", **{"run": run, "writer": self.writer, **fields})
        welcome = self.expect("welcome")
        self.attempt, self.granted = welcome["attempt"], welcome["granted"]
        self.seq = welcome["last_seq"]
        self.acks.clear()
        return welcome

    def _next_seq(self):
        self.seq += 1
        return self.seq

    def mark(self, step, layers=None, seq=None, **fields):
        """Sends a checkpoint of all layers; returns its sequence number."""
        seq = seq or self._next_seq()
        named = {name: {"seq": self.layers[name][0], "rows": self.layers[name][1]}
                 for name in (self.layers if layers is None else layers)}
        self.say("checkpoint", seq=seq, step=step, layers=named, **fields)
        return seq

    def log(self, step, **scalars):
        seq = self._next_seq()
        self.say("log", seq=seq, step=step, scalars=scalars)
        return seq

    def wait(self, seq):
        """Waits for the acknowledgement; returns its points by layer."""
        while seq not in self.acks:
            message = self.receive()
            assert message is not None, f"seq {seq} was not acknowledged"
            assert message["type"] != "nack", message
        return {point["layer"]: point for point in self.acks[seq] or ()}

    def checkpoint(self, step, **fields):
        return self.wait(self.mark(step, **fields))

    def finish(self, status="finished"):
        seq = self._next_seq()
        self.say("close", seq=seq, status=status)
        self.wait(seq)

    def close(self):
        self.socket.close(0)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    # ---- data ------------------------------------------------------------------------------------

    def number(self, layer, n_rows):
        """Takes the next batch number; returns it with the rows offered before."""
        state = self.layers.setdefault(layer, [0, 0])
        before = state[1]
        state[0] += 1
        state[1] += n_rows
        return state[0], before

    def rows(self, features, outputs, layer="head", step=0):
        """Sends one batch of float32, float64 or float16 rows; returns its bytes."""
        seq, before = self.number(layer, len(features))
        frames = [header(seq, before, len(features), features.shape[1], outputs.shape[1],
                         step=step, dtypes=(dtype_code(features), dtype_code(outputs), 0, 0)),
                  layer.encode(), np.ascontiguousarray(features).tobytes(),
                  np.ascontiguousarray(outputs).tobytes()]
        return self.send_batch(frames)

    def send_batch(self, frames):
        size = sum(map(len, frames))
        self.sent_bytes += size
        self.socket.send_multipart(frames)
        return size


# ---- numbers --------------------------------------------------------------------------------------


def draw(n, p, c, seed=0, dtype=np.float32, noise=0.0):
    """Rows of features with a spectrum, and outputs that read some of them."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, p)) * (1 / (1 + np.arange(p)) ** 0.5) + rng.normal(size=p)
    outputs = features @ rng.normal(size=(p, c)) / math.sqrt(p) + noise * rng.normal(size=(n, c))
    return features.astype(dtype), outputs.astype(dtype)


def measure(features, outputs, cut_off=1e-10, kept=True):
    """The point of these rows, from the definitions and in double.

    d_debiased is that of a window which keeps its rows, or (`kept` false) of reduced moments.
    """
    x = np.asarray(features, np.float64)
    y = np.asarray(outputs, np.float64)
    n = len(x)
    x = x - x.mean(0)
    y = y - y.mean(0)
    values, vectors = np.linalg.eigh(y.T @ y)
    varies = values > cut_off * values[-1]
    r = int(varies.sum())
    q = y @ vectors[:, varies] / np.sqrt(values[varies])
    gram = x.T @ x
    gram_norm = np.linalg.norm(gram)
    total, inside = np.sum(x * x), np.sum((q.T @ x) ** 2)
    s = np.sum(x * x, 1)
    debiased = None
    if n > 3 and n > r + 1:
        leverage = np.sum(q * q, 1) + 1 / n
        if kept:  # what is left of each row by a map that is fitted without it
            left = np.sum(x * (x - q @ (q.T @ x)) / (1 - leverage)[:, None]) / n
        else:
            left = (total - inside) / (n - 1 - r)
        u = 1 - left * (n - 1) / total
        square = (((n * n - 3 * n + 1) * total**2 - n * (n - 1) * np.sum(s * s) + 2 * gram_norm**2)
                  / (n * (n - 1) * (n - 2) * (n - 3)))
        squares = ((gram_norm**2 - n / (n - 2) * np.sum(s * s) + total**2 / ((n - 1) * (n - 2)))
                   / (n * (n - 3)))
        debiased = 1 - u * math.sqrt(square / squares / r) if squares > 0 else None
    return {"n": n, "rank": r, "d_lr": 1 - inside / (math.sqrt(r) * gram_norm),
            "d_debiased": debiased, "u": inside / total, "pr": total**2 / gram_norm**2}


#: Rows that a layer keeps; of longer windows d_debiased goes by a sample of that many.
KEPT_MAX = 1024


def assert_measures(point, features, outputs, tolerance=1e-6, kept=True):
    """The point is the measure of these rows: none missing, none twice."""
    expected = measure(features, outputs, kept=kept)
    assert (point["n"], point["rank"]) == (expected["n"], expected["rank"])
    sampled = kept and expected["n"] > KEPT_MAX
    for name in ("d_lr", "d_debiased", "u"):
        bound = 4 * point["d_debiased_se"] if sampled and name == "d_debiased" else tolerance
        assert abs(point[name] - expected[name]) <= bound, (name, point, expected)
    assert abs(point["pr"] / expected["pr"] - 1) <= tolerance, (point, expected)
