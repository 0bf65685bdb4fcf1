"""An HTTP/1.1 server for the clients among the libraries, and an OpenID provider."""
from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
import time
import urllib.parse
import zlib

from certificates import Certificates, openssl


class Web:
    """`/echo`, `/chunked`, `/slow` ...; `context` makes it HTTPS."""

    def __init__(self, context: ssl.SSLContext | None = None):
        web = self
        self.status, self.connections, self.seen = 200, 0, 0
        self.words = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def setup(self):
                web.connections += 1
                super().setup()

            def log_message(self, *_):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def answer(self):
                web.seen += 1
                length = int(self.headers.get("content-length") or 0)
                body = b"".join(self.chunks()) if "transfer-encoding" in self.headers else self.rfile.read(length)
                web.route(self, urllib.parse.urlsplit(self.path), body)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

            def chunks(self):
                while size := int(self.rfile.readline(), 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()

            def say(self, status: int, body: bytes = b"", **fields: str):
                self.send_response(status)
                for name, text in fields.items():
                    self.send_header(name.replace("_", "-"), text)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def json(self, value, status: int = 200):
                self.say(status, json.dumps(value).encode(), content_type="application/json")

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def get_request(self):
                sock, address = super().get_request()
                if context:
                    # The handshake is the connection's own thread's.
                    sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                return sock, address

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def route(self, to, url, body: bytes):
        path = url.path
        if path == "/echo":
            fields = {name.lower(): text for name, text in to.headers.items()}
            certificate = getattr(to.connection, "getpeercert", dict)() or {}
            to.json({"method": to.command, "query": url.query, "body": body.decode(), "headers": fields,
                     "client": dict(part[0] for part in certificate.get("subject", ()))})
        elif path == "/control":
            word, *rest = urllib.parse.unquote(url.query).split()
            to.say(200, str(self.words[word](*rest)).encode())
        elif path == "/health":
            to.say(self.status, b"health")
        elif path == "/chunked":
            to.send_response(200)
            to.send_header("transfer-encoding", "chunked")
            to.end_headers()
            for part in (b"one,", b"two,", b"three" * 5000):
                to.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            to.wfile.write(b"0\r\n\r\n")
        elif path == "/slow":
            time.sleep(0.5)
            to.say(200, b"late")
        elif path == "/partial":
            to.send_response(200)
            to.send_header("content-length", "1000")
            to.end_headers()
            to.wfile.write(b"x" * 10)
            to.close_connection = True
        elif path == "/gzip":
            packer = zlib.compressobj(wbits=31)
            to.say(200, packer.compress(b"packed" * 1000) + packer.flush(), content_encoding="gzip")
        elif path == "/until-close":
            to.send_response(200)
            to.send_header("connection", "close")
            to.end_headers()
            to.wfile.write(b"all of it")
        elif path == "/twice":
            to.send_response(200)
            for text in ("a=1", "b=2"):
                to.send_header("set-cookie", text)
            to.send_header("content-length", "0")
            to.end_headers()
        elif path == "/nothing":
            to.say(204)
        else:
            to.say(404, b"nothing here")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider(Web):
    """An OpenID provider: whoever asks is signed in as "ada" at once."""

    def __init__(self, certificates: Certificates):
        self.key = certificates.path("rsa.key")
        modulus = openssl("rsa", "-in", self.key, "-noout", "-modulus").decode().strip().split("=")[1]
        self.jwk = {"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "e": "AQAB",
                    "n": b64(bytes.fromhex(modulus))}
        self.nonces: dict[str, str] = {}
        self.refreshed = 0
        super().__init__()
        self.issuer = f"http://127.0.0.1:{self.port}"

    def token(self, **claims) -> str:
        now = int(time.time())
        head = b64(json.dumps({"alg": "RS256", "kid": "k1", "typ": "JWT"}).encode())
        body = {"iss": self.issuer, "aud": "edge", "sub": "ada", "iat": now, "exp": now + 600, **claims}
        text = f"{head}.{b64(json.dumps(body).encode())}"
        return f"{text}.{b64(openssl('dgst', '-sha256', '-sign', self.key, input=text.encode()))}"

    def route(self, to, url, body: bytes):
        query = dict(urllib.parse.parse_qsl(url.query))
        form = dict(urllib.parse.parse_qsl(body.decode()))
        if url.path == "/.well-known/openid-configuration":
            ends = {"authorization": "authorize", "token": "token", "userinfo": "userinfo",
                    "introspection": "introspect", "end_session": "logout"}
            known = {f"{name}_endpoint": f"{self.issuer}/{path}" for name, path in ends.items()}
            to.json({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks", **known,
                     "id_token_signing_alg_values_supported": ["RS256"],
                     "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"]})
        elif url.path == "/authorize":
            code = f"code-{len(self.nonces)}"
            self.nonces[code] = query.get("nonce", "")
            back = urllib.parse.urlencode({"code": code, "state": query["state"]})
            to.say(302, location=f"{query['redirect_uri']}?{back}")
        elif url.path == "/token":
            if form.get("grant_type") == "refresh_token":
                self.refreshed += 1
                to.json({"access_token": f"access-{self.refreshed}", "token_type": "Bearer", "expires_in": 600})
            elif (nonce := self.nonces.pop(form.get("code", ""), None)) is None:
                to.json({"error": "invalid_grant"}, 400)
            else:
                to.json({"access_token": "access-0", "token_type": "Bearer", "expires_in": 600,
                         "refresh_token": "refresh", "id_token": self.token(nonce=nonce)})
        elif url.path == "/sign":
            to.say(200, self.token().encode())
        elif url.path == "/jwks":
            to.json({"keys": [self.jwk]})
        elif url.path == "/userinfo":
            known = to.headers.get("authorization") == "Bearer access-0"
            to.json({"sub": "ada", "email": "ada@example.test"} if known else {"error": "invalid_token"},
                    200 if known else 401)
        elif url.path == "/introspect":
            active = form.get("token") == "opaque"
            to.json({"active": active, "sub": "ada", "exp": int(time.time()) + 600} if active else {"active": False})
        else:
            super().route(to, url, body)
