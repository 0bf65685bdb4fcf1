"""Plugins that let requests pass or not, and mark them."""

import re

from rig import Plugin, Row

UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
COUNTER = re.compile(r"^[0-9a-f-]{36}#\d+$")
TRACKER = re.compile(r"^\d+\.\d+\.\d+\.\d+-\d+-\d+-\d+-\d+-\d+(\.\d+)?$")
ID = "Kong-Request-ID"


def same_as_seen(rig, answer):
    assert answer.field(ID) == rig.upstream.box.all[-1]["headers"]["kong-request-id"], answer


def counts_up(rig, answer):
    number = int(answer.field(ID).split("#")[1])
    assert number > rig.kept.get("number", 0), answer
    rig.kept["number"] = number


Plugin("correlation-id", {
    "counter": [("correlation-id", {"echo_downstream": True})],
    "uuid": [("correlation-id", {"generator": "uuid", "echo_downstream": True})],
    "tracker": [("correlation-id", {"generator": "tracker", "header_name": "Trace-Id"})],
    "before": [("correlation-id", {"generator": "uuid", "echo_downstream": True}), ("request-termination", {})],
    "behind": [("request-termination", {}), ("correlation-id", {"generator": "uuid", "echo_downstream": True})],
}, [
    Row("the default is a counter", "/counter", up={"headers.kong-request-id": COUNTER}, then=counts_up),
    Row("which counts", "/counter", has={ID: COUNTER}, then=counts_up),
    Row("uuid", "/uuid", up={"headers.kong-request-id": UUID}, then=same_as_seen),
    Row("tracker, under another name", "/tracker", has={"Trace-Id": None}, up={"headers.trace-id": TRACKER}),
    Row("what the client says is kept", "/uuid", {ID: "foo"}, has={ID: "foo"}, up={"headers.kong-request-id": "foo"}),
    Row("an empty one is replaced", "/uuid", {ID: ""}, has={ID: UUID}, up={"headers.kong-request-id": UUID}),
    Row("an answer from another plugin has it", "/before", status=503, has={ID: UUID}),
    Row("also where that stood first", "/behind", status=503, has={ID: UUID}),
    Row("with the client's own", "/behind", {ID: "foo"}, status=503, has={ID: "foo"}),
])

PREFLIGHT = {"Origin": "origin1.com", "Access-Control-Request-Method": "GET"}
METHODS = "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT"
ALLOW = "access-control-allow-origin"


def cors(**config):
    return [("cors", config)]


