"""The gateway with one plugin's routes, and a table of checks walked along it."""

import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from peers import HttpPeer, Redis, TcpPeer, UdpPeer, free_port

TABLES = {}


class Plugin:
    """`routes`: by name, the filters as (plugin, config); a route's path is its name. `checks`: rows."""

    def __init__(self, name, routes, checks, consumers="", more="", setup=None, lua=""):
        self.name, self.routes, self.checks, self.consumers = name, routes, checks, consumers
        self.more, self.setup, self.lua = more, setup, lua
        TABLES[name] = self


class Row:
    """A request, and what must come of it.

    `has` are the answer's headers, `body` its text, `json` paths into it; `up` paths into what the upstream
    saw, or False where it must see nothing. A wanted value is a text, a pattern, a function, or None for absent.
    `then` is asked last, with the rig and the answer.
    """

    def __init__(self, what, line, headers=None, send=None, status=200, has=None, body=None,
                 json=None, up=None, then=None, times=1):
        self.what, self.headers, self.send, self.status = what, headers or {}, send, status
        self.method, self.path = line.split(" ", 1) if " " in line else ("GET", line)
        self.has, self.body, self.json, self.up, self.then = has or {}, body, json or {}, up, then
        self.times = times


class Answer:
    def __init__(self, response):
        self.status, self.raw = response.status, response.read()
        self.fields = [(name.lower(), value) for name, value in response.getheaders()]
        self.body = self.raw.decode("utf-8", "replace")

    def field(self, name):
        values = [value for known, value in self.fields if known == name.lower()]
        return ", ".join(values) if values else None

    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status} {self.fields} {self.body!r:.600}"


def at(value, path):
    """What stands at "a.b.1" in a value of JSON."""
    for part in path.split("."):
        if isinstance(value, list):
            index = int(part)
            value = value[index] if -len(value) <= index < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def fits(wanted, got):
    if isinstance(wanted, re.Pattern):
        return got is not None and wanted.search(got if isinstance(got, str) else str(got)) is not None
    return wanted(got) if callable(wanted) else wanted == got


