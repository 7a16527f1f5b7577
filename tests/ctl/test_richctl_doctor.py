"""richctl doctor finds each thing that it is for, says what to do, and is content otherwise."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from memoryfeed import RICHCTL, Feed

# It looks where all daemons of a user are found.
pytestmark = [pytest.mark.usefixtures("alone_elsewhere"),
              pytest.mark.not_under("thread", because="richctl has one thread")]
needs_root = pytest.mark.skipif(os.getuid() != 0,
                                reason="only root can make files of somebody else")


@pytest.fixture
def programs(tmp_path):
    """The only directory of the PATH: no Python package, unless a test puts one there."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


@pytest.fixture
def state(feed, tmp_path):
    directory = tmp_path / "state"
    directory.mkdir(mode=0o700)
    feed.status["state_dir"] = str(directory)
    return directory


@pytest.fixture
def doctor(feed, state, programs):
    """Runs it; returns the exit code, and its findings by check."""
    def run(*args, runtime_dir=feed.directory, **env):
        named = ["--runtime-dir", str(runtime_dir)] if runtime_dir else []
        done = subprocess.run([RICHCTL, *named, "doctor", "--json", *args], capture_output=True,
                              text=True, timeout=60, check=False,
                              env={"PATH": str(programs), "HOME": str(state), **env})
        assert done.returncode in (0, 1), done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == (1 if found else 0), (done.stdout, done.stderr)
        assert all(set(f) == {"check", "what", "advice"} for f in found)
        return found

    return run


def only(found, check, what, advice=""):
    """The one finding is this one."""
    assert [f["check"] for f in found] == [check], found
    assert what in found[0]["what"] and advice in found[0]["advice"], found


# ---- nothing is wrong ----------------------------------------------------------------------------


def test_a_sound_installation_is_well_in_one_line(doctor, feed, programs):
    assert doctor() == []
    done = subprocess.run([RICHCTL, "--runtime-dir", feed.directory, "doctor"], text=True,
                          env={"PATH": str(programs)}, capture_output=True, check=True)
    assert done.stdout.startswith("all is well: richd 0.1.0, process 4711, up for 2 h 05 min, ")
    assert done.stdout.count("\n") == 1 and done.stderr == ""


def test_a_finding_is_one_line_with_its_advice(feed, programs, state):
    feed.status["problems"] = ["the history was damaged\x1b[2J"]
    done = subprocess.run([RICHCTL, "--runtime-dir", feed.directory, "doctor"], text=True,
                          env={"PATH": str(programs), "OPENBLAS_CORETYPE": "Haswell"},
                          capture_output=True, check=False)
    assert done.returncode == 1 and done.stderr == "richctl: 1 finding\n"
    assert done.stdout == "state: the history was damaged\\x1b[2J\n"


# ---- daemons and how they are found --------------------------------------------------------------


def test_no_daemon(doctor, tmp_path):
    only(doctor(runtime_dir=tmp_path / "nowhere", XDG_RUNTIME_DIR=str(tmp_path)), "daemon",
         f"{tmp_path}/nowhere/endpoints.json: No such file", 'Start it with "richd"')


def test_a_daemon_that_has_another_directory_than_the_one_named(doctor, feed, tmp_path):
    (tmp_path / "richd").symlink_to(feed.directory)
    found = doctor(runtime_dir=tmp_path / "nowhere", XDG_RUNTIME_DIR=str(tmp_path))
    assert [f["check"] for f in found] == ["daemon", "runtime"]
    assert f"{tmp_path}/richd/endpoints.json is there" in found[1]["what"]


def test_a_daemon_that_was_killed(doctor, feed):
    feed.close()
    only(doctor(), "daemon", f"endpoints.json names {feed.address}, where no richd answers",
         "The daemon was killed")


def test_a_daemon_that_does_not_answer(doctor, feed):
    feed.silent = True
    only(doctor("--timeout", "1"), "daemon", "no answer within 1 s", "kill -CONT")


def test_an_address_where_nobody_is(doctor, feed):
    feed.close()
    only(doctor("--feed", feed.address, runtime_dir=None), "daemon",
         f"no richd answers at {feed.address}: Connection refused",
         "RICHD_FEED")


@pytest.fixture
def second_place():
    """The endpoints.json that is looked for last."""
    path = pathlib.Path(f"/tmp/richd-{os.getuid()}") / "endpoints.json"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    yield path
    path.unlink(missing_ok=True)


def test_two_daemons(doctor, feed, tmp_path, second_place):
    (tmp_path / "richd").symlink_to(feed.directory)
    (tmp_path / "second").mkdir()
    second = Feed(tmp_path / "second")
    second.status = {"pid": 4712, "state_dir": "/elsewhere"}
    second_place.write_text(json.dumps({"feed": second.address}))
    found = doctor(runtime_dir=None, XDG_RUNTIME_DIR=str(tmp_path))
    second.close()
    only(found, "daemon", "two daemons run: process 4711", "Stop one")
    assert "and 4712 with /elsewhere" in found[0]["what"]


def test_one_daemon_in_two_places_is_one(doctor, feed, tmp_path, second_place):
    (tmp_path / "richd").symlink_to(feed.directory)
    shutil.copy(feed.directory / "endpoints.json", second_place)
    assert doctor(runtime_dir=None, XDG_RUNTIME_DIR=str(tmp_path)) == []


def test_a_session_directory_that_is_none(doctor, feed):
    only(doctor("--feed", feed.address, runtime_dir=None, XDG_RUNTIME_DIR="/nowhere/at/all"),
         "runtime", "XDG_RUNTIME_DIR names /nowhere/at/all", "Unset it")


# ---- permissions ---------------------------------------------------------------------------------


