"""A small HTTP/3 client: h3.py URL FILE. It shows the example's key and trusts its certificate."""
import asyncio
import pathlib
import sys
import urllib.parse

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated


class Client(QuicConnectionProtocol):
    """One request on one connection."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.status, self.body = "", bytearray()
        self.done = asyncio.get_running_loop().create_future()

    def get(self, url: urllib.parse.ParseResult) -> asyncio.Future:
        path = url.path or "/"
        stream = self._quic.get_next_available_stream_id()
        self.http.send_headers(
            stream,
            [
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":authority", url.netloc.encode()),
                (b":path", (f"{path}?{url.query}" if url.query else path).encode()),
                (b"x-api-key", b"demo"),
            ],
            end_stream=True,
        )
        self.transmit()
        return self.done

    def quic_event_received(self, event) -> None:
        if isinstance(event, ConnectionTerminated) and not self.done.done():
            self.done.set_exception(ConnectionError(event.reason_phrase or str(event.error_code)))
        for part in self.http.handle_event(event):
            if isinstance(part, HeadersReceived):
                self.status = dict(part.headers).get(b":status", b"").decode() or self.status
            elif isinstance(part, DataReceived):
                self.body += part.data
            if getattr(part, "stream_ended", False) and not self.done.done():
                self.done.set_result(None)


async def main(address: str, file: str) -> int:
    url = urllib.parse.urlparse(address)
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, is_client=True)
    configuration.load_verify_locations(str(pathlib.Path(__file__).parent / "tls/localhost.pem"))
    configuration.server_name = url.hostname
    # The example listens on IPv4 only, and aioquic does not try a name's second address.
    host = "127.0.0.1" if url.hostname == "localhost" else url.hostname
    async with connect(
        host, url.port or 443, configuration=configuration, create_protocol=Client
    ) as client:
        await asyncio.wait_for(client.get(url), 20)
    pathlib.Path(file).write_bytes(client.body)
    print(f"3 {client.status} {len(client.body)} bytes")
    return 0 if client.status == "200" else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(sys.argv[1], sys.argv[2])))
    except ConnectionError as error:
        sys.exit(f"h3: {error or 'no connection'}")
