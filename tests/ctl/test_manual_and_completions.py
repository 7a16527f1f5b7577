"""Man pages and completions say what the programs' tables say, and the tools that read them do."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from memoryfeed import RICHCTL, ROOT, Run

BUILD = pathlib.Path(RICHCTL).parent
PAGES = ["man1/richd.1", "man1/richctl.1", "man3/richd.3", "man5/richd.conf.5"]

pytestmark = pytest.mark.not_under("address", "thread", because="they are text")


def said(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False,
                          **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def share(tmp_path_factory):
    """All that is made of what the programs and the header say."""
    folder = tmp_path_factory.mktemp("share")
    said(sys.executable, ROOT / "client" / "manual" / "generate.py", BUILD, "0.1.0", folder)
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_well_formed(share, name):
    assert said("mandoc", "-T", "lint", "-W", "warning", share / "man" / name) == ""
    assert not re.search(r"@[A-Z ]+@", (share / "man" / name).read_text())


def test_each_option_and_command_has_its_entry(share):
    for name, program in (("richd", "man1/richd.1"), ("richctl", "man1/richctl.1")):
        text = (share / "man" / program).read_text()
        helps = [said(BUILD / name, "--help")]
        if name == "richctl":
            commands = re.findall(r"^\.Ss ([a-z]+)", text, re.M)
            assert commands == re.findall(r"^  ([a-z]+)\b", helps[0], re.M)
            helps += [said(BUILD / name, command, "--help") for command in commands]
        options = set(re.findall(r"^[ *] --([a-z-]+)", "\n".join(helps), re.M))
        assert options == set(re.findall(r"^\.It Fl Fl ([a-z-]+)", text, re.M))


def test_each_function_of_the_library_has_a_page(share):
    header = (ROOT / "include" / "richd.h").read_text()
    names = set(re.findall(r"\b(richd_[a-z_]+)\(", header)) - {"richd_checkpoint_with"}
    text = (share / "man" / "man3" / "richd.3").read_text()
    for name in names:
        assert f".Nm {name}\n" in text.replace(" ,\n", "\n") and f"{name}(" in text
        assert (share / "man" / "man3" / f"{name}.3").read_text() == ".so man3/richd.3\n"


# ---- completions ---------------------------------------------------------------------------------


def completed(share, line, program="richctl", **env):
    """What bash offers where `line` ends."""
    words = shlex.split(line) + ([""] if line.endswith(" ") else [])
    script = (f"source {share}/bash-completion/completions/{program}\n"
              f"COMP_WORDS=({' '.join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}\n"
              f"compopt() {{ :; }}\n_{program}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n")
    path = f"{BUILD}:{os.environ['PATH']}"
    return said("bash", "-euc", script, env={"PATH": path, **env}).split("\n")[:-1]


def test_bash_offers_commands_options_and_values(share, tmp_path):
    assert {"status", "show", "import"} <= set(completed(share, "richctl "))
    assert completed(share, "richctl stat") == ["status"]
    assert completed(share, "richctl help sta") == ["status"]
    assert completed(share, "richctl show --sp") == ["--spectrum"]
    assert completed(share, "richctl runs --sp") == [""]
    assert completed(share, "richctl runs --state f") == ["finished", "failed"]
    assert completed(share, "richd --log-level ", "richd") == ["error", "warn", "info", "debug"]
    assert "--socket-group" in completed(share, "richd --so", "richd")
    (tmp_path / "of-rank-0.spool").touch()
    assert completed(share, f"richctl import {tmp_path}/of") == [f"{tmp_path}/of-rank-0.spool"]


def test_bash_offers_the_runs_of_the_daemon_that_runs(share, feed):
    for run, name in {"mod97-a1b2": "mod97", "wd1-seed0-c3d4": "wd1 seed0", "x": 'say "x"'}.items():
        feed.runs.append(Run(run, name))
    where = {"RICHD_FEED": feed.address}
    assert completed(share, "richctl show mo", **where) == ["mod97", "mod97-a1b2"]
    assert completed(share, "richctl rename mo", **where) == ["mod97", "mod97-a1b2"]
    assert completed(share, "richctl plot mod97 wd", **where) == ["wd1\\ seed0", "wd1-seed0-c3d4"]
    assert completed(share, "richctl compare mod97 --with mo", **where) == ["mod97", "mod97-a1b2"]


def test_without_a_daemon_bash_offers_no_run_and_says_nothing(share, tmp_path):
    assert completed(share, "richctl show ", RICHD_RUNTIME_DIR=str(tmp_path)) == [""]


@pytest.mark.parametrize("program", ["richd", "richctl"])
def test_zsh_and_fish_understand_theirs(share, program):
    said("zsh", "-n", share / "zsh" / "site-functions" / f"_{program}")
    said("fish", "-n", share / "fish" / "vendor_completions.d" / f"{program}.fish")


def test_fish_offers_commands_and_runs(share, feed):
    feed.runs.append(Run("mod97-a1b2", "mod97"))
    script = f"source {share}/fish/vendor_completions.d/richctl.fish; complete -C "
    env = {"PATH": f"{BUILD}:{os.environ['PATH']}", "HOME": str(feed.directory),
           "RICHD_FEED": feed.address}
    assert said("fish", "--no-config", "-c", script + "'richctl stat'", env=env) \
        .startswith("status\tthe daemon")
    assert said("fish", "--no-config", "-c", script + "'richctl show mo'", env=env).split() == \
        ["mod97", "mod97-a1b2"]