class Rig:
    """All that one plugin's checks need, for as long as they run."""

    def __init__(self, plugin, binary, kong, lualib):
        self.plugin, self.kong, self.lualib = plugin, kong, lualib
        self.binary = binary
        self.folder = tempfile.TemporaryDirectory(prefix="kong-real-")
        self.root = Path(self.folder.name)
        self.upstream, self.http, self.tcp, self.udp = HttpPeer(), HttpPeer(), TcpPeer(), UdpPeer()
        self.port, self.redis_peer, self.process, self.kept = free_port(), None, None, {}

    @property
    def redis(self):
        self.redis_peer = self.redis_peer or Redis()
        return self.redis_peer

    def names(self):
        """What stands in a configuration for what is known only now."""
        names = {
            "UPSTREAM": self.upstream.port, "HTTP": self.http.port, "TCP": self.tcp.port,
            "UDP": self.udp.port, "FOLDER": str(self.root),
        }
        if "@REDIS" in repr(self.plugin.routes):
            names["REDIS"] = self.redis.port
        return names

    def fill(self, value):
        """`@NAME` as the whole of a value, or in a text."""
        if isinstance(value, dict):
            return {key: self.fill(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.fill(one) for one in value]
        if isinstance(value, str):
            for name, one in self.names().items():
                if value == "@" + name:
                    return one
                value = value.replace("@" + name, str(one))
        return value

    def manifest(self):
        path = [f"{self.kong}/?.lua", f"{self.kong}/?/init.lua"]
        for folder in self.lualib.split(":"):
            path += [f"{folder}/?.lua", f"{folder}/?/init.lua"]
        out = [f"""
[gateway]
workers = 1
[[listeners]]
address = "127.0.0.1:{self.port}"
[log]
access = "off"
[lua]
path = {json.dumps(path)}
{self.plugin.lua}
[upstreams.up]
endpoints = ["http://127.0.0.1:{self.upstream.port}"]
{self.plugin.consumers}
{self.fill(self.plugin.more)}"""]
        for route, filters in self.plugin.routes.items():
            named = []
            for name, config in filters:
                if config is None:
                    named.append(name)
                    continue
                named.append(f"{route}-{name}")
                out.append(f"[filters.{route}-{name}]\nkong = {json.dumps(name)}\nconfig = {toml(self.fill(config))}\n")
            out.append(f'[[routes]]\nname = "{route}"\nmatch = {{ path = "/{route}*" }}\n'
                       f'filters = {json.dumps(named)}\n')
            if all(config is not None for _, config in filters):
                out.append('upstream = "up"\n')
        return "\n".join(out)

    def start(self):
        if self.plugin.setup:
            self.plugin.setup(self)
        (self.root / "pilotlight.toml").write_text(self.manifest())
        self.log = open(self.root / "gateway.log", "wb")
        self.process = subprocess.Popen([self.binary, "run"], cwd=self.root, stdout=self.log, stderr=self.log)
        for _ in range(200):
            assert self.process.poll() is None, "the gateway does not start:\n" + self.said()
            try:
                http.client.HTTPConnection("127.0.0.1", self.port, timeout=1).connect()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the gateway does not listen:\n" + self.said())

    def said(self):
        return (self.root / "gateway.log").read_text("utf-8", "replace")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self.redis_peer:
            self.redis_peer.stop()
        self.folder.cleanup()

    def ask(self, line, headers=None, send=None):
        method, path = line.split(" ", 1) if " " in line else ("GET", line)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = dict(headers or {})
        send = send(self) if callable(send) else send
        chunked = not isinstance(send, (bytes, str, type(None)))
        # Without http.client's own Accept-Encoding, a second Host and such.
        connection.putrequest(method, path, skip_host=any(n.lower() == "host" for n in headers), skip_accept_encoding=True)
        for name, value in headers.items():
            value = value(self) if callable(value) else value
            for one in value if isinstance(value, list) else [value]:
                connection.putheader(name, one)
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif send is not None:
            send = send.encode() if isinstance(send, str) else send
            connection.putheader("Content-Length", str(len(send)))
        connection.endheaders(send, encode_chunked=chunked)
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def check(self, row):
        self.upstream.box.clear()
        for turn in range(row.times):
            if turn:
                time.sleep(0.1)  # what a plugin counts beside the exchange
            answer = self.ask(f"{row.method} {row.path}", row.headers, row.send)
        assert fits(row.status, answer.status), f"status: {answer}"
        for name, wanted in row.has.items():
            assert fits(wanted, answer.field(name)), f"{name}: {answer}"
        assert row.body is None or fits(row.body, answer.body), f"body: {answer}"
        for path, wanted in row.json.items():
            assert fits(wanted, at(answer.json(), path)), f"{path}: {answer}"
        if row.up is not None:
            seen = self.upstream.box.all
            assert bool(seen) == (row.up is not False), f"at the upstream: {seen}"
            for path, wanted in (row.up or {}).items():
                assert fits(wanted, at(seen[-1], path)), f"upstream, {path}: {seen[-1]}"
        if row.then:
            row.then(self, answer)


def toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return json.dumps(value)


def walk(plugin, binary, kong, lualib):
    """The rows that failed, each with why; those that did not are counted."""
    rig, failed = Rig(plugin, binary, kong, lualib), []
    try:
        try:
            rig.start()
        except AssertionError as why:
            return 0, [("starts", str(why), "")]
        for row in plugin.checks:
            before = len(rig.said())
            try:
                rig.check(row)
            except Exception as why:
                time.sleep(0.1)
                failed.append((row.what, f"{type(why).__name__}: {why}", rig.said()[before:]))
        if os.environ.get("KEEP"):
            print(rig.said())
    finally:
        rig.stop()
    return len(plugin.checks) - len(failed), failed
