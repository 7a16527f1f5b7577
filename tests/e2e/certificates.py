"""Certificates for tests: each signs itself, so it is its own authority."""

import os
import ssl
import subprocess

NAMES = "DNS:localhost,DNS:lab.example.org,IP:127.0.0.1"


class Certificate:
    """A certificate and its key, as PEM files in a folder."""

    def __init__(self, folder, name="lab"):
        self.path, self.key = folder / f"{name}.pem", folder / f"{name}.key"

    def make(self, days=90, names=NAMES):
        """Makes both, each put in its place in one move, as certbot does. It expires in `days`."""
        path, key = (f"{file}.new" for file in (self.path, self.key))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", path,
                        "-days", str(days), "-subj", "/CN=richd", "-addext",
                        f"subjectAltName={names}"], check=True, capture_output=True)
        os.chmod(key, 0o600)
        os.replace(path, self.path)
        os.replace(key, self.key)
        return self

    @property
    def flags(self):
        return "--tls-certificate", self.path, "--tls-key", self.key

    def client(self):
        """What a client needs that trusts it."""
        return ssl.create_default_context(cafile=self.path)
