import os
import random
import re
import subprocess

import pytest

from harness import BUILD, PATIENCE_S, clean_environment, draw, richd

OPTIONS = ("config", "state-dir", "runtime-dir", "listen", "feed", "socket-group", "on-event",
           "log-level")

pytestmark = pytest.mark.not_under("thread", because="options are read before any thread starts")


def printed(*flags, **environment):
    """--print-config as {name: (value, source)}."""
    done = richd("--print-config", *flags, **environment)
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        name, _, rest = line.partition(" = ")
        value, _, source = rest.rpartition(" ; ")
        found[name] = (value, source)
    return found


def test_options_come_from_flag_environment_and_file(tmp_path):
    file = tmp_path / "richd.conf"
    file.write_text("# a comment\nstate-dir = /tmp/f\nruntime-dir = /tmp/f\nlog-level = debug\n")
    options = printed("--config", str(file), "--state-dir", "/tmp/a",
                      RICHD_STATE_DIR="/tmp/e", RICHD_RUNTIME_DIR="/tmp/e")
    assert options["state-dir"] == ("/tmp/a", "flag")
    assert options["runtime-dir"] == ("/tmp/e", "environment")
    assert options["log-level"] == ("debug", "file")
    assert options["listen"] == ("ipc:///tmp/e/ingest.sock", "default")
    assert options["feed"] == ("unix:/tmp/e/feed.sock", "default")
    assert printed(RICHD_CONFIG=str(file))["state-dir"] == ("/tmp/f", "file")


def test_defaults_follow_systemd_then_xdg_then_home(tmp_path):
    xdg = {"XDG_STATE_HOME": "/x/state", "XDG_RUNTIME_DIR": str(tmp_path)}
    options = printed(STATE_DIRECTORY="/s/state:/s/more", RUNTIME_DIRECTORY="/s/run", **xdg)
    assert options["state-dir"][0] == "/s/state"
    assert options["runtime-dir"][0] == "/s/run"
    options = printed(**xdg)
    assert options["state-dir"][0] == "/x/state/richd"
    assert options["runtime-dir"][0] == f"{tmp_path}/richd"
    (tmp_path / "file").write_text("")
    for no_directory in ("/nonexistent", str(tmp_path / "file")):
        options = printed(XDG_RUNTIME_DIR=no_directory)
        assert options["runtime-dir"][0] == f"/tmp/richd-{os.getuid()}"
    options = printed(HOME="/h")
    assert options["state-dir"][0] == "/h/.local/state/richd"
    assert options["runtime-dir"][0].startswith("/tmp/richd-")


def test_a_file_is_read_where_none_is_named(tmp_path):
    for folder, environment in (("a/richd", {"XDG_CONFIG_HOME": str(tmp_path / "a")}),
                                ("b/.config/richd", {"HOME": str(tmp_path / "b")})):
        file = tmp_path / folder / "richd.conf"
        file.parent.mkdir(parents=True)
        file.write_text("nice = 7\n")
        assert printed(**environment)["nice"] == ("7", "file")
        file.write_text("nice = 70\n")
        refused = richd("--check-config", **environment)
        assert refused.returncode == 78
        assert refused.stderr.startswith(f"richd: {file}, line 1: nice: "), refused.stderr


def test_what_is_printed_can_be_read_back(tmp_path):
    flags = ["--state-dir", "/tmp/a b", "--runtime-dir", "/tmp/r", "--log-level", "warn"]
    text = richd("--print-config", *flags).stdout
    file = tmp_path / "richd.conf"
    file.write_text(text)
    again = printed("--config", str(file))
    assert {name: value for name, (value, _) in again.items()} == \
        {name: value for name, (value, _) in printed(*flags).items()}


