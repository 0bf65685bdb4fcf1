"""What stands around the gateway: an upstream, places that logs go to, a Redis."""

import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Box:
    """Messages, in the order they came."""

    def __init__(self):
        self.all, self.come = [], threading.Condition()

    def put(self, message):
        with self.come:
            self.all.append(message)
            self.come.notify_all()

    def clear(self):
        with self.come:
            self.all.clear()

    def wait(self, wanted, seconds=5):
        """The first message for which `wanted` is true; those it was not true for, in words, if none came."""
        with self.come:
            def found():
                return next((m for m in self.all if wanted(m)), None)
            self.come.wait_for(lambda: found() is not None, seconds)
            message = found()
            assert message is not None, f"it did not come; what did: {self.all!r:.1500}"
            return message


class Http(BaseHTTPRequestHandler):
    """Answers with what it was asked, as JSON; the query says what else: status, header, body,
    type, and how many x stand for FILL in the body."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            whole = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def any(self):
        headers = {}
        for name, value in self.headers.items():
            name = name.lower()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        url = urlsplit(self.path)
        said = {
            "method": self.command, "path": url.path, "query": url.query, "headers": headers,
            "body": self.body().decode("utf-8", "replace"),
        }
        self.server.box.put(said)
        status, fields, body, media = 200, [], json.dumps(said), "application/json"
        for name, value in parse_qsl(url.query, keep_blank_values=True):
            if name == "status":
                status = int(value)
            elif name == "header":
                fields.append(value.split(":", 1))
            elif name == "body":
                body = value
            elif name == "type":
                media = value
            elif name == "fill":
                body = body.replace("FILL", "x" * int(value))
        script = self.server.script
        if script and (made := script(said)):
            status, media, body = made
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = any


class HttpPeer:
    """A server over HTTP. `script`, where there is one, answers in its place: status, type, body."""

    def __init__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Http)
        self.server.daemon_threads = True
        self.server.box = self.box = Box()
        self.server.script = None
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, script):
        self.server.script = script


class TcpPeer:
    """Takes lines."""

    def __init__(self):
        self.box = Box()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.read, args=(connection,), daemon=True).start()

    def read(self, connection):
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                self.box.put(line.decode())


class UdpPeer:
    """Takes datagrams."""

    def __init__(self):
        self.box = Box()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            self.box.put(self.socket.recv(65536).decode())


class Redis:
    """redis-server with nothing in it, and a connection of our own to it."""

    def __init__(self):
        server = shutil.which("redis-server")
        assert server, "no redis-server on PATH"
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="kong-real-")
        self.process = subprocess.Popen(
            [server, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--dir", self.folder.name, "--user", "someone", "on", ">pass", "~*", "+@all"],
            stdout=subprocess.DEVNULL)
        for _ in range(100):
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.port))
                break
            except OSError:
                time.sleep(0.05)
        self.lines = self.socket.makefile("rb")

    def ask(self, *words):
        parts = [str(word).encode() for word in words]
        out = b"*%d\r\n" % len(parts)
        self.socket.sendall(out + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        return self.reply()

    def reply(self):
        line = self.lines.readline()[:-2].decode()
        kind, rest = line[0], line[1:]
        if kind == "$":
            if rest == "-1":
                return None
            return self.lines.read(int(rest) + 2)[:-2].decode()
        if kind == "*":
            return [self.reply() for _ in range(int(rest))]
        assert kind != "-", rest
        return int(rest) if kind == ":" else rest

    def counters(self, pattern):
        """Keys with their values."""
        return {key: self.ask("GET", key) for key in self.ask("KEYS", "*") if re.search(pattern, key)}

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()
