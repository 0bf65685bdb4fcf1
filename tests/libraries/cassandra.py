"""A node that speaks enough of CQL's native protocol (versions 3 and 4): one table of users, kept in memory."""
from __future__ import annotations

import re
import socket
import struct

from wire import Peer, exactly

ERROR, STARTUP, READY, AUTHENTICATE, QUERY, RESULT, PREPARE, EXECUTE, BATCH, AUTH_RESPONSE, AUTH_SUCCESS = (
    0x00, 0x01, 0x02, 0x03, 0x07, 0x08, 0x09, 0x0A, 0x0D, 0x0F, 0x10)
VOID, ROWS, KEYSPACE, PREPARED = 1, 2, 3, 4
INT, VARCHAR, INET = 0x09, 0x0D, 0x10
SYNTAX, UNPREPARED, PROTOCOL, CREDENTIALS = 0x2000, 0x2500, 0x000A, 0x0100
VALUES, PAGE, STATE, NAMED = 0x01, 0x04, 0x08, 0x40

COLUMNS = {"id": INT, "name": VARCHAR, "age": INT, "data_center": VARCHAR, "rpc_address": INET, "peer": INET,
           "release_version": VARCHAR, "schema_version": VARCHAR}
LOCAL = {"data_center": "dc1", "rpc_address": "127.0.0.1", "release_version": "3.11.0", "schema_version": "1"}


class Refused(Exception):
    def __init__(self, code: int, message: str):
        self.code, self.message = code, message


def string(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


def value(kind: int, given) -> bytes:
    if given is None:
        return struct.pack(">i", -1)
    data = struct.pack(">i", given) if kind == INT else socket.inet_aton(given) if kind == INET else given.encode()
    return struct.pack(">i", len(data)) + data


def columns(names: list[str]) -> bytes:
    return string("test") + string("users") + b"".join(string(n) + struct.pack(">H", COLUMNS[n]) for n in names)


class Node(Peer):
    """`highest`: the version that it speaks; `password`: of the user "app", who must sign in then."""

    def __init__(self, highest: int = 4, password: str = "", context=None):
        self.highest, self.password = highest, password
        self.users: dict[int, dict] = {}
        self.prepared: dict[bytes, str] = {}
        super().__init__(context)

    def serve(self, sock: socket.socket):
        while True:
            version, flags, stream, kind, length = struct.unpack(">BBhBi", exactly(sock, 9))
            body = Reader(exactly(sock, length))
            try:
                if version > self.highest:
                    raise Refused(PROTOCOL, f"Invalid or unsupported protocol version: {version}")
                kind, reply = self._answer(kind, body, version)
            except Refused as refused:
                kind, reply = ERROR, struct.pack(">i", refused.code) + string(refused.message)
            version = min(version, self.highest)
            sock.sendall(struct.pack(">BBhBi", 0x80 | version, 0, stream, kind, len(reply)) + reply)

    def _answer(self, kind: int, body: Reader, version: int) -> tuple[int, bytes]:
        if kind == STARTUP:
            return (AUTHENTICATE, string("PasswordAuthenticator")) if self.password else (READY, b"")
        if kind == AUTH_RESPONSE:
            if body.bytes() != f"\0app\0{self.password}".encode():
                raise Refused(CREDENTIALS, "wrong password")
            return AUTH_SUCCESS, struct.pack(">i", -1)
        if kind == QUERY:
            return RESULT, self._run(body.long_string(), *body.parameters())
        if kind == PREPARE:
            return RESULT, self._prepare(body.long_string(), version)
        if kind == EXECUTE:
            return RESULT, self._run(self._known(body.short_bytes()), *body.parameters())
        if kind == BATCH:
            body.number("B")
            for _ in range(body.number("H")):
                text = self._known(body.short_bytes()) if body.number("B") else body.long_string()
                self._run(text, [body.bytes() for _ in range(body.number("H"))])
            return RESULT, struct.pack(">i", VOID)
        raise Refused(PROTOCOL, f"no such request: {kind}")

    def _known(self, number: bytes) -> str:
        if number not in self.prepared:
            raise Refused(UNPREPARED, "not prepared")
        return self.prepared[number]

    def _prepare(self, text: str, version: int) -> bytes:
        number = b"q%d" % (len(self.prepared) + 1)
        self.prepared[number] = text
        names = re.findall(r"(\w+) = \?", text)
        if into := re.search(r"\((.*?)\) VALUES", text):
            names = into[1].replace(" ", "").split(",")
        keys = struct.pack(">iH", 1, 0) if version >= 4 else b""
        bound = struct.pack(">ii", 1, len(names)) + keys + columns(names)
        return struct.pack(">i", PREPARED) + struct.pack(">H", len(number)) + number + bound + struct.pack(">ii", 4, 0)

    def _run(self, text: str, values: list[bytes] = (), page: int = 0, state: bytes = b"") -> bytes:
        text = " ".join(text.split())
        if use := re.fullmatch(r'USE "(\w+)"', text):
            return struct.pack(">i", KEYSPACE) + string(use[1])
        if text.startswith("INSERT INTO users"):
            number, name, age = values
            number, = struct.unpack(">i", number)
            self.users[number] = {"id": number, "name": name.decode(), "age": struct.unpack(">i", age)[0]}
            return struct.pack(">i", VOID)
        found = re.fullmatch(r"SELECT (.*?) FROM (users|system\.local|system\.peers)(?: WHERE id = \?)?", text)
        if not found:
            raise Refused(SYNTAX, "line 1:0 no viable alternative")
        tables = {"users": [self.users[n] for n in sorted(self.users)], "system.local": [LOCAL], "system.peers": []}
        rows = tables[found[2]]
        if values:
            rows = [row for row in rows if row["id"] == struct.unpack(">i", values[0])[0]]
        names = ["id", "name", "age"] if found[1] == "*" else found[1].split(",")
        first = int(state or 0)
        end = first + page if page else len(rows)
        more = struct.pack(">i", len(str(end))) + str(end).encode() if end < len(rows) else b""
        out = struct.pack(">iii", ROWS, 3 if more else 1, len(names)) + more + columns(names)
        rows = rows[first:end]
        cells = b"".join(value(COLUMNS[n], row.get(n)) for row in rows for n in names)
        return out + struct.pack(">i", len(rows)) + cells


class Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, form: str) -> int:
        return struct.unpack(">" + form, self.take(struct.calcsize(">" + form)))[0]

    def bytes(self) -> bytes:
        return self.take(max(self.number("i"), 0))

    def short_bytes(self) -> bytes:
        return self.take(self.number("H"))

    def long_string(self) -> str:
        return self.bytes().decode()

    def parameters(self) -> tuple[list[bytes], int, bytes]:
        self.number("H")
        flags, values = self.number("B"), []
        if flags & VALUES:
            for _ in range(self.number("H")):
                if flags & NAMED:
                    self.short_bytes()
                values.append(self.bytes())
        page = self.number("i") if flags & PAGE else 0
        return values, page, self.bytes() if flags & STATE else b""
