"""Keys and certificates of a run: one authority, one certificate for all servers, one for clients."""
from __future__ import annotations

import os
import subprocess

SERVER = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:false\nextendedKeyUsage=serverAuth\n"
CLIENT = "basicConstraints=critical,CA:false\nextendedKeyUsage=clientAuth\n"


def openssl(*words: str, input: bytes | None = None) -> bytes:
    done = subprocess.run(["openssl", *words], input=input, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {words[0]}: {done.stderr.decode()}")
    return done.stdout


class Certificates:
    """`ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`, and bare keys for tokens."""

    def __init__(self, folder: str):
        self.folder = folder
        self._key("ca.key", "ec", "ec_paramgen_curve:P-256")
        openssl("req", "-x509", "-new", "-key", self.path("ca.key"), "-days", "2", "-subj", "/CN=test authority",
                "-out", self.path("ca.pem"), "-addext", "basicConstraints=critical,CA:true",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._key("server.key", "rsa", "rsa_keygen_bits:2048")
        self._issue("server", "localhost", SERVER)
        self._key("client.key", "ec", "ec_paramgen_curve:P-256")
        self._issue("client", "someone", CLIENT)
        for name, kind, parameter in (("rsa", "rsa", "rsa_keygen_bits:2048"), ("ec", "ec", "ec_paramgen_curve:P-256")):
            self._key(f"{name}.key", kind, parameter)
            openssl("pkey", "-in", self.path(f"{name}.key"), "-pubout", "-out", self.path(f"{name}.pub"))
        self._issue("rsa", "token", CLIENT)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def read(self, name: str) -> str:
        with open(self.path(name), encoding="ascii") as file:
            return file.read()

    def _key(self, name: str, kind: str, parameter: str):
        openssl("genpkey", "-algorithm", kind, "-pkeyopt", parameter, "-out", self.path(name))
        os.chmod(self.path(name), 0o644)

    def _issue(self, name: str, subject: str, extensions: str):
        with open(self.path(name + ".ext"), "w", encoding="ascii") as file:
            file.write(extensions)
        request = openssl("req", "-new", "-key", self.path(name + ".key"), "-subj", f"/CN={subject}")
        openssl("x509", "-req", "-CA", self.path("ca.pem"), "-CAkey", self.path("ca.key"), "-days", "2",
                "-set_serial", str(sum(name.encode())), "-extfile", self.path(name + ".ext"),
                "-out", self.path(name + ".pem"), input=request)
