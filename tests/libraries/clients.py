"""Checks whose other side is a client of ours: what it sends, and what must come back."""
from __future__ import annotations

import hashlib
import http.cookiejar
import struct
import urllib.error
import urllib.request

import websocket
from websocket import BINARY, CLOSE, PING, PONG, TEXT


class Failed(Exception):
    """A check did not pass; the text says why."""


def expect(good: bool, why):
    if not good:
        raise Failed(str(why))


def fine(status: int, text: str):
    expect(status == 200 and text == "ok", f"{status}: {text}")


def plain(gateway, path: str):
    status, _, text = gateway.ask(path)
    fine(status, text)


def upload(gateway, path: str):
    mark = "--------------------------8d1f"
    parts = (b'--%s\r\nContent-Disposition: form-data; name="title"\r\n\r\nA title\r\n'
             b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
             b'Content-Type: application/octet-stream\r\n\r\n%s\r\n--%s--\r\n')
    payload = b"\r\n-- not the boundary\r\n" + bytes(range(256)) * 400
    body = parts % (mark.encode(), mark.encode(), payload, mark.encode())
    sums = {"x-sum": hashlib.md5(payload).hexdigest(), "content-type": f"multipart/form-data; boundary={mark}"}
    status, _, text = gateway.ask(path, "POST", body, sums)
    fine(status, text)


def plain_post(gateway, path: str):
    status, _, text = gateway.ask(path, "POST", b"a=1&b=2", {"content-type": "application/x-www-form-urlencoded"})
    fine(status, text)


def switched(gateway, path: str) -> websocket.Client:
    peer = websocket.Client(gateway.clear, path)
    expect(peer.is_switched, peer.head.decode())
    return peer


def frame(peer: websocket.Client, kind: int, payload: bytes):
    got = peer.receive()
    expect(got == (kind, payload), f"{got[0]} {got[1][:60]!r} instead of {kind} {payload[:60]!r}")


def echo(gateway, path: str):
    """Echoes of several sizes, fragments, a ping, and a close that is answered."""
    peer = switched(gateway, path)
    frame(peer, TEXT, b"welcome")
    for size in (0, 1, 125, 126, 65535, 65536, 200_000):
        peer.send(BINARY, bytes(size))
        frame(peer, BINARY, bytes(size))
    peer.send(TEXT, b"one ", last=False)
    peer.send(0, b"two")
    frame(peer, TEXT, b"one two")
    peer.send(PING, b"are you there")
    frame(peer, PONG, b"are you there")
    peer.send(CLOSE, struct.pack(">H", 1000) + b"enough")
    frame(peer, CLOSE, struct.pack(">H", 1000) + b"bye")
    expect(peer.sock.recv(1) == b"", "bytes behind the close")


def lost(gateway, path: str):
    """A client that leaves in the middle of a frame: the next one finds what the script saw."""
    peer = switched(gateway, path)
    frame(peer, TEXT, b"welcome")
    peer.sock.sendall(b"\x82\xfe\x10\x00")
    peer.sock.close()
    plain(gateway, path)


class Browser:
    """Keeps cookies, follows redirects."""

    def __init__(self):
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, gateway, path: str) -> tuple[int, str]:
        try:
            with self.opener.open(f"http://127.0.0.1:{gateway.clear}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as failure:
            return failure.code, failure.read().decode()


def session(gateway, path: str):
    """A session is begun, used, renewed and destroyed; each step's script looks at what it finds."""
    browser = Browser()
    for step in ("start", "read", "change", "changed", "other", "destroy", "gone"):
        status, text = browser.get(gateway, f"{path}?step={step}")
        expect(status == 200 and text == "ok", f"{step}: {status}: {text}")


def openidc(gateway, path: str):
    """Two visits: the first by way of the provider, the second by the session alone; then out."""
    browser = Browser()
    for visit in (1, 2):
        status, text = browser.get(gateway, path)
        expect(status == 200 and text == "ok", f"visit {visit}: {status}: {text}")
    status, text = browser.get(gateway, path + "?refresh=1")
    expect(status == 200 and text == "ok", f"refresh: {status}: {text}")
    browser.get(gateway, path + "/logout")
    status, text = Browser().get(gateway, path + "/callback?code=code-9&state=forged")
    expect(status == 500 and "no session state found" in text, f"a forged answer: {status}: {text}")


CLIENTS = {"upload": upload, "post": plain_post, "echo": echo, "lost": lost,
           "session": session, "openidc": openidc}
