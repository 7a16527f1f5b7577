"""Hosts made of network namespaces: each has an address of its own, and a cable between them that
can be cut. What runs on one is a process behind `ip netns exec`; files are everybody's.

Who may not make them has them in a user namespace of its own, where the kernel permits that: a
process holds it, and all is run from within."""

import os
import pathlib
import secrets
import subprocess
import sys

import zmq

from harness import PATIENCE_S, clean_environment

DAEMON_IP, TRAINER_IP, SECOND_IP = "10.99.0.1", "10.99.0.2", "10.99.0.3"
PORT = 24105
ADDRESS = f"tcp://{DAEMON_IP}:{PORT}"


#: `ip netns` keeps names in /run/netns, which only root may make: here /run is a new one.
HOLDING = "mount -t tmpfs none /run && mkdir /run/netns && echo held && exec cat"


class UserNamespace:
    """Where this user is root; it ends with the process that holds it."""

    def __init__(self):
        self.holder = subprocess.Popen(
            ["unshare", "--map-root-user", "--net", "--mount", "sh", "-c", HOLDING], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if self.holder.stdout.readline() != "held\n":
            raise OSError(self.holder.communicate(timeout=PATIENCE_S)[1])

    @property
    def prefix(self):
        return ["nsenter", "--target", str(self.holder.pid), "--user", "--mount", "--net",
                "--preserve-credentials", f"--wd={os.getcwd()}"]

    def close(self):
        self.holder.communicate(timeout=PATIENCE_S)


#: What all hosts are made and run within: nothing, or a UserNamespace.
WITHIN = []


def within():
    return [word for one in WITHIN for word in one.prefix]


def ip(*words):
    done = subprocess.run([*within(), "ip", *words], capture_output=True, text=True,
                          timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, \
        f"ip {' '.join(words)}: {done.stderr}(these tests need iproute2, and the right to make " \
        "network namespaces, or user namespaces: kernel.unprivileged_userns_clone)"


class Host:
    """A network namespace on a cable that leads to all other hosts of its network."""

    def __init__(self, address):
        self.address = address
        self.name = f"richd-{secrets.token_hex(4)}"
        ip("netns", "add", self.name)
        ip("-n", self.name, "link", "set", "lo", "up")

    @property
    def prefix(self):
        """What a command line begins with that runs here."""
        return [*within(), "ip", "netns", "exec", self.name]

    def cable(self, state):
        ip("-n", self.name, "link", "set", "eth0", state)

    def python(self, script, *arguments, home, **environment):
        """Starts a Python program whose user has that home."""
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-c", script, *map(str, arguments)], text=True,
            env=clean_environment(HOME=str(home), **environment), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def remove(self):
        ip("netns", "delete", self.name)


class Network:
    """A switch, the hosts at it, and what is written on cards: keys."""

    def __init__(self):
        self.switch = Host(None)
        self.hosts = []
        ip("-n", self.switch.name, "link", "add", "switch", "type", "bridge")
        ip("-n", self.switch.name, "link", "set", "switch", "up")

    def host(self, address):
        host = Host(address)
        self.hosts.append(host)
        port = f"port{len(self.hosts)}"
        ip("link", "add", "eth0", "netns", host.name, "type", "veth", "peer", "name", port, "netns",
           self.switch.name)
        ip("-n", self.switch.name, "link", "set", port, "master", "switch", "up")
        ip("-n", host.name, "address", "add", f"{address}/24", "dev", "eth0")
        host.cable("up")
        return host

    def close(self):
        for host in [*self.hosts, self.switch]:
            host.remove()


def pair():
    """A public and a secret key, as text."""
    return tuple(key.decode() for key in zmq.curve_keypair())


def write_private(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
              encoding="utf-8") as file:
        file.write(text)


def join(home, server, public, secret, address=ADDRESS):
    """What `richctl join` writes."""
    write_private(pathlib.Path(home) / ".config" / "richd" / "joined",
                  f"endpoint {address}\nserver {server}\npublic {public}\nsecret {secret}\n")
