"""Plugins that ask who it is."""

import base64
import hashlib
import hmac
import json
import re
import subprocess
import time
from email.utils import formatdate

from rig import Plugin, Row

UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f-]{27}$")
ALICE = {
    "headers.x-consumer-username": "alice", "headers.x-consumer-custom-id": "42",
    "headers.x-consumer-id": UUID, "headers.x-anonymous-consumer": None,
}
NOBODY = {
    "headers.x-consumer-username": "nobody", "headers.x-anonymous-consumer": "true",
    "headers.x-credential-identifier": None, "headers.x-consumer-custom-id": None,
}
CONSUMERS = """
[[consumers]]
username = "alice"
custom_id = "42"
keys = ["kong", "k&y+2"]
basic = [{ username = "al", password = "pass:word" }]
hmac = [{ username = "bob", secret = "secret" }]
jwt = [{ key = "issuer", secret = "s3cret" }, { key = "long", secret = "s3cret", algorithm = "HS512" }RSA]
groups = ["admins", "staff"]
[[consumers]]
username = "eve"
keys = ["evil"]
[[consumers]]
username = "nobody"
"""
RSA = ', { key = "rsa", algorithm = "RS256", rsa_public_key = "${file:p.pem}" }'
WITH_RSA, CONSUMERS = CONSUMERS.replace("RSA", RSA), CONSUMERS.replace("RSA", "")
UNAUTHORIZED = {"message": "Unauthorized"}


def key(**config):
    return [("key-auth", config)]


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NO_KEY = {"message": "No API key found in request"}

Plugin("key-auth", {
    "plain": key(),
    "hidden": key(hide_credentials=True),
    "named": key(key_names=["x-a", "x-b"]),
    "body": key(key_in_body=True),
    "bodyhidden": key(key_in_body=True, hide_credentials=True),
    "query": key(key_in_header=False),
    "anonymous": key(anonymous="nobody"),
    "realm": key(realm="test-realm"),
}, [
    Row("no key", "/plain", status=401, json=NO_KEY, has={"www-authenticate": "Key"}, up=False),
    Row("a realm", "/realm", status=401, has={"www-authenticate": 'Key realm="test-realm"'}),
    Row("an empty key", "/plain?apikey=", status=401, json=NO_KEY),
    Row("a wrong key", "/plain?apikey=123", status=401, json={"message": "Unauthorized"}, up=False),
    Row("a key in the query", "/plain?apikey=kong", up={**ALICE, "headers.x-credential-identifier": UUID, "query": "apikey=kong"}),
    Row("an escaped key", "/plain?apikey=k%26y%2b2", up=ALICE),
    Row("a key in a header", "/plain", {"apikey": "kong"}, up={**ALICE, "headers.apikey": "kong"}),
    Row("two keys", "/plain?apikey=kong&apikey=kong", status=401, json={"message": "Duplicate API key found"}),
    Row("two keys in headers", "/plain", {"apikey": ["kong", "kong"]}, status=401),
    Row("the key is hidden in the query", "/hidden?apikey=kong&b=2", up={**ALICE, "query": "b=2"}),
    Row("and in a header", "/hidden", {"apikey": "kong"}, up={**ALICE, "headers.apikey": None}),
    Row("other names", "/named", {"X-B": "kong"}, up=ALICE),
    Row("and not the usual", "/named?apikey=kong", status=401),
    Row("a key in a form", "POST /body", FORM, "apikey=kong&b=2", up={**ALICE, "body": "apikey=kong&b=2"}),
    Row("a key in JSON", "POST /body", {"Content-Type": "application/json"}, '{"apikey":"kong"}', up=ALICE),
    Row("a key in several parts", "POST /body", {"Content-Type": "multipart/form-data; boundary=xx"},
        '--xx\r\nContent-Disposition: form-data; name="apikey"\r\n\r\nkong\r\n--xx--\r\n', up=ALICE),
    Row("a wrong key in a form", "POST /body", FORM, "apikey=123", 401),
    Row("hidden in a form", "POST /bodyhidden", FORM, "apikey=kong&b=2", up={**ALICE, "body": "b=2"}),
    Row("hidden in JSON", "POST /bodyhidden", {"Content-Type": "application/json"}, '{"apikey":"kong","b":2}',
        up={**ALICE, "body": '{"b":2}'}),
    Row("a header that is not looked at", "/query", {"apikey": "kong"}, status=401),
    Row("anonymous", "/anonymous", up=NOBODY),
    Row("anonymous with a key", "/anonymous?apikey=kong", up=ALICE),
    Row("what a client says of itself is taken away", "/anonymous", {"X-Consumer-Custom-Id": "1", "X-Credential-Identifier": "x"}, up=NOBODY),
    Row("preflights need a key, too", "OPTIONS /plain", status=401),
], CONSUMERS)


