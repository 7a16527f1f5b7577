"""A feed server for richctl's tests: proto/FEED.md answered from lists in memory."""

import json
import math
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RICHCTL = str(pathlib.Path(os.environ.get("RICHD_BUILD", ROOT / "build")).resolve() / "richctl")
METRICS = ["d_lr", "d_debiased", "u", "pr"]
#: The members of a point, as the page shows them.
POINT_KEYS = list(json.loads(re.search(
    r"^POINT.*?```json\n(.*?)```", (ROOT / "proto" / "FEED.md").read_text(), re.M | re.S).group(1)))
#: The daemon's other measures, which this feed does not send: richctl prints null.
COMPANIONS = POINT_KEYS[POINT_KEYS.index("pr") + 1:-1]
#: The columns of series.query beside the measures.
PLAIN = [name for name in POINT_KEYS
         if name not in ("run", "layer", "p", "c", *METRICS, *COMPANIONS)]


class FeedError(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Run:
    def __init__(self, run, name, project="mod97", state="open", **more):
        self.facts = {"run": run, "name": name, "project": project, "group": "", "tags": ["demo"],
                      "config": {"lr": 0.001, "seed": 0}, "state": state, "attempt": 1,
                      "created": time.time() - 500.0, "updated": time.time() - 190.0,
                      "note": "", "hidden": False, "host": "gpu3", **more}
        self.points = {}   # layer -> list of POINT
        self.scalars = {}  # name -> list of SCALAR
        self.events = []
        self.watched = []

    def point(self, layer, step, d_lr, **more):
        point = {"run": self.facts["run"], "layer": layer, "attempt": 1, "step": step,
                 "time": 1764000000.25 + step, "n": 1024, "rows_missing": 0,
                 "rows_thinned": 0, "ranks_missing": 0, "rows_from": step,
                 "rows_to": step, "p": 128, "c": 97,
                 "rank": 96, "d_lr": d_lr, "d_debiased": None if d_lr is None else d_lr - 0.01,
                 "u": 0.998, "pr": 80.0, "flags": [], **more}
        self.points.setdefault(layer, []).append(point)
        return point

    def scalar(self, name, step, value, attempt=1):
        scalar = {"run": self.facts["run"], "name": name, "attempt": attempt, "step": step,
                  "time": 1764000000.5 + step, "value": value}
        self.scalars.setdefault(name, []).append(scalar)
        return scalar

    def transition(self, layer, start, end, step, agrees=None, accuracy=None, **more):
        event = {"run": self.facts["run"], "layer": layer, "attempt": 1, "step": step,
                 "time": 1764000000.25 + step, "kind": "transition", "metric": "d_lr",
                 "direction": "fall", "start": start, "end": end, "from": 0.54, "to": 0.06,
                 "size": 0.48, "n_from": 512, "n_to": 512, "returned": None, "agrees": agrees, "accuracy": accuracy, **more}
        self.events.append(event)
        return event

    def object(self):
        layers = [{"layer": name, "p": 128, "c": 97, "step": points[-1]["step"],
                   "d_lr": points[-1]["d_lr"], "d_debiased": points[-1]["d_debiased"]}
                  for name, points in self.points.items()]
        steps = [layer["step"] for layer in layers]
        return {**self.facts, "last_step": max(steps, default=None),
                "n_points": sum(map(len, self.points.values())), "layers": layers}


def binned(rows, values, low, high, bins, spacing):
    """Columns of bins, each with min, max and last, as FEED.md says."""
    scale = (lambda s: math.log(s + 1)) if spacing == "log" else float
    first, last = scale(rows[0]["step"]), scale(rows[-1]["step"])
    groups = {}
    for row in rows:
        share = (scale(row["step"]) - first) / (last - first or 1)
        groups.setdefault(min(int(share * bins), bins - 1), []).append(row)
    groups = [groups[k] for k in sorted(groups)]
    columns = {"step": [g[0]["step"] for g in groups], "step_end": [g[-1]["step"] for g in groups],
               "count": [len(g) for g in groups]}
    if "flags" in rows[0]:
        columns["flags"] = [sorted({f for r in g for f in r["flags"]}) for g in groups]
    for value in values:
        numbers = [[r[value] for r in g if r[value] is not None] or [None] for g in groups]
        columns[value] = {"min": [min(n) for n in numbers], "max": [max(n) for n in numbers],
                          "last": [n[-1] for n in numbers]}
    return columns


class Feed:
    """Serves on a UNIX socket below `directory`, or on a TCP port of the loopback."""

    def __init__(self, directory, tcp=False):
        self.directory = pathlib.Path(directory)
        self.runs = []
        self.seq = 100
        self.requests = []
        self.subscriptions = []  # (connection, number, run or None)
        self.event_subscriptions = []
        self.connections = []
        self.silent = False      # reads and never answers
        self.raw = None          # answered to everything instead
        self.status = {}         # members of server.status that differ
        self.lock = threading.RLock()
        self.listener = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        path = self.directory / "feed.sock"
        self.listener.bind(("127.0.0.1", 0) if tcp else str(path))
        self.listener.listen()
        self.address = (f"tcp:127.0.0.1:{self.listener.getsockname()[1]}" if tcp
                        else f"unix:{path}")
        (self.directory / "endpoints.json").write_text(json.dumps({"feed": self.address, "pid": 1}))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            for line in connection.makefile("rb"):
                with self.lock:
                    self._answer(connection, json.loads(line))
        except OSError:
            pass

    def _answer(self, connection, request):
        self.requests.append(request)
        if self.silent:
            return
        if self.raw is not None:
            connection.sendall(self.raw)
            return
        answer = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            handler = getattr(self, request["method"].replace(".", "_"), None)
            if handler is None:
                raise FeedError(-32601, f'no method "{request["method"]}"')
            params = request.get("params", {})
            if request["method"].endswith(".subscribe"):
                answer["result"] = handler(connection, **params)
            else:
                answer["result"] = handler(**params)
        except FeedError as error:
            answer["error"] = {"code": error.code, "message": str(error)}
        except TypeError as error:
            answer["error"] = {"code": -32602, "message": str(error)}
        connection.sendall(json.dumps(answer, ensure_ascii=False).encode() + b"\n")

    def close(self):
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        self.hang_up()

    def hang_up(self):
        with self.lock:
            for connection in self.connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                connection.close()
            self.connections.clear()
            self.subscriptions.clear()
            self.event_subscriptions.clear()

    def find(self, name):
        for run in reversed(self.runs):
            facts = run.facts
            if name in (facts["run"], facts["name"], f"{facts['project']}/{facts['name']}"):
                return run
        raise FeedError(-32001, f'no run "{name}"')

    def add(self, *args, **kwargs):
        self.runs.append(Run(*args, **kwargs))
        return self.runs[-1]

    def publish(self, points=(), scalars=(), events=()):
        """Sends an update to every subscription that it concerns."""
        with self.lock:
            self.seq += len(points) + len(scalars) + len(events)
            for connection, number, run in self.event_subscriptions if events else ():
                params = {"sub": number, "seq": str(self.seq),
                          "events": [e for e in events if run in (None, e["run"])]}
                connection.sendall(json.dumps({"jsonrpc": "2.0", "method": "event.update",
                                               "params": params}).encode() + b"\n")
            if not points and not scalars:
                return
            for connection, number, run in self.subscriptions:
                params = {"sub": number, "seq": str(self.seq),
                          "points": [p for p in points if run in (None, p["run"])],
                          "scalars": [s for s in scalars if run in (None, s["run"])]}
                connection.sendall(json.dumps({"jsonrpc": "2.0", "method": "series.update",
                                               "params": params}).encode() + b"\n")

    def await_subscription(self):
        for _ in range(500):
            if self.subscriptions:
                return
            time.sleep(0.01)
        raise AssertionError("nobody subscribed")

    # ---- the methods -------------------------------------------------------------------------

    def server_status(self):
        return {"version": "0.1.0", "pid": 4711, "uptime_s": 7500.0, "time": time.time(),
                "state_dir": "/var/lib/richd",
                "ingest": "ipc:///run/richd/ingest", "feed": self.address, "blas": "OpenBLAS",
                "kernels": "SkylakeX", "kernels_chosen_by": "richd",
                "seq": str(self.seq), "runs_open": 1, "connections": 2, "subscriptions": 0,
                "batches": 12345, "rows": "9007199254740993", "bytes": 3 * 2**30,
                "batches_refused": 0, "trainers_refused": 0, "trainers_cut": 0,
                "points": 55, "commits": 54, "buffered_bytes": 0,
                "budget_bytes": 2**30, **self.status}

    def server_hello(self):
        return {"seq": str(self.seq)}

    def metric_list(self):
        return {"metrics": [
            {"name": "d_lr", "unit": "1", "needs": "nothing", "description": "0 is rich, 1 is lazy",
             "read_as": "compare it with the run's own beginning and with runs of the same p and C",
             "corrected": "d_debiased"},
            {"name": "nc1", "unit": "1", "needs": "labels", "description": "collapse",
             "read_as": "falls to 0", "low_end": "collapsed", "high_end": "spread",
             "formula": "tr(S_W S_B^+) / C", "rows": "dozens a class"}],
            "flags": [{"name": "biased", "description": "too few rows for the plain values"}]}

    def run_list(self, project=None, state=None, order="created", limit=100, offset=0,
                 config=False, **_):
        """What it does with the newer parameters, the real daemon's tests say."""
        runs = [{k: v for k, v in r.object().items() if config or k != "config"}
                for r in reversed(self.runs)
                if project in (None, r.facts["project"]) and state in (None, r.facts["state"])]
        return {"total": len(runs), "runs": runs[offset:offset + limit]}

    def run_edit(self, run, **changes):
        self.find(run).facts.update(changes)
        return self.run_get(run=self.find(run).facts["run"]) if "name" not in changes else \
            self.run_get(run=changes["name"])

    def run_get(self, run):
        found = self.find(run)
        attempts = [{"attempt": 1, "first_step": 0, "opened": 1764000000.0, "closed": None,
                     "state": found.facts["state"]}]
        return {**found.object(), "attempts": attempts, "scalars": sorted(found.scalars)}

    def layer_list(self, run):
        found = self.find(run)
        return {"run": found.facts["run"],
                "layers": [{"layer": layer, "p": 128, "c": 97, "n_points": len(points),
                            "last": points[-1]} for layer, points in found.points.items()]}

    def _columns(self, rows, plain, values, query):
        low, high = query.get("from", 0), query.get("to", 2**53)
        rows = [r for r in rows if low <= r["step"] <= high]
        if query.get("attempts", "effective") == "effective":
            first = {}
            for r in rows:
                first[r["attempt"]] = min(r["step"], first.get(r["attempt"], 2**60))
            rows = [r for r in rows if all(r["step"] < s for a, s in first.items()
                                           if a > r["attempt"])]
        if "limit" in query:
            return self._page(rows, plain + values, **query)
        points = query.get("points", 10000)
        if not 4 <= points <= 100000:
            raise FeedError(-32602, '"points" must be an integer from 4 to 100000')
        if len(rows) > points:
            return {"binned": True, "columns": binned(rows, values, low, high, points // 2,
                                                      query.get("spacing", "log"))}
        return {"binned": False, "columns": {c: [r.get(c) for r in rows] for c in plain + values}}

    @staticmethod
    def _page(rows, names, limit, next="0:0", **_):
        place = tuple(int(part) for part in next.split(":"))
        rows = [r for r in rows if (r["attempt"], r["step"]) > place]
        last = rows[limit - 1] if len(rows) > limit else None
        return {"binned": False, "columns": {c: [r.get(c) for r in rows[:limit]] for c in names},
                "next": last and f"{last['attempt']}:{last['step']}"}

    @staticmethod
    def _join(found, layer):
        """Adds the scalars of the same step and attempt to a layer's rows."""
        columns = layer["columns"]
        columns["scalars"] = {}
        for name, rows in found.scalars.items():
            values = {(r["attempt"], r["step"]): r["value"] for r in rows}
            columns["scalars"][name] = [values.get(place) for place
                                        in zip(columns["attempt"], columns["step"])]

    def series_query(self, run, layer=None, metrics=None, scalars=False, **query):
        found = self.find(run)
        for metric in metrics or []:
            if metric not in METRICS:
                raise FeedError(-32602, f'"metrics": no metric "{metric}"')
        layers = [{"layer": name, "p": 128, "c": 97,
                   **self._columns(points, PLAIN, metrics or METRICS, query)}
                  for name, points in found.points.items() if layer in (None, name)]
        for entry in layers:
            if scalars and not entry["binned"]:
                self._join(found, entry)
        return {"run": found.facts["run"], "layers": layers}

    def scalars_query(self, run, names=None, **query):
        found = self.find(run)
        return {"run": found.facts["run"],
                "scalars": [{"name": name, **self._columns(rows, ["attempt", "step", "time"],
                                                           ["value"], query)}
                            for name, rows in found.scalars.items()
                            if names is None or name in names]}

    def event_query(self, run, layer=None, attempts="effective", **query):
        found = self.find(run)
        low, high = query.get("from", 0), query.get("to", 2**53)
        return {"run": found.facts["run"],
                "events": [e for e in found.events if layer in (None, e["layer"])
                           and e["end"] >= low and e["start"] <= high],
                "watched": [w for w in found.watched if layer in (None, w["layer"])]}

    def event_subscribe(self, connection, run=None, since_seq=None):
        runs = self.runs if run is None else [self.find(run)]
        self.event_subscriptions.append((connection, 100 + len(self.event_subscriptions),
                                         run and runs[0].facts["run"]))
        return {"sub": self.event_subscriptions[-1][1], "seq": str(self.seq),
                "events": [e for r in runs for e in r.events[-1:]]}

    def series_subscribe(self, connection, run=None, since_seq=None):
        runs = self.runs if run is None else [self.find(run)]
        self.subscriptions.append((connection, len(self.subscriptions) + 1,
                                   run and runs[0].facts["run"]))
        from_start = since_seq == "0"
        return {"sub": len(self.subscriptions), "seq": str(self.seq),
                "points": [p for r in runs for points in r.points.values()
                           for p in (points if from_start else points[-1:])],
                "scalars": [s for r in runs for rows in r.scalars.values() for s in rows[-1:]]}


def grokking(run):
    """60 points, d_lr falling from 0.54 to 0.06 between steps 546 and 1080, accuracy rising."""
    steps = sorted({round(10 * 2000 ** (i / 59)) for i in range(60)})
    for step in steps:
        fall = 1 / (1 + math.exp(-15 * (math.log(step / 750) / math.log(1080 / 546))))
        rise = 1 / (1 + math.exp(-15 * (math.log(step / 820) / math.log(1080 / 546))))
        wiggle = 0.008 * math.sin(step) * (1 - fall)
        run.point("head", step, round(0.54 - 0.48 * fall + wiggle, 6))
        run.scalar("test_acc", step, round(0.01 + 0.98 * rise, 6))
    return run


class Ctl:
    """Runs richctl against a feed."""

    def __init__(self, feed):
        self.feed = feed
        self.started = []
        self.env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TZ": "UTC"}

    def command(self, *args):
        return [RICHCTL, "--runtime-dir", str(self.feed.directory), *args]

    def run(self, *args, code=0, **env):
        done = subprocess.run(self.command(*args), capture_output=True, text=True, timeout=60,
                              env={**self.env, **env})
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def json(self, *args):
        return [json.loads(line) for line in self.run("--json", *args).splitlines()]

    def start(self, *args):
        self.started.append(Live(self.command(*args), self.env))
        return self.started[-1]

    def stop(self):
        for live in self.started:
            live.process.kill()
            live.process.wait()


class Live:
    """A richctl that goes on: its lines as they come."""

    def __init__(self, args, env):
        self.process = subprocess.Popen(args, env=env, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.pending = b""

    def lines(self, n, timeout_s=20):
        end = time.monotonic() + timeout_s
        while self.pending.count(b"\n") < n:
            assert time.monotonic() < end, self.pending
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                more = os.read(self.process.stdout.fileno(), 65536)
                assert more, (self.pending, self.process.stderr.read())
                self.pending += more
        *lines, self.pending = self.pending.split(b"\n", n)
        return [line.decode() for line in lines]

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def end(self):
        """The exit code, the lines not yet read, and what was complained about."""
        out, error = self.process.communicate(timeout=20)
        return self.process.returncode, (self.pending + out).decode().splitlines(), error.decode()
