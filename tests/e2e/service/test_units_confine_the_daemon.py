"""How much systemd's units leave to the daemon, by systemd's own scale, and that it needs no more:
where no systemd runs, the filters of the units are applied to a real one by libseccomp."""

import errno
import functools
import mmap
import os
import re
import signal
import socket
import subprocess
import urllib.request

import pytest
import seccomp

from harness import ROOT, draw, wait_until

UNITS = ROOT / "systemd"
SANITIZED = pytest.mark.not_under("address", "thread",
                                  because="a sanitizer makes calls that the daemon does not")


def exposure(folder, *drop_ins):
    """What systemd-analyze says of richd.service, from 0 to 10."""
    unit = folder / "richd.service"
    unit.write_text((UNITS / "richd.service").read_text().replace("@BINDIR@", "/usr/bin"))
    for name in drop_ins:
        (folder / "richd.service.d").mkdir()
        (folder / "richd.service.d" / name).write_text((UNITS / name).read_text())
    said = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
                          check=True, capture_output=True, text=True).stdout
    return float(re.search(r"exposure level for richd.service: ([\d.]+)", said)[1])


@SANITIZED
def test_exposure_is_small(tmp_path):
    assert exposure(tmp_path) <= 1.2
    assert exposure(tmp_path, "no-page.conf") <= 0.5


# ---- the filters, without systemd ----------------------------------------------------------------


@functools.cache
def call_sets():
    """systemd's sets of system calls, as it has them."""
    text = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager"], check=True,
                          capture_output=True, text=True).stdout
    sets, name = {}, None
    for line in text.splitlines():
        if line.startswith("@"):
            name = line.strip()
            sets[name] = []
        elif line.startswith("    ") and not line.strip().startswith("#"):
            sets[name].append(line.strip())
    return sets


def calls_of(name):
    if not name.startswith("@"):
        return {name}
    return set().union(*(calls_of(each) for each in call_sets()[name]))


def settings(*files):
    """The lines `KEY=VALUE` of a unit and its drop-ins, in order."""
    lines = [line for file in files for line in (UNITS / file).read_text().splitlines()]
    return [tuple(line.split("=", 1)) for line in lines if "=" in line and line[0] != "#"]


def allowed_calls(*files):
    allowed = calls_of("@default")
    for key, value in settings(*files):
        if key == "SystemCallFilter":
            named = set().union(*map(calls_of, value.lstrip("~").split()))
            allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


def make_filter(*files):
    """SystemCallFilter, RestrictAddressFamilies and MemoryDenyWriteExecute of the files."""
    told = settings(*files)
    families = set()
    for key, value in told:
        if key == "RestrictAddressFamilies":  # adds to those before it; an empty one takes them back
            families |= {getattr(socket, name) for name in value.split()}
            families = families if value else set()
    made = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in allowed_calls(*files) - {"socket", "mmap", "mprotect"}:
        try:
            made.add_rule(seccomp.ALLOW, name)
        except (RuntimeError, OSError):
            pass  # of other processors
    for family in families:
        made.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, family))
    for name in ("mmap", "mprotect"):
        if ("MemoryDenyWriteExecute", "yes") not in told:
            made.add_rule(seccomp.ALLOW, name)
            continue
        made.add_rule(seccomp.ALLOW, name, seccomp.Arg(2, seccomp.MASKED_EQ, mmap.PROT_EXEC, 0))
        if name == "mmap":  # the loader maps code
            both = mmap.PROT_EXEC | mmap.PROT_WRITE
            made.add_rule(seccomp.ALLOW, name,
                          seccomp.Arg(2, seccomp.MASKED_EQ, both, mmap.PROT_EXEC))
    return made


def test_the_filter_filters():
    """A program that does what the daemon may not."""
    program = ("import ctypes, os, socket\n"
               "libc = ctypes.CDLL(None, use_errno=True)\n"
               "for call in (lambda: libc.chroot(b'/'), lambda: libc.sched_setaffinity(0, 8, 0),\n"
               "             lambda: libc.mprotect(0, 0, 4)):\n"
               "    print(call(), ctypes.get_errno())\n"
               "try:\n"
               "    socket.socket(socket.AF_INET)\n"
               "except OSError as e:\n"
               "    print(e.errno)\n")
    made = make_filter("richd.service", "no-page.conf")
    said = subprocess.run(["/usr/bin/python3", "-c", program], preexec_fn=made.load, check=True,
                          capture_output=True, text=True).stdout
    assert said.split() == 3 * ["-1", str(errno.EPERM)] + [str(errno.EPERM)]


def use_it(daemon):
    """What a day of a daemon consists of."""
    group = os.getgid()
    with daemon.trainer("run") as trainer:
        for step in range(3):
            trainer.rows(*draw(300, 64, 8, seed=step))
            point = trainer.checkpoint(step, spectrum=True)["head"]
            trainer.wait(trainer.log(step, loss=0.5))
        trainer.finish()
    assert daemon.series("run")["d_lr"][-1] == point["d_lr"]
    assert daemon.rpc("spectrum.query", run="run", layer="head")["rho"]
    assert "run" in daemon.richctl("runs")
    assert all((daemon.runtime / name).stat().st_gid == group
               for name in ("feed.sock", "ingest.sock"))
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: "reading the options again" in daemon.output, "SIGHUP")


@SANITIZED
@pytest.mark.parametrize("files, flags", [
    (("richd.service",), ("--socket-group", str(os.getgid()), "--http", "127.0.0.1:0")),
    (("richd.service", "no-page.conf"), ()),
    (("richd.user.service",), ("--http", "127.0.0.1:0")),
], ids=["system", "system without the page", "user"])
def test_the_daemon_runs_within_its_unit(new_daemon, files, flags):
    daemon = new_daemon(*flags)
    daemon.preexec = make_filter(*files).load
    daemon.start()
    use_it(daemon)
    if "--http" in flags:
        with urllib.request.urlopen(daemon.endpoints["http"] + "/metrics") as answer:
            assert b"richd_points" in answer.read()
    daemon.kill()
    daemon.start()
    assert daemon.series("run")["step"] == [0, 1, 2]
    daemon.stop()
    assert "Operation not permitted" not in daemon.output
