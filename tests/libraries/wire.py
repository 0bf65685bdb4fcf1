"""Servers over TCP and UDP, a thread a connection, and the relay that dies in the middle of a reply."""
from __future__ import annotations

import socket
import socketserver
import ssl
import struct
import threading


def exactly(sock: socket.socket, count: int) -> bytes:
    """So many bytes; EOFError when the peer closes before."""
    out = b""
    while len(out) < count:
        more = sock.recv(count - len(out))
        if not more:
            raise EOFError
        out += more
    return out


class Peer:
    """A server on a free port: `serve` has one connection, and may raise EOFError or OSError at its end."""

    def __init__(self, context: ssl.SSLContext | None = None):
        peer = self
        self.connections = 0

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                peer.connections += 1
                sock = self.request
                try:
                    if context:
                        sock = context.wrap_socket(sock, server_side=True)
                    peer.serve(sock)
                except (EOFError, OSError):
                    pass
                finally:
                    # A TLS socket has taken the descriptor over.
                    sock.close()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, sock: socket.socket):
        raise NotImplementedError

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Relay(Peer):
    """Passes on what a server says, but so many bytes only; then it closes, resets or stalls."""

    def __init__(self, to: int, ending: str, count: int):
        self.to, self.ending, self.count = to, ending, count
        super().__init__()

    def serve(self, sock: socket.socket):
        server = socket.create_connection(("127.0.0.1", self.to))
        forward = threading.Thread(target=self._forward, args=(sock, server), daemon=True)
        forward.start()
        left = self.count
        with server:
            while left:
                data = server.recv(left)
                if not data:
                    return
                sock.sendall(data)
                left -= len(data)
            if self.ending == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            while self.ending == "stall" and server.recv(4096):
                pass
            # While the other thread reads, a close would be none.
            sock.shutdown(socket.SHUT_RD)
            forward.join()

    @staticmethod
    def _forward(sock: socket.socket, server: socket.socket):
        try:
            while data := sock.recv(4096):
                server.sendall(data)
        except OSError:
            pass
        finally:
            # What the gateway closes ends a stall.
            try:
                server.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Control(Peer):
    """What scripts ask of this process: a line with words, answered by a line."""

    def __init__(self):
        self.words = {}
        super().__init__()

    def serve(self, sock: socket.socket):
        with sock.makefile("rw", encoding="utf-8", newline="\n") as stream:
            for line in stream:
                word, *rest = line.split()
                try:
                    answer = self.words[word](*rest)
                except Exception as failure:  # the script's check fails with it
                    answer = f"failed: {failure!r}"
                stream.write(f"{'done' if answer is None else answer}\n")
                stream.flush()