Plugin("cors", {
    "plain": cors(),
    "full": cors(origins=["example.com"], methods=["GET"], headers=["origin", "type", "accepts"],
                 exposed_headers=["x-auth-token"], max_age=23, credentials=True),
    "continue": cors(origins=["example.com"], preflight_continue=True),
    "credentials": cors(credentials=True),
    "many": cors(origins=["http://my-site.com", "http://my-other-site.com:81", r".*\.?(?:a|b)\.test"]),
    "keyed": cors() + [("key-auth", {"run_on_preflight": False})],
    "ended": cors() + [("request-termination", {"status_code": 418})],
    "private": cors(private_network=True),
    "vary": cors(origins=["a.com", "b.com"]),
}, [
    Row("a preflight is answered", "OPTIONS /plain", PREFLIGHT, body="", up=False, has={
        "content-length": "0", ALLOW: "*", "access-control-allow-methods": METHODS,
        "access-control-allow-headers": None, "access-control-expose-headers": None,
        "access-control-allow-credentials": None, "access-control-max-age": None, "vary": None}),
    Row("the headers that it asks for are granted", "OPTIONS /plain",
        {**PREFLIGHT, "Access-Control-Request-Headers": "origin,accepts"},
        has={"access-control-allow-headers": "origin,accepts"}),
    Row("all that was said", "OPTIONS /full", PREFLIGHT, body="", has={
        ALLOW: "example.com", "access-control-allow-methods": "GET", "vary": "Origin",
        "access-control-allow-headers": "origin,type,accepts", "access-control-expose-headers": None,
        "access-control-allow-credentials": "true", "access-control-max-age": "23"}),
    Row("a preflight may go on", "OPTIONS /continue?status=201", PREFLIGHT, status=201, up={"method": "OPTIONS"},
        has={ALLOW: None, "access-control-allow-methods": None}),
    Row("OPTIONS without an origin is no preflight", "OPTIONS /plain", {}, up={"method": "OPTIONS"}, has={
        ALLOW: "*", "access-control-allow-methods": None}),
    Row("credentials name the origin", "OPTIONS /credentials", {**PREFLIGHT, "Origin": "http://a.test"},
        has={ALLOW: "http://a.test", "access-control-allow-credentials": "true"}),
    Row("a response has its origin", "/plain", {"Origin": "origin1.com"}, up={}, has={
        ALLOW: "*", "access-control-allow-methods": None, "vary": None}),
    Row("also without one", "/plain", has={ALLOW: "*"}),
    Row("and what may be seen", "/full", {"Origin": "example.com"}, has={
        ALLOW: "example.com", "access-control-expose-headers": "x-auth-token",
        "access-control-allow-credentials": "true", "vary": "Origin"}),
    Row("one of many", "/many", {"Origin": "http://my-site.com"}, has={ALLOW: "http://my-site.com", "vary": "Origin"}),
    Row("its default port is none", "/many", {"Origin": "http://my-site.com:80"}, has={ALLOW: "http://my-site.com"}),
    Row("another port is another", "/many", {"Origin": "http://my-other-site.com"}, has={ALLOW: None}),
    Row("an expression", "/many", {"Origin": "http://x.b.test"}, has={ALLOW: "http://x.b.test"}),
    Row("is anchored", "/many", {"Origin": "http://x.b.test.evil"}, has={ALLOW: None}),
    Row("another plugin's answer has it", "/keyed", {"Origin": "x.com"}, status=401, has={ALLOW: "*"}),
    Row("a preflight needs no key", "OPTIONS /keyed", PREFLIGHT, up=False, has={ALLOW: "*"}),
    Row("an answer behind it", "/ended", {"Origin": "x.com"}, status=418, has={ALLOW: "*"}),
    Row("private networks", "OPTIONS /private", {**PREFLIGHT, "Access-Control-Request-Private-Network": "true"},
        has={"access-control-allow-private-network": "true"}),
    Row("the upstream's vary stays", "/vary?header=vary:Accept", {"Origin": "a.com"},
        has={"vary": re.compile("Accept.*Origin|Origin.*Accept"), ALLOW: "a.com"}),
])


def ip(**config):
    return [("ip-restriction", config)]


NOT_ALLOWED = {"message": "IP address not allowed: 127.0.0.1"}

Plugin("ip-restriction", {
    "denied": ip(deny=["127.0.0.1", "127.0.0.2"]),
    "passed": ip(deny=["10.0.0.0/8"]),
    "range": ip(deny=["127.0.0.0/8"]),
    "allowed": ip(allow=["127.0.0.1"]),
    "others": ip(allow=["10.1.2.3", "::1"]),
    "both": ip(allow=["127.0.0.0/24"], deny=["127.0.0.1"]),
    "worded": ip(deny=["127.0.0.1"], status=401, message="Forbidden"),
}, [
    Row("a denied address", "/denied", status=403, up=False, json={"message": NOT_ALLOWED["message"]}),
    Row("another passes", "/passed", up={}),
    Row("a denied range", "/range", status=403, up=False),
    Row("an allowed address", "/allowed", up={}),
    Row("one that is not", "/others", status=403, up=False),
    Row("deny goes before allow", "/both", status=403, up=False),
    Row("status and message of one's own", "/worded", status=401, json={"message": "Forbidden"}, up=False),
    Row("X-Forwarded-For of a peer that is not trusted", "/allowed", {"X-Forwarded-For": "10.0.0.1"}, up={}),
])


def agent(name):
    return {"User-Agent": name}


