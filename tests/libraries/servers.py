"""The real servers: each in a folder and on ports of its own."""
from __future__ import annotations

import os
import signal
import subprocess
import time

from certificates import Certificates
from process import PATIENCE, Process, as_user, free_port, give, program, run


def said(*command: str) -> str:
    """The first line of what a program says about itself."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).splitlines()[0]


class Redis:
    def __init__(self, folder: str, certificates: Certificates):
        binary = program("redis-server")
        self.version = said(binary, "--version")
        self.port, self.tls, self.unix = free_port(), free_port(), os.path.join(folder, "redis.sock")
        config = os.path.join(folder, "redis.conf")
        with open(config, "w", encoding="ascii") as file:
            file.write(f"bind 127.0.0.1\nport {self.port}\ntls-port {self.tls}\ndir {folder}\nsave \"\"\n"
                       f"unixsocket {self.unix}\nunixsocketperm 777\ntls-cert-file {certificates.path('server.pem')}\n"
                       f"tls-key-file {certificates.path('server.key')}\n"
                       f"tls-ca-cert-file {certificates.path('ca.pem')}\ntls-auth-clients no\n"
                       "user app on >secret ~* &* +@all\n")
        self.process = Process("redis", folder, [binary, config], self.port)

    def peer(self) -> dict:
        return {"port": self.port, "tls": self.tls, "unix": "unix:" + self.unix}


class Memcached:
    def __init__(self, folder: str, _: Certificates):
        binary = program("memcached")
        self.version = said(binary, "-V")
        self.port = free_port()
        command = [binary, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0"]
        if os.geteuid() == 0:
            command += ["-u", "nobody"]
        self.process = Process("memcached", folder, command, self.port)

    def peer(self) -> dict:
        return {"port": self.port}


class MariaDB:
    def __init__(self, folder: str, certificates: Certificates):
        binary = program("mariadbd", "/usr/sbin")
        self.version = said(binary, "--version")
        self.port, data = free_port(), os.path.join(folder, "mariadb")
        self.unix = os.path.join(folder, "mariadb.sock")
        os.mkdir(data)
        root = ["--user=root"] if os.geteuid() == 0 else []
        run(program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db",
            "--auth-root-authentication-method=normal", *root)
        command = [binary, "--no-defaults", f"--datadir={data}", f"--port={self.port}", "--bind-address=127.0.0.1",
                   f"--socket={self.unix}", "--plugin-load-add=auth_ed25519", "--skip-name-resolve",
                   f"--pid-file={data}/pid", f"--ssl-cert={certificates.path('server.pem')}",
                   f"--ssl-key={certificates.path('server.key')}", f"--ssl-ca={certificates.path('ca.pem')}", *root]
        self.process = Process("mariadb-server", folder, command, self.port)
        text = ["CREATE DATABASE test;"]
        for user, how in (("app@'127.0.0.1'", "BY 'secret'"), ("app@localhost", "BY 'secret'"),
                          ("modern@'127.0.0.1'", "VIA ed25519 USING PASSWORD('secret')")):
            text.append(f"CREATE USER {user} IDENTIFIED {how}; GRANT ALL ON test.* TO {user};")
        run(program("mariadb"), "--no-defaults", f"--socket={self.unix}", "-uroot", text="".join(text))

    def peer(self) -> dict:
        return {"port": self.port, "unix": self.unix}


class PostgreSQL:
    USER = "postgres"

    def __init__(self, folder: str, certificates: Certificates):
        place = "/usr/lib/postgresql/*/bin"
        binary = program("postgres", place)
        self.version = said(binary, "--version")
        self.port, data = free_port(), os.path.join(folder, "postgres")
        os.mkdir(data)
        give(data, self.USER)
        key = os.path.join(folder, "postgres.key")
        with open(key, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(certificates.read("server.key"))
        give(key, self.USER)
        before = as_user(self.USER)
        secret = os.path.join(folder, "secret")
        with open(secret, "w", encoding="ascii") as file:
            file.write("secret\n")
        run(*before, program("initdb", place), "-D", data, "-A", "scram-sha-256", "-U", "app", "-N", "-E", "UTF8",
            "--no-locale", f"--pwfile={secret}", cwd="/")
        # One user by each way of signing in.
        rules = os.path.join(data, "pg_hba.conf")
        with open(rules, "w", encoding="ascii") as file:
            file.write("host all old 127.0.0.1/32 md5\nhost all plain 127.0.0.1/32 password\n"
                       "host all trusted 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        command = [*before, binary, "-D", data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c",
                   "unix_socket_directories=", "-c", "ssl=on", "-c", f"ssl_cert_file={certificates.path('server.pem')}",
                   "-c", f"ssl_key_file={key}", "-c", "fsync=off"]
        self.process = Process("postgresql", folder, command, self.port, signal.SIGINT)
        self._users(place)

    def _users(self, place: str):
        text = ("SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'secret';"
                "CREATE ROLE plain LOGIN PASSWORD 'secret'; CREATE ROLE trusted LOGIN; CREATE DATABASE test;")
        words = [program("psql", place), "-h", "127.0.0.1", "-p", str(self.port), "-U", "app", "-d", "postgres",
                 "-v", "ON_ERROR_STOP=1", "-q"]
        until = time.monotonic() + PATIENCE
        while True:
            # It listens before it is ready.
            done = subprocess.run(words, input=text.replace(";", ";\n"), text=True, capture_output=True, check=False,
                                  env={**os.environ, "PGPASSWORD": "secret"})
            if done.returncode == 0:
                return
            if "starting up" not in done.stderr or time.monotonic() > until:
                raise RuntimeError(done.stderr)
            time.sleep(0.1)

    def peer(self) -> dict:
        return {"port": self.port}


SERVERS = {"redis": Redis, "memcached": Memcached, "mariadb": MariaDB, "postgresql": PostgreSQL}
