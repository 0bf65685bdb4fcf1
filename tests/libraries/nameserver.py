"""A name server for `test.`: UDP, and TCP for what is too long."""
from __future__ import annotations

import socket
import struct
import threading

from wire import Peer, exactly

A, CNAME, PTR, MX, TXT, AAAA, SRV = 1, 5, 12, 15, 16, 28, 33


def name(text: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in text.split(".") if part) + b"\0"


ADDRESS = socket.inet_aton
RECORDS = {
    ("one.test", A): [ADDRESS("192.0.2.1")],
    ("two.test", A): [ADDRESS("192.0.2.1"), ADDRESS("192.0.2.2")],
    ("home.test", A): [ADDRESS("127.0.0.1")],
    ("localhost", A): [ADDRESS("127.0.0.1")],
    ("alias.test", A): [(CNAME, "alias.test", name("one.test")), (A, "one.test", ADDRESS("192.0.2.1"))],
    ("six.test", AAAA): [socket.inet_pton(socket.AF_INET6, "2001:db8::1")],
    ("mail.test", MX): [struct.pack(">H", 10) + name("one.test")],
    ("text.test", TXT): [b"\x05hello\x05world"],
    ("_http._tcp.test", SRV): [struct.pack(">HHH", 1, 5, 8080) + name("one.test")],
    ("1.2.0.192.in-addr.arpa", PTR): [name("one.test")],
    ("many.test", A): [ADDRESS(f"10.0.{n // 250}.{n % 250}") for n in range(300)],
}


def asked(query: bytes) -> tuple[str, int, int]:
    """The name, the type and where the question ends."""
    parts, at = [], 12
    while query[at]:
        parts.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(parts).lower(), struct.unpack(">H", query[at + 1:at + 3])[0], at + 5


def answer(query: bytes, room: int) -> bytes | None:
    wanted, kind, end = asked(query)
    if wanted.startswith("silent."):
        return None
    known = any(owner == wanted for owner, _ in RECORDS)
    code = 0 if known else 3
    if wanted.startswith("broken."):
        code = 2
    out = b""
    records = RECORDS.get((wanted, kind), [])
    for record in records:
        sort, owner, data = record if isinstance(record, tuple) else (kind, wanted, record)
        out += name(owner) + struct.pack(">HHIH", sort, 1, 60, len(data)) + data
    flags, count = 0x8180 | code, len(records)
    if end + len(out) > room:
        flags, count, out = flags | 0x200, 0, b""
    return query[:2] + struct.pack(">HHHHH", flags, 1, count, 0, 0) + query[12:end] + out


class NameServer(Peer):
    def __init__(self):
        super().__init__()
        self.seen: dict[str, int] = {}
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        threading.Thread(target=self._datagrams, daemon=True).start()

    def _datagrams(self):
        while True:
            try:
                query, client = self.udp.recvfrom(4096)
            except OSError:
                return
            wanted = asked(query)[0]
            self.seen[wanted] = self.seen.get(wanted, 0) + 1
            if reply := answer(query, 512):
                self.udp.sendto(reply, client)

    def serve(self, sock: socket.socket):
        while True:
            query = exactly(sock, struct.unpack(">H", exactly(sock, 2))[0])
            if reply := answer(query, 65535):
                sock.sendall(struct.pack(">H", len(reply)) + reply)