def basic(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


REALM = {"www-authenticate": 'Basic realm="service"'}

Plugin("basic-auth", {
    "plain": [("basic-auth", {})],
    "hidden": [("basic-auth", {"hide_credentials": True})],
    "anonymous": [("basic-auth", {"anonymous": "nobody"})],
    "realm": [("basic-auth", {"realm": "mine"})],
    "either": [("basic-auth", {"anonymous": "nobody"}), ("key-auth", {"anonymous": "nobody"})],
}, [
    Row("nothing", "/plain", status=401, json=UNAUTHORIZED, has=REALM, up=False),
    Row("a realm", "/realm", status=401, has={"www-authenticate": 'Basic realm="mine"'}),
    Row("no base64", "/plain", {"Authorization": "foobar"}, status=401, has=REALM),
    Row("a wrong password", "/plain", basic("al:wrong"), status=401, json=UNAUTHORIZED, has=REALM, up=False),
    Row("a wrong name", "/plain", basic("alice:pass:word"), status=401),
    Row("right", "/plain", basic("al:pass:word"), up={**ALICE, "headers.x-credential-identifier": "al",
        "headers.authorization": basic("al:pass:word")["Authorization"]}),
    Row("for a proxy", "/plain", {"Proxy-Authorization": basic("al:pass:word")["Authorization"]}, up=ALICE),
    Row("the proxy's wrong, the other right", "/plain",
        {"Proxy-Authorization": "hello", **basic("al:pass:word")}, up=ALICE),
    Row("hidden", "/hidden", basic("al:pass:word"), up={**ALICE, "headers.authorization": None}),
    Row("anonymous", "/anonymous", up=NOBODY),
    Row("anonymous, and wrong", "/anonymous", basic("al:no"), up=NOBODY),
    Row("either: a password", "/either", basic("al:pass:word"), up=ALICE),
    Row("either: a key", "/either", {"apikey": "kong"}, up=ALICE),
    Row("either: none", "/either", up=NOBODY),
], CONSUMERS)


def signed(names, line="GET /plain HTTP/1.1", secret="secret", algorithm="hmac-sha256", when=0, user="bob",
           field="Authorization", body=None, date="Date", **more):
    """Headers with a signature over those of `names`."""
    headers = {date: formatdate(time.time() + when, usegmt=True), **more}
    if body is not None:
        headers["Digest"] = "SHA-256=" + base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
    lines = []
    for name in names.split():
        if name == "request-line":
            lines.append(line)
        elif name == "@request-target":
            method, path, _ = line.split()
            lines.append(f"{name}: {method.lower()} {path}")
        else:
            value = next(v for k, v in headers.items() if k.lower() == name)
            lines.append(f"{name}: {value}")
    made = hmac.new(secret.encode(), "\n".join(lines).encode(), algorithm.split("-")[1]).digest()
    headers[field] = (f'hmac username="{user}",algorithm="{algorithm}",headers="{names}",'
                      f'signature="{base64.b64encode(made).decode()}"')
    return headers


NOT_SAME = {"message": "HMAC signature does not match"}
NOT_VALID = {"message": "HMAC signature cannot be verified"}

Plugin("hmac-auth", {
    "plain": [("hmac-auth", {})],
    "hidden": [("hmac-auth", {"hide_credentials": True})],
    "body": [("hmac-auth", {"validate_request_body": True})],
    "enforced": [("hmac-auth", {"enforce_headers": ["date", "request-line"], "algorithms": ["hmac-sha512"]})],
    "anonymous": [("hmac-auth", {"anonymous": "nobody"})],
}, [
    Row("nothing", "/plain", status=401, json=UNAUTHORIZED, has={"www-authenticate": "hmac"}, up=False),
    Row("no date", "/plain", {"Authorization": "hmac x"}, status=401, up=False,
        json={"message": re.compile("a valid date or x-date header is required")}),
    Row("an old date", "/plain", signed("date", when=-400), status=401,
        json={"message": re.compile("a valid date or x-date header is required")}),
    Row("no signature", "/plain", {"Date": formatdate(usegmt=True), "Authorization": "hmac x"}, status=401, json=NOT_VALID),
    Row("another secret", "/plain", signed("date", secret="other"), status=401, json=NOT_SAME, up=False),
    Row("nobody we know", "/plain", signed("date", user="carol"), status=401, json=NOT_VALID),
    Row("right", "/plain", signed("date"), up={**ALICE, "headers.x-credential-identifier": "bob"}),
    Row("sha1", "/plain", signed("date", algorithm="hmac-sha1"), up=ALICE),
    Row("sha384", "/plain", signed("date", algorithm="hmac-sha384"), up=ALICE),
    Row("sha512", "/plain", signed("date", algorithm="hmac-sha512"), up=ALICE),
    Row("for a proxy", "/plain", signed("date", field="Proxy-Authorization"), up=ALICE),
    Row("x-date", "/plain", signed("x-date", date="X-Date"), up=ALICE),
    Row("the request line", "/plain?a=1", signed("date request-line", "GET /plain?a=1 HTTP/1.1"), up=ALICE),
    Row("the request's target", "/plain?a=1", signed("date @request-target", "GET /plain?a=1 HTTP/1.1"), up=ALICE),
    Row("another request", "/plain?a=2", signed("date request-line", "GET /plain?a=1 HTTP/1.1"), status=401, json=NOT_SAME),
    Row("a header of one's own", "/plain", signed("date x-mine", **{"X-Mine": "mine"}), up=ALICE),
    Row("which was changed", "/plain", {**signed("date x-mine", **{"X-Mine": "mine"}), "X-Mine": "yours"}, status=401, json=NOT_SAME),
    Row("hidden", "/hidden", signed("date"), up={**ALICE, "headers.authorization": None}),
    Row("a body with its digest", "POST /body", signed("date digest", body="abc"), "abc", up={**ALICE, "body": "abc"}),
    Row("another body", "POST /body", signed("date digest", body="abc"), "abd", 401, json=NOT_SAME, up=False),
    Row("no digest", "POST /body", signed("date"), "abc", 401, json=NOT_SAME),
    Row("no digest of nothing", "GET /body", signed("date"), up=ALICE),
    Row("what must be signed is not", "/enforced", signed("date", algorithm="hmac-sha512"), status=401, json=NOT_VALID),
    Row("an algorithm that is not taken", "/enforced", signed("date request-line", "GET /enforced HTTP/1.1"), status=401, json=NOT_VALID),
    Row("what must be signed is", "/enforced", signed("date request-line", "GET /enforced HTTP/1.1", algorithm="hmac-sha512"), up=ALICE),
    Row("anonymous", "/anonymous", up=NOBODY),
], CONSUMERS)


def coded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(claims, secret="s3cret", algorithm="HS256", **header):
    head = coded(json.dumps({"typ": "JWT", "alg": algorithm, **header}).encode())
    signed = f"{head}.{coded(json.dumps(claims).encode())}"
    made = hmac.new(secret.encode(), signed.encode(), f"sha{algorithm[2:]}").digest()
    return f"{signed}.{coded(made)}"


def bearer(*args, **more):
    return {"Authorization": "Bearer " + token(*args, **more)}


def rsa_key(rig):
    """A key for RS256, made by openssl."""
    folder = rig.root
    for words in (["genrsa", "-out", "k.pem", "2048"], ["rsa", "-in", "k.pem", "-pubout", "-out", "p.pem"]):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def rsa_signed(rig):
    head, claims = coded(b'{"typ":"JWT","alg":"RS256"}'), coded(b'{"iss":"rsa"}')
    made = subprocess.run(["openssl", "dgst", "-sha256", "-sign", "k.pem"], cwd=rig.root,
                          input=f"{head}.{claims}".encode(), check=True, capture_output=True).stdout
    return f"Bearer {head}.{claims}.{coded(made)}"


def rsa_spoilt(rig):
    text = rsa_signed(rig)
    return text[:-10] + ("A" if text[-10] != "A" else "B") + text[-9:]


RIGHT = {"iss": "issuer"}
IN_AN_HOUR, AN_HOUR_AGO = int(time.time()) + 3600, int(time.time()) - 3600
INVALID = {"www-authenticate": 'Bearer error="invalid_token"'}

Plugin("jwt", {
    "plain": [("jwt", {})],
    "names": [("jwt", {"uri_param_names": ["token"], "cookie_names": ["silly", "crumble"], "header_names": ["X-Token"]})],
    "claims": [("jwt", {"claims_to_verify": ["nbf", "exp"], "maximum_expiration": 7200})],
    "kid": [("jwt", {"key_claim_name": "kid"})],
    "anonymous": [("jwt", {"anonymous": "nobody"})],
    "preflight": [("jwt", {"run_on_preflight": False})],
}, [
    Row("nothing", "/plain", status=401, json=UNAUTHORIZED, has={"www-authenticate": "Bearer"}, up=False),
    Row("no token", "/plain", {"Authorization": "Bearer abc"}, status=401, has=INVALID,
        json={"message": "Bad token; invalid JSON"}),
    Row("no issuer", "/plain", bearer({}), status=401, json={"message": "No mandatory 'iss' in claims"}, has=INVALID),
    Row("an empty issuer", "/plain", bearer({"iss": ""}), status=401, json={"message": "Invalid 'iss' in claims"}),
    Row("another issuer", "/plain", bearer({"iss": "x"}), status=401, json={"message": "No credentials found for given 'iss'"}),
    Row("another algorithm", "/plain", bearer(RIGHT, algorithm="HS384"), status=401, json={"message": "Invalid algorithm"}),
    Row("another secret", "/plain", bearer(RIGHT, "x"), status=401, json={"message": "Invalid signature"}, has=INVALID, up=False),
    Row("right", "/plain", bearer(RIGHT), up={**ALICE, "headers.x-credential-identifier": "issuer"}),
    Row("HS512", "/plain", bearer({"iss": "long"}, algorithm="HS512"), up=ALICE),
    Row("RS256", "/plain", {"Authorization": rsa_signed}, up={**ALICE, "headers.x-credential-identifier": "rsa"}),
    Row("RS256, spoilt", "/plain", {"Authorization": rsa_spoilt}, status=401, json={"message": "Invalid signature"}),
    Row("in the query", "/plain?jwt=" + token(RIGHT), up=ALICE),
    Row("in a cookie", "/names", {"Cookie": "silly=" + token(RIGHT) + "; crumble=" + token(RIGHT)}, up=ALICE),
    Row("in a header of another name", "/names", {"X-Token": "bearer " + token(RIGHT)}, up=ALICE),
    Row("two", "/plain?jwt=" + token({"iss": "long"}), bearer(RIGHT), status=401, json={"message": "Multiple tokens provided"}),
    Row("the key's name in the header", "/kid", bearer({}, kid="issuer"), up=ALICE),
    Row("claims", "/claims", bearer({**RIGHT, "exp": IN_AN_HOUR, "nbf": AN_HOUR_AGO}), up=ALICE),
    Row("too late", "/claims", bearer({**RIGHT, "exp": AN_HOUR_AGO, "nbf": AN_HOUR_AGO}), status=401, json={"exp": "token expired"}),
    Row("too early", "/claims", bearer({**RIGHT, "exp": IN_AN_HOUR, "nbf": IN_AN_HOUR}), status=401, json={"nbf": "token not valid yet"}),
    Row("too long", "/claims", bearer({**RIGHT, "exp": IN_AN_HOUR + 7200, "nbf": AN_HOUR_AGO}), status=401,
        json={"exp": "exceeds maximum allowed expiration"}),
    Row("anonymous", "/anonymous", bearer({"iss": "x"}), up=NOBODY),
    Row("preflights need none", "OPTIONS /preflight", up={}),
], WITH_RSA, setup=rsa_key)

Plugin("acl", {
    "allow": key() + [("acl", {"allow": ["admins", "other"]})],
    "deny": key() + [("acl", {"deny": ["admins"]})],
    "hidden": key() + [("acl", {"allow": ["staff"], "hide_groups_header": True})],
    "open": [("acl", {"allow": ["admins"]})],
    "others": key() + [("acl", {"allow": ["others"]})],
    "anonymous": key(anonymous="nobody") + [("acl", {"allow": ["admins"]})],
}, [
    Row("nobody is known", "/open", status=401, json=UNAUTHORIZED, up=False),
    Row("a member", "/allow?apikey=kong", up={**ALICE, "headers.x-consumer-groups": re.compile("^(admins, staff|staff, admins)$")}),
    Row("no member of any", "/allow?apikey=evil", status=403, json={"message": "You cannot consume this service"}, up=False),
    Row("of other groups", "/others?apikey=kong", status=403, up=False),
    Row("a denied group", "/deny?apikey=kong", status=403, up=False),
    Row("another", "/deny?apikey=evil", up={"headers.x-consumer-username": "eve", "headers.x-consumer-groups": None}),
    Row("hidden", "/hidden?apikey=kong", up={**ALICE, "headers.x-consumer-groups": None}),
    Row("a client can't say so itself", "/hidden?apikey=kong", {"X-Consumer-Groups": "x"}, up=ALICE),
    Row("without a key", "/allow", status=401),
    Row("anonymous is in none", "/anonymous", status=401),
], CONSUMERS)
