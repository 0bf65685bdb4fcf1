"""A broker that knows the few requests of Kafka's protocol that the clients use: it keeps what is produced."""
from __future__ import annotations

import socket
import struct

from wire import Peer, exactly

PRODUCE, FETCH, OFFSETS, METADATA, HANDSHAKE, VERSIONS, AUTHENTICATE = 0, 1, 2, 3, 17, 18, 36
RANGES = {PRODUCE: (0, 2), FETCH: (0, 3), OFFSETS: (0, 1), METADATA: (0, 1), VERSIONS: (0, 2)}
PARTITIONS = 2
UNKNOWN_TOPIC = 3


def string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def array(items: list[bytes]) -> bytes:
    return struct.pack(">i", len(items)) + b"".join(items)


class Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, form: str) -> int:
        return struct.unpack(">" + form, self.take(struct.calcsize(">" + form)))[0]

    def string(self) -> str:
        return self.take(max(self.number("h"), 0)).decode()

    def bytes(self) -> bytes:
        return self.take(max(self.number("i"), 0))

    def many(self, read) -> list:
        return [read() for _ in range(self.number("i"))]


class Kafka(Peer):
    """`user` and `password`: who may sign in by SASL PLAIN; without them nobody has to."""

    def __init__(self, user: str = "", password: str = ""):
        self.log: dict[tuple[str, int], list[bytes]] = {}
        self.credentials = f"\0{user}\0{password}".encode() if user else None
        super().__init__()

    def serve(self, sock: socket.socket):
        trusted = self.credentials is None
        while True:
            reader = Reader(exactly(sock, struct.unpack(">i", exactly(sock, 4))[0]))
            kind, version, correlation = reader.number("h"), reader.number("h"), reader.number("i")
            reader.string()
            if kind == AUTHENTICATE:
                trusted = reader.bytes() == self.credentials
                body = struct.pack(">h", 0 if trusted else 58) + string("" if trusted else "wrong password")
                body += struct.pack(">i", 0) + struct.pack(">q", 0)
            elif kind == HANDSHAKE:
                body = struct.pack(">h", 0) + array([string("PLAIN")])
            elif not trusted:
                return
            else:
                body = ANSWERS[kind](self, reader, version)
            if body is not None:
                reply = struct.pack(">i", correlation) + body
                sock.sendall(struct.pack(">i", len(reply)) + reply)

    def _metadata(self, reader: Reader, version: int) -> bytes:
        rack = string("") if version else b""
        broker = struct.pack(">i", 7) + string("127.0.0.1") + struct.pack(">i", self.port) + rack
        out = array([broker]) + (struct.pack(">i", 7) if version else b"")
        inside = b"\0" if version else b""
        topics = []
        for topic in reader.many(reader.string):
            known = topic != "missing"
            one = array([struct.pack(">i", 7)])
            parts = [struct.pack(">hii", 0, n, 7) + one + one for n in range(PARTITIONS if known else 0)]
            topics.append(struct.pack(">h", 0 if known else UNKNOWN_TOPIC) + string(topic) + inside + array(parts))
        return out + array(topics)

    def _versions(self, _: Reader, __: int) -> bytes:
        rows = [struct.pack(">hhh", kind, *span) for kind, span in RANGES.items()]
        return struct.pack(">h", 0) + array(rows) + struct.pack(">i", 0)

    def _produce(self, reader: Reader, version: int) -> bytes | None:
        acks, _ = reader.number("h"), reader.number("i")

        def partition(topic: str) -> bytes:
            number, records = reader.number("i"), Reader(reader.bytes())
            log = self.log.setdefault((topic, number), [])
            first = len(log)
            while records.at < len(records.data):
                records.number("q")
                log.append(struct.pack(">q", len(log)) + struct.pack(">i", len(m := records.bytes())) + m)
            return struct.pack(">ihq", number, 0, first) + (struct.pack(">q", -1) if version >= 2 else b"")

        def one() -> bytes:
            topic = reader.string()
            return string(topic) + array(reader.many(lambda: partition(topic)))

        topics = array(reader.many(one))
        return topics + (struct.pack(">i", 0) if version else b"") if acks else None

    def _offsets(self, reader: Reader, version: int) -> bytes:
        reader.number("i")

        def partition(topic: str) -> bytes:
            number, when = reader.number("i"), reader.number("q")
            end = len(self.log.get((topic, number), [])) if when == -1 else 0
            if version == 0:
                reader.number("i")
                return struct.pack(">ih", number, 0) + array([struct.pack(">q", end)])
            return struct.pack(">ihqq", number, 0, -1, end)

        def one() -> bytes:
            topic = reader.string()
            return string(topic) + array(reader.many(lambda: partition(topic)))

        return array(reader.many(one))

    def _fetch(self, reader: Reader, version: int) -> bytes:
        reader.take(16 if version >= 3 else 12)

        def partition(topic: str) -> bytes:
            number, offset, _ = reader.number("i"), reader.number("q"), reader.number("i")
            log = self.log.get((topic, number), [])
            records = b"".join(log[offset:])
            return struct.pack(">ihqi", number, 0, len(log), len(records)) + records

        def one() -> bytes:
            topic = reader.string()
            return string(topic) + array(reader.many(lambda: partition(topic)))

        return (struct.pack(">i", 0) if version else b"") + array(reader.many(one))


ANSWERS = {PRODUCE: Kafka._produce, FETCH: Kafka._fetch, OFFSETS: Kafka._offsets, METADATA: Kafka._metadata,
           VERSIONS: Kafka._versions}
