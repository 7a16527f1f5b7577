"""OpenBLAS that does not know the processor: a library put before it says that it chose Prescott's
kernels, as 0.3.21 does on family 6 model 207. What is better is the real processor's."""

import os
import pathlib
import subprocess

import pytest

from harness import BUILD, draw, richd

pytestmark = pytest.mark.not_under("thread", because="kernels are chosen before any thread starts")

OLD_KERNELS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

char *openblas_get_corename(void)
{
    char *(*real)(void) = (char *(*)(void))dlsym(RTLD_NEXT, "openblas_get_corename");

    return getenv("OPENBLAS_CORETYPE") ? real() : "Prescott";
}

int execv(const char *path, char *const argv[])
{
    int (*real)(const char *, char *const *) =
        (int (*)(const char *, char *const *))dlsym(RTLD_NEXT, "execv");

    const char *missing = getenv("MISSING");

    if (!missing || strncmp(path, missing, strlen(missing)) != 0)
        return real(path, argv);
    errno = ENOENT;
    return -1;
}
"""


def best():
    """The core type for this machine by /proc/cpuinfo, or None: a second opinion on CPUID."""
    lines = dict(line.split(":", 1) for line in
                 pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
                 if ":" in line)
    facts = {name.strip(): value.split() for name, value in lines.items()}
    flags, is_amd = set(facts.get("flags", [])), facts.get("vendor_id") == ["AuthenticAMD"]
    if not is_amd and {f"avx512{part}" for part in ("f", "bw", "cd", "dq", "vl")} <= flags:
        return "SKYLAKEX"
    if {"avx2", "fma"} <= flags:
        return "ZEN" if is_amd else "HASWELL"
    return None


needs_better = pytest.mark.skipif(best() is None, reason="an old processor: nothing is better")


@pytest.fixture(scope="module")
def old_kernels(tmp_path_factory):
    """Variables under which OpenBLAS seems to have chosen old kernels."""
    folder = tmp_path_factory.mktemp("preload")
    (folder / "old.c").write_text(OLD_KERNELS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "old.so", folder / "old.c"],
                   check=True)
    return {"LD_PRELOAD": str(folder / "old.so"), "ASAN_OPTIONS": "verify_asan_link_order=0"}


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)


def lines_with(daemon, text):
    return [line for line in daemon.output.splitlines() if text in line]


@needs_better
def test_richd_starts_again_with_better_kernels_once(new_daemon, old_kernels):
    daemon = new_daemon("--log-level", "info", **old_kernels).start()
    status = daemon.rpc("server.status")
    assert status["kernels"].upper() == best()
    assert status["kernels_chosen_by"] == "richd"
    assert status["kernels"] in status["blas"]
    assert status["pid"] == daemon.pid  # the same process: systemd and the shell notice nothing
    (line,) = lines_with(daemon, "starting again")
    assert f"kernels={best()} instead_of=Prescott" in line
    assert lines_with(daemon, f"kernels={status['kernels']} chosen_by=richd")
    text = " ".join(daemon.richctl("status").split())
    assert f"its kernels {status['kernels']} chosen by richd " in text
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(30, 4, 2))
        assert 0 < trainer.checkpoint(1)["head"]["d_lr"] < 1


def test_the_users_choice_stands(new_daemon, old_kernels):
    daemon = new_daemon(OPENBLAS_CORETYPE="prescott", **old_kernels).start()
    status = daemon.rpc("server.status")
    assert (status["kernels"], status["kernels_chosen_by"]) == ("Prescott", "environment")
    assert not lines_with(daemon, "starting again")
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(30, 4, 2))
        assert 0 < trainer.checkpoint(1)["head"]["d_lr"] < 1


def test_a_choice_that_openblas_does_not_know_is_openblass(new_daemon):
    daemon = new_daemon(OPENBLAS_CORETYPE="nonsense").start()
    assert daemon.rpc("server.status")["kernels_chosen_by"] == "openblas"
    assert not lines_with(daemon, "starting again")


@needs_better
def test_without_proc_it_starts_again_by_its_name(new_daemon, old_kernels):
    daemon = new_daemon(MISSING="/proc/", **old_kernels).start()
    status = daemon.rpc("server.status")
    assert (status["kernels"].upper(), status["kernels_chosen_by"]) == (best(), "richd")
    assert status["pid"] == daemon.pid


@needs_better
def test_a_daemon_that_is_not_found_goes_on_with_what_there_is(new_daemon, old_kernels):
    daemon = new_daemon(MISSING="/", **old_kernels).start()
    status = daemon.rpc("server.status")
    assert (status["kernels"], status["kernels_chosen_by"]) == ("Prescott", "openblas")
    (line,) = lines_with(daemon, "cannot start again")
    assert "No such file or directory" in line and "kernels=Prescott" in line


@needs_better
def test_behind_a_loader_it_does_not_start_the_loader(tmp_path, old_kernels):
    loader = next(pathlib.Path("/").glob("lib*/ld-linux-x86-64.so.2"))
    done = subprocess.run([loader, BUILD / "richd", "--state-dir", "/dev/null/x", "--runtime-dir",
                           tmp_path], env={**os.environ, **old_kernels}, capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 73  # it came as far as its state directory
    assert "cannot start again (Exec format error)" in done.stderr


@needs_better
def test_the_kernels_for_other_programs_are_printed(old_kernels):
    done = richd("--print-kernels", **old_kernels)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"OPENBLAS_CORETYPE={best()}\n", "")
    asked = richd("--print-kernels", OPENBLAS_CORETYPE="PRESCOTT", **old_kernels)
    assert (asked.returncode, asked.stdout) == (0, "")


@needs_better
@pytest.mark.parametrize("flags", [["--version"], ["--help"], ["--check-config"]])
def test_what_does_not_compute_does_not_start_again(flags, old_kernels):
    done = richd(*flags, **old_kernels)
    assert (done.returncode, done.stderr) == (0, "")
