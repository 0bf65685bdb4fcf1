"""WebSocket frames (RFC 6455), both sides: a client, and a server that echoes."""
from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct

from wire import Peer, exactly

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def accept(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def head_of(sock: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += exactly(sock, 1)
    return head


def mask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    key = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def send(sock: socket.socket, kind: int, payload: bytes, last: bool = True, key: bytes = b""):
    size, masked = len(payload), 0x80 if key else 0
    head = bytes([kind | (0x80 if last else 0)])
    if size < 126:
        head += bytes([masked | size])
    elif size < 65536:
        head += struct.pack(">BH", masked | 126, size)
    else:
        head += struct.pack(">BQ", masked | 127, size)
    sock.sendall(head + key + (mask(payload, key) if key else payload))


def receive(sock: socket.socket) -> tuple[int, bool, bytes]:
    """A frame's kind, whether it is its message's last, and its payload."""
    first, size = exactly(sock, 2)
    masked, size = size & 0x80, size & 0x7F
    if size == 126:
        size = struct.unpack(">H", exactly(sock, 2))[0]
    elif size == 127:
        size = struct.unpack(">Q", exactly(sock, 8))[0]
    key = exactly(sock, 4) if masked else b""
    payload = exactly(sock, size)
    return first & 15, first & 0x80 != 0, mask(payload, key) if key else payload


class Client:
    def __init__(self, port: int, path: str):
        self.sock = socket.create_connection(("127.0.0.1", port), 20)
        key = base64.b64encode(os.urandom(16))
        self.sock.sendall(b"GET %s HTTP/1.1\r\nhost: edge.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
                          b"sec-websocket-version: 13\r\nsec-websocket-key: %s\r\n\r\n" % (path.encode(), key))
        self.head = head_of(self.sock)
        self.is_switched = self.head.startswith(b"HTTP/1.1 101 ") and accept(key) in self.head

    def send(self, kind: int, payload: bytes, last: bool = True):
        send(self.sock, kind, payload, last, os.urandom(4))

    def receive(self) -> tuple[int, bytes]:
        kind, _, payload = receive(self.sock)
        return kind, payload


class Echo(Peer):
    """Says "welcome", then gives whole messages back; "bye" to a close."""

    def serve(self, sock: socket.socket):
        lines = head_of(sock).split(b"\r\n")
        key = next(line.split(b": ", 1)[1] for line in lines if line.lower().startswith(b"sec-websocket-key: "))
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                     b"sec-websocket-accept: %s\r\n\r\n" % accept(key))
        send(sock, TEXT, b"welcome")
        whole, sort = b"", TEXT
        while True:
            kind, last, payload = receive(sock)
            if kind == CLOSE:
                send(sock, CLOSE, payload[:2] + b"bye")
                return
            if kind == PING:
                send(sock, PONG, payload)
                continue
            sort, whole = kind or sort, whole + payload
            if last:
                send(sock, sort, whole)
                whole = b""
