import json
import os
import stat
import subprocess
import sys
import urllib.request

from harness import PATIENCE_S

#: Connects to both sockets as the user and group of the command line, if it may change them.
STRANGER = """
import os, socket, sys
user, group, *paths = sys.argv[1:]
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(int(group))
    os.setuid(int(user))
for path in paths:
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
print(open(os.path.dirname(paths[0]) + "/endpoints.json").read())
"""
NOBODY = 65534


def another_group():
    """One that is not the group of our files where we may give files away, else one of ours."""
    if os.getuid() == 0:
        return 12345
    return next((group for group in os.getgroups() if group != os.getgid()), os.getgid())


def sockets(daemon):
    return [daemon.runtime / "ingest.sock", daemon.runtime / "feed.sock"]


def modes(daemon):
    files = [daemon.runtime, daemon.runtime / "endpoints.json", *sockets(daemon)]
    return [stat.S_IMODE(file.stat().st_mode) for file in files]


def connect(daemon, group):
    return subprocess.run([sys.executable, "-c", STRANGER, str(NOBODY), str(group),
                           *map(str, sockets(daemon))], capture_output=True, text=True,
                          timeout=PATIENCE_S, check=False)


def test_a_group_may_connect(new_daemon):
    group = another_group()
    daemon = new_daemon("--socket-group", str(group)).start()
    assert modes(daemon) == [0o750, 0o640, 0o660, 0o660]
    for file in (daemon.runtime, daemon.runtime / "endpoints.json", *sockets(daemon)):
        assert file.stat().st_gid == group, file
    member = connect(daemon, group)
    assert member.returncode == 0, member.stderr
    assert "feed.sock" in member.stdout
    if os.getuid() == 0:  # only root can become somebody else
        assert "PermissionError" in connect(daemon, NOBODY).stderr
    daemon.restart()
    assert modes(daemon) == [0o750, 0o640, 0o660, 0o660]


def test_a_member_of_the_group_finds_the_page_and_its_token(new_daemon):
    group = another_group()
    daemon = new_daemon("--socket-group", str(group), "--http", "on").start()
    member = connect(daemon, group)
    assert member.returncode == 0, member.stderr
    with urllib.request.urlopen(daemon.endpoints["page"].split("#")[0]) as answer:
        assert answer.status == 200
    assert json.loads(member.stdout)["page"].split("#token=")[1]


def test_without_a_group_nobody_else_may(daemon):
    assert [mode & 0o077 for mode in modes(daemon)] == [0, 0, 0, 0]
    if os.getuid() == 0:
        assert "PermissionError" in connect(daemon, NOBODY).stderr
