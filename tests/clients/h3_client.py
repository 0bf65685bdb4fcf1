"""Asks a gateway over HTTP/3 and prints a line for each answer: IP PORT CA-FILE."""

import asyncio
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answers = {}

    async def ask(self, method, path, fields=(), body=b""):
        stream = self._quic.get_next_available_stream_id()
        head = [(b":method", method), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", path), *fields]
        self.http.send_headers(stream, head, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        done = self._loop.create_future()
        self.answers[stream] = [done, 0, b""]
        self.transmit()
        return await asyncio.wait_for(done, 20)

    def quic_event_received(self, event):
        for got in self.http.handle_event(event):
            answer = self.answers[got.stream_id]
            if isinstance(got, HeadersReceived):
                answer[1] = int(dict(got.headers)[b":status"])
            elif isinstance(got, DataReceived):
                answer[2] += got.data
            if got.stream_ended and not answer[0].done():
                answer[0].set_result((answer[1], answer[2]))


async def main(ip, port, authority):
    config = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="a.test")
    config.load_verify_locations(authority)
    async with connect(ip, int(port), configuration=config, create_protocol=Client) as client:
        status, body = await client.ask(b"GET", b"/x")
        print("get", status, body.decode())
        status, body = await client.ask(b"POST", b"/x", body=b"p" * (1 << 20))
        print("post", status, body.decode())
        # No HEAD: aioquic holds an empty body against content-length whatever was asked.
        status, body = await client.ask(b"GET", b"/files/large.bin")
        print("file", status, len(body))
        status, body = await client.ask(b"GET", b"/files/large.bin", [(b"range", b"bytes=10-14")])
        print("range", status, len(body))
        many = await asyncio.gather(*(client.ask(b"GET", b"/x") for _ in range(50)))
        print("many", sum(answer == (200, b"hello") for answer in many))


asyncio.run(main(*sys.argv[1:]))