def test_help_lists_every_option():
    done = richd("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for option in (*OPTIONS, "check-config", "print-config", "version", "help"):
        assert f"--{option} " in done.stdout
    assert richd("-h").stdout == done.stdout
    assert richd("--version").stdout.startswith("richd 0.")


@pytest.mark.parametrize("flags, text", [
    (["--colour"], "unknown option --colour"),
    (["extra"], "unknown option extra"),
    (["--staet-dir=/x"], "unknown option --staet-dir=/x; did you mean --state-dir?"),
    (["--state-dir"], "--state-dir needs a value"),
    (["--state-dir="], "--state-dir needs a value"),
    (["--version=1"], "--version takes no value"),
])
def test_wrong_usage_ends_with_64(flags, text):
    done = richd(*flags)
    assert done.returncode == 64
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("flags, text", [
    (["--log-level", "loud"], '"loud" is none of error, warn, info, debug'),
    (["--listen", "tcp://0.0.0.0:7777"], "is not a loopback address"),
    (["--listen", "tcp://*:7777"], "with the address in numbers"),
    (["--listen", "tcp://192.168.1.4:7777"], "is not a loopback address"),
    (["--listen", "udp://127.0.0.1:7777"], "neither ipc://PATH nor tcp://ADDRESS:PORT"),
    (["--feed", "tcp:0.0.0.0:7777"], "is not a loopback address"),
    (["--feed", "/tmp/feed.sock"], "neither unix:PATH nor tcp:ADDRESS:PORT"),
    (["--feed", "unix:feed.sock"], "must be absolute"),
    (["--runtime-dir", "/tmp/" + 100 * "x"], "at most 107 are possible"),
    (["--socket-group", "no-such-group"], 'there is no group "no-such-group"'),
    (["--socket-group", "-1"], 'there is no group "-1"'),
    (["--config", "/nonexistent/richd.conf"], "/nonexistent/richd.conf cannot be read"),
])
def test_a_wrong_value_ends_with_78(flags, text):
    for task in (["--check-config"], []):
        done = richd(*task, *flags)
        assert done.returncode == 78, done.stdout
        assert text in done.stderr


@pytest.mark.parametrize("line, text", [
    ("colour = red", 'line 2: unknown option "colour"'),
    ("staet-dir = /x", 'line 2: unknown option "staet-dir"; did you mean state-dir?'),
    ("[section]\nstate-dir = /x", "there are no sections"),
    ("just words", "line 2: not `name = value`"),
    ("config = /x", 'unknown option "config"'),
    ("state-dir =", "line 2: state-dir needs a value: DIR"),
])
def test_a_wrong_line_of_the_file_is_named(tmp_path, line, text):
    file = tmp_path / "richd.conf"
    file.write_text(f"log-level = info\n{line}\n")
    done = richd("--check-config", "--config", str(file))
    assert done.returncode == 78
    assert str(file) in done.stderr
    assert text in done.stderr


#: A value of the file that is no good, and what is said of it behind "FILE, line N: ".
GARBAGE = {
    "log-level = loud": 'log-level: "loud" is none of',
    "nice = 20": 'nice: "20" is no niceness',
    "nice = -1": 'nice: "-1" is no niceness',
    "ranks-wait = soon": 'ranks-wait: "soon" is no number of seconds',
    "idle-exit = 0": 'idle-exit: "0" is neither off nor a number of seconds',
    "idle-exit = soon": 'idle-exit: "soon" is neither off nor',
    "keep-days = 0": 'keep-days: "0" is neither off nor a number of days from 1',
    "keep-days = 1.5": 'keep-days: "1.5" is neither off nor',
    "max-bytes = 1000": 'max-bytes: "1000" is neither off nor a number of bytes from 1M on',
    "max-bytes = 5 GB": 'max-bytes: "5 GB" is neither off nor',
    "max-bytes = 99999999T": 'max-bytes: "99999999T" is neither off nor',
    "ranks-wait = 1e3": 'ranks-wait: "1e3" is no number of seconds',
    "listen = udp://127.0.0.1:1": "listen: ",
    "listen = tcp://0.0.0.0:1": "listen: tcp://0.0.0.0:1 is not a loopback address",
    "feed = nothing": "feed: ",
    "feed = unix:relative": "feed: the socket path",
    "http = localhost": "http: ",
    "http = 0.0.0.0:80": "http: 0.0.0.0:80 is not a loopback address",
    "http-host = http://hub": "http-host: ",
    "http-host = ,": "http-host: ",
    "token-file = /nonexistent": "token-file: /nonexistent: ",
    "on-event = relative": "on-event: ",
    "on-event = /nonexistent": "on-event: /nonexistent: ",
    "on-event = /": "on-event: / is no executable file",
    "socket-group = no-such-group": "socket-group: ",
    "unknown = 1": 'unknown option "unknown"',
    "\x01\x02": "not `name = value`",
    "\x00\x01\x02": "a NUL byte",
    "nice = 3\x00\nnice = 4": "a NUL byte",
    "= 1": 'unknown option ""',
}


@pytest.mark.parametrize("task", ["--check-config", None])
def test_each_wrong_value_of_the_file_is_named_with_its_line(tmp_path, task):
    file = tmp_path / "richd.conf"
    for line, text in GARBAGE.items():
        file.write_text(f"# what is in force\n\n{line}\n")
        done = richd(*([task] if task else []), "--config", str(file))
        assert done.returncode == 78, (line, done.stderr)
        assert done.stderr.startswith(f"richd: {file}, line 3: "), (line, done.stderr)
        assert text in done.stderr and done.stderr.count("\n") == 1, (line, done.stderr)


def test_a_file_of_noise_is_refused(tmp_path):
    file = tmp_path / "richd.conf"
    noise = random.Random(1)
    for _ in range(20):
        file.write_bytes(noise.randbytes(4096))
        done = subprocess.run([BUILD / "richd", "--check-config", "--config", file],
                              env=clean_environment(), capture_output=True, check=False)
        assert done.returncode == 78, done.stderr
        assert done.stderr.startswith(b"richd: "), done.stderr


def test_a_loopback_name_that_is_another_host_is_refused():
    for address in ("127.evil.example:7", "[::1]evil:7"):
        assert richd("--check-config", "--feed", f"tcp:{address}").returncode == 78, address
        assert richd("--check-config", "--listen", f"tcp://{address}").returncode == 78, address


@pytest.mark.parametrize("port", ["", "http", "80x", "-1", "+1", " 1", "65536", "4294967297", "*"])
def test_a_port_that_is_no_number_is_refused(port):
    assert richd("--check-config", "--feed", f"tcp:127.0.0.1:{port}").returncode == 78
    assert richd("--check-config", "--listen", f"tcp://[::1]:{port}").returncode == 78


def test_check_config_of_a_good_one_says_so():
    done = richd("--check-config", "--listen", "tcp://[::1]:0", "--feed", "tcp:127.0.0.1:0")
    assert (done.returncode, done.stdout) == (0, "The configuration is valid.\n")


def test_a_state_directory_that_cannot_be_made_ends_with_73(tmp_path):
    (tmp_path / "file").write_text("")
    done = richd("--state-dir", tmp_path / "file" / "state", "--runtime-dir", tmp_path)
    assert done.returncode == 73
    assert str(tmp_path / "file") in done.stderr


def test_the_journals_format_is_for_the_journal_alone(tmp_path):
    command = [BUILD / "richd", "--state-dir", "/dev/null/x", "--runtime-dir", tmp_path]
    log = tmp_path / "log"
    for stream, prefix in (("{0.st_dev}:{0.st_ino}", "<3>"), ("1:2", r"[-\d]{10} [:\d]{8}\.\d{3} err")):
        with log.open("w") as stderr:
            environment = clean_environment(JOURNAL_STREAM=stream.format(os.fstat(stderr.fileno())))
            subprocess.run(command, env=environment, stderr=stderr, timeout=PATIENCE_S, check=False)
        assert re.match(prefix, log.read_text()), log.read_text()


def test_a_locale_with_a_decimal_comma_changes_nothing(new_daemon):
    daemon = new_daemon(LC_ALL="de_DE.UTF-8", LANG="de_DE.UTF-8").start()
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(30, 4, 2))
        assert 0 < trainer.checkpoint(1)["head"]["d_lr"] < 1
