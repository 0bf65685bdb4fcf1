"""The gateway under test: a manifest, the check scripts beside it, and the process."""
from __future__ import annotations

import http.client
import os
import shutil

from process import Process, free_port

HERE = os.path.dirname(os.path.abspath(__file__))

MANIFEST = """
[gateway]
workers = 1
drain = "1s"
[log]
access = "off"
level = "info"
[[listeners]]
name = "clear"
address = "127.0.0.1:{clear}"
protocols = ["http1", "http2"]
[[listeners]]
name = "tls"
address = "127.0.0.1:{tls}"
protocols = ["http1", "http2"]
tls = {{ certificate = "server.pem", key = "server.key" }}
[lua]
path = ["?.lua", {paths}]
memory = "128MiB"
ffi = true
resolver = {{ servers = ["127.0.0.1:{names}"] }}
[redis.main]
url = "redis://127.0.0.1:{redis}"
timeouts = {{ reply = "500ms" }}
pool = {{ size = 4 }}
[redis.secret]
url = "rediss://app:secret@localhost:{redis_tls}/1"
ca = "ca.pem"
[redis.unix]
url = "{redis_unix}"
[redis.wrong]
url = "redis://app:other@127.0.0.1:{redis}"
{relays}
[shared.cache]
size = "4MiB"
[shared.locks]
size = "1MiB"
[shared.limits]
size = "1MiB"
[shared.misses]
size = "1MiB"
[shared.ipc]
size = "1MiB"
[shared.health]
size = "1MiB"
[shared.events]
size = "1MiB"
[shared.cassandra]
size = "1MiB"
[shared.discovery]
size = "1MiB"
[shared.jwks]
size = "1MiB"
[shared.sessions]
size = "1MiB"
[filters.checks]
openresty = {{ init_worker = "start.lua", content = "checks.lua", ssl = {{ ca = "ca.pem" }} }}
limits = {{ cpu = "{cpu}" }}
[filters.native]
lua = "native.lua"
limits = {{ cpu = "{cpu}" }}
[[routes]]
match = {{ path = "/*" }}
filters = ["checks"]
[[routes]]
match = {{ path = "/gateway.redis/*" }}
filters = ["native"]
respond = {{ status = 404 }}
"""


def literal(value) -> str:
    """A value as Lua writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'["{key}"] = {literal(inner)}' for key, inner in value.items()) + "}"
    if isinstance(value, str):
        return "[==[" + value + "]==]"
    return str(value)


class Gateway:
    """In a folder that has its certificates already."""

    def __init__(self, folder: str, binary: str, libraries: str, peers: dict, relays: dict[str, int]):
        self.clear, self.tls = free_port(), free_port()
        shutil.copytree(os.path.join(HERE, "checks"), folder, dirs_exist_ok=True)
        peers = {**peers, "gateway": {"port": self.clear, "tls": self.tls}}
        self._write(folder, "peers.lua", f"return {literal(peers)}\n")
        redis = peers.get("redis", {"port": 1, "tls": 1, "unix": "unix:none"})
        servers = "".join(f'[redis.{name}]\nurl = "redis://127.0.0.1:{port}"\ntimeouts = {{ reply = "300ms" }}\n'
                          for name, port in relays.items())
        self._write(folder, "pilotlight.toml", MANIFEST.format(
            clear=self.clear, tls=self.tls, names=peers["names"]["port"], relays=servers, redis=redis["port"],
            redis_tls=redis["tls"], redis_unix=redis["unix"],
            cpu=os.environ.get("CPU", "10s"),
            paths=f'"{libraries}/?.lua", "{libraries}/?/init.lua"'))
        self.process = Process("gateway", folder, [binary, "run", os.path.join(folder, "pilotlight.toml")], self.clear)

    @staticmethod
    def _write(folder: str, name: str, text: str):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, fields: dict | None = None):
        """The status, the header fields as a list and the body of an answer."""
        client = http.client.HTTPConnection("127.0.0.1", self.clear, timeout=60)
        try:
            client.request(method, path, body, fields or {})
            answer = client.getresponse()
            return answer.status, answer.getheaders(), answer.read().decode("utf-8", "replace")
        finally:
            client.close()