def test_a_file_of_addresses_that_others_may_write(doctor, feed):
    (feed.directory / "endpoints.json").chmod(0o666)
    found = doctor()
    assert [f["check"] for f in found] == ["permissions", "daemon"]
    assert "others than its owner may write it" in found[0]["what"]


def test_a_runtime_directory_that_others_may_write(doctor, feed):
    os.chmod(feed.directory, 0o770)
    only(doctor(), "permissions", "(mode 0770)", f"chmod go-w {feed.directory}")


@needs_root
def test_a_socket_that_lets_this_user_not_through(doctor, feed, programs, tmp_path):
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o001 == 0 and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    (feed.directory / "feed.sock").chmod(0o600)
    done = subprocess.run([RICHCTL, "--feed", feed.address, "doctor"], text=True, check=False,
                          env={"PATH": str(programs)}, capture_output=True, user=65534, group=65534)
    assert "this user may not connect to" in done.stdout and "--socket-group" in done.stdout


def test_a_state_directory_that_others_may_write(doctor, state):
    state.chmod(0o777)
    only(doctor(), "permissions", "where the history is", f"chmod go-w {state}")


@needs_root
def test_a_history_of_another_user_than_its_directory(doctor, state):
    (state / "richd.sqlite").touch()
    os.chown(state / "richd.sqlite", 12345, 12345)
    only(doctor(), "permissions", "richd.sqlite belongs to user 12345", "chown 0 ")


# ---- the disk ------------------------------------------------------------------------------------

FAKE = r"""
#define _GNU_SOURCE
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

int statvfs(const char *path, struct statvfs *st)
{
    memset(st, 0, sizeof *st);
    st->f_frsize = st->f_blocks = 4096;
    st->f_bavail = strstr(path, "state") ? 10 : 1 << 30;
    st->f_files = st->f_favail = 100;
    return 0;
}

int statfs(const char *path, struct statfs *st)
{
    memset(st, 0, sizeof *st);
    st->f_type = strstr(path, "state") ? 0x6969 : 0xEF53;
    return 0;
}
"""


@pytest.fixture
def full_nfs(tmp_path):
    """What makes directories named state a full disk, on NFS."""
    source = tmp_path / "fake.c"
    source.write_text(FAKE)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "fake.so", source], check=True)
    return {"LD_PRELOAD": str(tmp_path / "fake.so")}


@pytest.mark.not_under("address", because="its library has to be loaded first")
def test_a_full_disk(doctor, state, full_nfs):
    only(doctor(**full_nfs), "disk", f"nearly full: 40.0 KiB and 100 files are left where {state}", "Free some")


@pytest.mark.not_under("address", because="its library has to be loaded first")
def test_a_history_on_nfs_that_no_daemon_serves(doctor, feed, state, full_nfs):
    feed.close()
    found = doctor(RICHD_STATE_DIR=str(state), **full_nfs)
    assert [f["check"] for f in found] == ["daemon", "state", "disk"]
    assert "is on NFS" in found[1]["what"] and "--state-dir" in found[1]["what"]


def test_what_the_daemon_says_of_its_history(doctor, feed):
    feed.status["problems"] = ["the history in /home is on NFS, where a database is not safe"]
    only(doctor(), "state", "is on NFS")


# ---- versions, kernels, clocks -------------------------------------------------------------------


def test_a_daemon_of_another_version(doctor, feed):
    feed.status["version"] = "0.0.9"
    only(doctor(), "versions", "the daemon is richd 0.0.9, this is richctl", "kill 4711")


def test_a_python_package_of_another_version(doctor, programs):
    python = programs / "python3"
    python.write_text("#!/bin/sh\necho 0.0.8\n")
    python.chmod(0o755)
    only(doctor(), "versions", "the Python package is richd 0.0.8", "pip install")
    python.write_text(f"#!/bin/sh\nexec {sys.executable} \"$@\"\n")
    assert [f for f in doctor() if "0.0.8" in f["what"]] == []


@pytest.mark.skipif(" avx2" not in pathlib.Path("/proc/cpuinfo").read_text(),
                    reason="this processor has no better kernels")
def test_old_kernels_of_the_daemon_and_of_this_shell(doctor, feed):
    feed.status["kernels"] = "Prescott"
    only(doctor(), "kernels", "the daemon computes with OpenBLAS's kernels for Prescott")
    feed.status["kernels_chosen_by"] = "environment"
    only(doctor(), "kernels", "Prescott", "start it without")
    del feed.status["kernels"], feed.status["kernels_chosen_by"]
    only(doctor(OPENBLAS_CORETYPE="Nehalem"), "kernels", "OPENBLAS_CORETYPE=Nehalem in this shell")
    assert doctor(OPENBLAS_CORETYPE="Haswell") == []


def test_an_endpoint_of_this_shell_that_is_another_one(doctor, feed):
    feed.status["ingest"] = "ipc:///run/richd/ingest.sock"
    assert doctor(RICHD_ENDPOINT="ipc:///run/richd/ingest.sock") == []
    only(doctor(RICHD_ENDPOINT="tcp://127.0.0.1:9"), "endpoint", "send there, and not",
         "ipc:///run/richd/ingest.sock")


def test_a_shell_whose_trainings_send_nothing(doctor):
    only(doctor(RICHD_MODE="disabled"), "mode", "send nothing", "Unset it")
    only(doctor(RICHD_MODE="offline"), "mode", "keep their runs in files", "richctl import")
    assert doctor(RICHD_MODE="online") == []


def test_clocks_that_differ(doctor, feed):
    for offset, word in ((-3600, "behind"), (3600, "ahead of")):
        feed.status["time"] = feed.server_status()["time"] + offset
        only(doctor(), "clock", f"{word} this one's", "NTP")
        del feed.status["time"]