Plugin("bot-detection", {
    "plain": [("bot-detection", {})],
    "lists": [("bot-detection", {"deny": ["mycustomagent"], "allow": ["facebookexternalhit"]})],
}, [
    Row("a browser", "/plain", agent("Mozilla/5.0 (Windows NT 6.1) Chrome/41.0.2228.0 Safari/537.36"), up={}),
    Row("nobody", "/plain", up={}),
    Row("a bot", "/plain", agent("Googlebot/2.1 (+http://www.google.com/bot.html)"), status=403, up=False,
        json={"message": "Forbidden"}),
    Row("and again, as remembered", "/plain", agent("Googlebot/2.1 (+http://www.google.com/bot.html)"), status=403),
    Row("another", "/plain", agent("facebookexternalhit/1.0"), status=403),
    Row("a denied one", "/lists", agent("mycustomagent/1.0"), status=403),
    Row("an allowed bot", "/lists", agent("facebookexternalhit/1.0"), up={}),
    Row("two agents", "/plain", {"User-Agent": ["a", "b"]}, status=400,
        json={"message": "Only one User-Agent header allowed"}),
])


def end(**config):
    return [("request-termination", config)]


Plugin("request-termination", {
    "plain": end(),
    "code": end(status_code=404),
    "message": end(status_code=406, message="Invalid"),
    "body": end(status_code=451, content_type="text/html", body="<body><h1>Not available</h1></body>"),
    "json": end(status_code=451, content_type="application/json", body='{"code": 1}'),
    "nothing": end(status_code=204),
    "trigger": end(trigger="gimme", status_code=403),
    "echo": end(echo=True, trigger="gimme", status_code=404),
}, [
    Row("the default", "/plain", status=503, up=False, json={"message": "Service unavailable"},
        has={"content-type": "application/json; charset=utf-8"}),
    Row("a status", "/code", status=404, json={"message": "Not found"}),
    Row("a message", "/message", status=406, json={"message": "Invalid"}),
    Row("a body of one's own", "/body", status=451, has={"content-type": "text/html"},
        body="<body><h1>Not available</h1></body>"),
    Row("a body of JSON", "/json", status=451, has={"content-type": "application/json"}, json={"code": 1}),
    Row("a status without a message", "/nothing", status=204, body=""),
    Row("HEAD has none either", "HEAD /plain", status=503, body=""),
    Row("untriggered", "/trigger", up={}),
    Row("triggered by a header", "/trigger", {"gimme": "x"}, status=403, up=False),
    Row("triggered by the query", "/trigger?gimme", status=403, up=False),
    Row("an echo", "POST /echo?gimme=yes&b=2", {"X-One": "1", "Content-Type": "application/json"}, '{"a": 1}', 404, up=False,
        json={"message": "Not found", "request.method": "POST", "request.path": "/echo", "request.query.b": "2",
              "request.headers.x-one": "1", "request.body.a": 1, "request.raw_body": '{"a": 1}',
              "request.scheme": "http", "matched_route.name": "echo", "matched_service.name": "up",
              "request.headers.content-length": "8", "kong.worker_pid": lambda pid: pid > 1}),
])


def size(most, **config):
    return [("request-size-limiting", {"allowed_payload_size": most, **config})]


TOO_LARGE = {"message": "Request size limit exceeded"}

Plugin("request-size-limiting", {
    "one": size(1),
    "bytes": size(10, size_unit="bytes"),
    "kilo": size(1, size_unit="kilobytes", require_content_length=True),
}, [
    Row("less", "POST /one", {}, "a" * (1 << 20), up={"body": "a" * (1 << 20)}),
    Row("more", "POST /one", {}, "a" * ((1 << 20) + 1), 413, json=TOO_LARGE, up=False),
    Row("more, and asked before", "POST /bytes", {"Expect": "100-continue"}, "a" * 11, 417, json=TOO_LARGE, up=False),
    Row("ten", "POST /bytes", {}, "a" * 10, up={"body": "a" * 10}),
    Row("eleven", "POST /bytes", {}, "a" * 11, 413, json=TOO_LARGE, up=False),
    Row("in chunks", "POST /bytes", {}, [b"aaaaa", b"bbbbb"], up={"body": "aaaaabbbbb"}),
    Row("more in chunks", "POST /bytes", {}, [b"aaaaa", b"bbbbb", b"c"], 413, json=TOO_LARGE, up=False),
    Row("no length", "GET /kilo", status=411, json={"message": "A valid Content-Length header is required"}, up=False),
    Row("chunks need none", "POST /kilo", {}, [b"a" * 1024], up={}),
    Row("a kilobyte and one", "POST /kilo", {}, "a" * 1025, 413, up=False),
])
