"""Plugins that tell of exchanges."""

import json
import re
import time

from auth import CONSUMERS
from rig import Plugin, Row, at, fits

UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f-]{27}$")
positive = lambda number: isinstance(number, (int, float)) and number > 0


def entry_of(path, **more):
    """What Kong's specification says of an entry."""
    return {
        "request.method": "GET", "request.uri": path, "request.url": lambda url: url.endswith(path),
        "request.headers.host": re.compile("^127.0.0.1:"), "request.size": positive, "request.id": lambda i: bool(i),
        "response.status": 200, "response.size": positive, "response.headers.content-type": "application/json",
        "client_ip": "127.0.0.1", "latencies.request": lambda n: n >= 0, "latencies.kong": lambda n: n >= 0,
        "latencies.proxy": lambda n: n >= 0, "started_at": lambda n: abs(n / 1000 - time.time()) < 60,
        "route.name": path.strip("/").split("?")[0], "route.id": UUID, "service.name": "up", "service.id": UUID,
        "service.port": positive, "service.host": "127.0.0.1", "tries.0.ip": "127.0.0.1", "tries.0.port": positive,
        "source": "upstream", "workspace": UUID, "workspace_name": "default", **more,
    }


def ended(path, status, **more):
    """An entry of what never came to an upstream."""
    return entry_of(path, **{
        "response.status": status, "response.headers.content-type": "application/json; charset=utf-8",
        "source": "kong", "latencies.proxy": -1, "tries": lambda tries: not tries, **{
            "tries.0.ip": None, "tries.0.port": None}, **more})


def compare(entry, wanted):
    for path, value in wanted.items():
        if path.startswith("tries.") and not entry.get("tries"):
            assert value is None, entry
            continue
        assert fits(value, at(entry, path)), f"{path}: {json.dumps(entry)}"


def come(peer, wanted, take=json.loads):
    """The entry at a peer."""
    def check(rig, answer):
        box = getattr(rig, peer).box
        message = box.wait(lambda m: True)
        box.clear()
        compare(take(message), wanted)
    return check


def posted(wanted, **heads):
    """The entry at a server over HTTP."""
    def check(rig, answer):
        message = rig.http.box.wait(lambda m: True)
        rig.http.box.clear()
        for name, value in heads.items():
            assert fits(value, at(message, name.replace("__", ".").replace("_", "-"))), message
        compare(json.loads(message["body"]), wanted)
    return check


FIELDS = {"custom_fields_by_lua": {"new_field": "return 123", "route": "return nil"}}
CUSTOM = {"new_field": 123, "route": None, "route.name": None, "route.id": None}


def loggers(plugin, config, come, extra=(), more=(), lua="", setup=None):
    """What all loggers do."""
    def of(**own):
        return [(plugin, {**config, **own})]

    Plugin(plugin, {
        "plain": of(),
        "custom": of(**FIELDS),
        "keyed": [("key-auth", {}), *of()],
        "before": [*of(), ("request-termination", {})],
        "behind": [("request-termination", {"status_code": 418, "message": "no"}), *of()],
        "refused": [("key-auth", {}), *of()],
        "down": of(),
        "correlated": [("correlation-id", {"generator": "uuid"}), *of()],
        **dict(extra),
    }, [
        Row("an entry", "/plain", then=come(entry_of("/plain"))),
        Row("a path with a query", "/plain?a=1&b=%20", then=come(entry_of(
            "/plain?a=1&b=%20", **{"request.querystring.a": "1", "request.querystring.b": " "}))),
        Row("another status", "/plain?status=404", status=404, then=come(entry_of("/plain?status=404", **{"response.status": 404}))),
        Row("fields by Lua", "/custom", then=come({"new_field": 123, "route": None, "request.uri": "/custom"})),
        Row("a consumer", "/keyed?apikey=kong", then=come(entry_of("/keyed?apikey=kong", **{
            "consumer.username": "alice", "consumer.id": UUID, "authenticated_entity.id": UUID,
            "authenticated_entity.consumer_id": UUID}))),
        Row("secrets are not told", "/plain", {"Authorization": "Basic x", "Proxy-Authorization": "y", "X-A": "z"},
            then=come({"request.headers.authorization": "REDACTED", "request.headers.proxy-authorization": "REDACTED",
                       "request.headers.x-a": "z"})),
        Row("an answer of a plugin behind", "/before", status=503, then=come(ended("/before", 503))),
        Row("an answer of a plugin before", "/behind", status=418, then=come(ended("/behind", 418))),
        Row("a refusal of a plugin before", "/refused", status=401, then=come(ended("/refused", 401, consumer=None))),
        Row("a value of another plugin", "/correlated", then=come({"correlation_id": UUID, "request.uri": "/correlated"})),
        *more,
    ], CONSUMERS, lua=lua, setup=setup)


def tcp(wanted):
    return come("tcp", wanted)


def udp(wanted):
    return come("udp", wanted)


loggers("tcp-log", {"host": "127.0.0.1", "port": "@TCP"}, tcp)
loggers("udp-log", {"host": "127.0.0.1", "port": "@UDP"}, udp)


def lines_of(rig):
    path = rig.root / "out.log"
    return path.read_text().splitlines() if path.exists() else []


def written(wanted):
    def check(rig, answer):
        seen = rig.kept.get("lines", 0)
        for _ in range(50):
            if len(lines_of(rig)) > seen:
                break
            time.sleep(0.1)
        new = lines_of(rig)[seen:]
        assert len(new) == 1, new
        rig.kept["lines"] = seen + 1
        compare(json.loads(new[0]), wanted)
    return check


def moved(rig, answer):
    """A file that was moved away is made anew, as `reopen` says."""
    (rig.root / "out.log").rename(rig.root / "out.log.1")
    rig.kept["lines"] = 0


loggers("file-log", {"path": "@FOLDER/out.log", "reopen": True}, written, lua="ffi = true", more=[
    Row("the file goes", "/plain", then=lambda rig, answer: (written(entry_of("/plain"))(rig, answer), moved(rig, answer))),
    Row("and comes anew", "/plain", then=written(entry_of("/plain"))),
])

URL = "http://127.0.0.1:@HTTP/post_log"


def batch(rig, answer):
    """Three entries in one."""
    message = rig.http.box.wait(lambda m: True)
    rig.http.box.clear()
    assert [e["request"]["uri"] for e in json.loads(message["body"])] == ["/batch"] * 3, message


def twice(rig, answer):
    """A server that fails is asked again."""
    rig.http.box.wait(lambda m: True)
    for _ in range(60):
        if len(rig.http.box.all) == 2:
            break
        time.sleep(0.1)
    first, second = rig.http.box.all
    rig.http.answer(None)
    rig.http.box.clear()
    assert first["body"] == second["body"] and json.loads(second["body"])["request"]["uri"] == "/plain", (first, second)


def fail_once(rig, answer):
    rig.http.box.wait(lambda m: True)
    rig.http.box.clear()
    tries = []

    def script(said):
        tries.append(said)
        return (503, "text/plain", "not now") if len(tries) == 1 else None
    rig.http.answer(script)


HTTP = {"method": "POST", "path": "/post_log", "headers__content_type": re.compile("^application/json")}


def http(wanted):
    return posted(wanted, **HTTP)


loggers("http-log", {"http_endpoint": URL}, http, lua="ffi = true", extra={
    "put": [("http-log", {"http_endpoint": "http://user:pass@127.0.0.1:@HTTP/put?x", "method": "PUT",
                          "content_type": "application/json", "headers": {"X-Mine": "yes"}})],
    "batch": [("http-log", {"http_endpoint": URL, "queue": {"max_batch_size": 3, "max_coalescing_delay": 2}})],
}.items(), more=[
    Row("another method, and headers", "/put", then=posted({"request.uri": "/put"}, method="PUT", path="/put",
        headers__content_type="application/json", headers__x_mine="yes", headers__authorization="Basic dXNlcjpwYXNz")),
    Row("a batch", "/batch", times=3, then=batch),
    Row("a server that fails", "/plain", then=fail_once),
    Row("is asked again", "/plain", then=twice),
])

LATENCY = re.compile(r"^kong\.service\.up\.latency:\d+(\.\d+)?\|ms$")


def sent(*wanted, lacks=()):
    """Lines of statsd."""
    def check(rig, answer):
        for one in wanted:
            rig.udp.box.wait(lambda m: any(fits(one, line) for line in m.split("\n")))
        time.sleep(0.1)
        lines = "\n".join(rig.udp.box.all).split("\n")
        rig.udp.box.clear()
        for one in lacks:
            assert not any(fits(one, line) for line in lines), lines
    return check


def statsd(**config):
    return [("statsd", {"host": "127.0.0.1", "port": "@UDP", **config})]


def by_tcp(rig, answer):
    rig.tcp.box.wait(lambda m: m.startswith("kong.service.up.request.count:1|c"))


def metric(name, kind, **more):
    return {"name": name, "stat_type": kind, **more}


Plugin("statsd", {
    "plain": [("key-auth", {"anonymous": "nobody"}), *statsd()],
    "some": statsd(metrics=[metric("request_count", "counter", sample_rate=1)]),
    "prefix": statsd(prefix="mine", hostname_in_prefix=False),
    "tags": statsd(tag_style="dogstatsd"),
    "tcp": statsd(use_tcp=True, port="@TCP"),
    "behind": [("request-termination", {"status_code": 418}), *statsd()],
    "ranges": statsd(allow_status_codes=["200-204"]),
}, [
    Row("all that is counted", "/plain?apikey=kong", then=sent(
        "kong.service.up.request.count:1|c", LATENCY, re.compile(r"^kong\.service\.up\.request\.size:\d+\|c$"),
        "kong.service.up.status.200:1|c", re.compile(r"^kong\.service\.up\.response\.size:\d+\|c$"),
        re.compile(r"^kong\.service\.up\.user\.uniques:42\|s$"), "kong.service.up.user.42.request.count:1|c",
        re.compile(r"^kong\.service\.up\.upstream_latency:\d+(\.\d+)?\|ms$"),
        re.compile(r"^kong\.service\.up\.kong_latency:\d+(\.\d+)?\|ms$"), "kong.service.up.user.42.status.200:1|c",
        re.compile(r"^kong\.service\.up\.workspace\.[0-9a-f-]{36}\.status\.200:1\|c$"),
        re.compile(r"^kong\.route\.[0-9a-f-]{36}\.user\.42\.status\.200:1\|c$"),
        re.compile(r"^kong\.node\..*\.shdict\.kong\.capacity:\d+\|g$"),
        re.compile(r"^kong\.node\..*\.shdict\.kong\.free_space:\d+\|g$"))),
    Row("nobody known", "/plain", then=sent("kong.service.up.status.200:1|c", lacks=[re.compile("user.42")])),
    Row("some of it", "/some", then=sent("kong.service.up.request.count:1|c", lacks=[re.compile("latency")])),
    Row("a prefix", "/prefix", then=sent("mine.service.up.request.count:1|c")),
    Row("tags", "/tags", then=sent(re.compile(r"^kong\.request\.count:1\|c\|#.*route:tags"))),
    Row("over TCP", "/tcp", then=by_tcp),
    Row("an answer before it", "/behind", status=418, then=sent("kong.service.up.status.418:1|c")),
    Row("statuses that count", "/ranges", then=sent("kong.service.up.status.200:1|c")),
    Row("and those that do not", "/ranges?status=404", status=404, then=sent(lacks=[re.compile("404")])),
], CONSUMERS)

LABELS = r'service="up",route="plain"'


def page_has(*wanted, lacks=()):
    """Lines of the page."""
    def check(rig, answer):
        for _ in range(30):
            page = rig.ask("/metrics").body
            missing = [one for one in wanted if not any(fits(one, line) for line in page.split("\n"))]
            if not missing:
                break
            time.sleep(0.1)
        assert not missing, f"{missing}\n{page}"
        for one in lacks:
            assert not any(fits(one, line) for line in page.split("\n")), f"{one}\n{page}"
    return check


def count(**config):
    return [("prometheus", config)]


PAGE = """
[filters.page]
openresty = { content = "page.lua" }
"""


def page_script(rig):
    (rig.root / "page.lua").write_text('require("kong.plugins.prometheus.exporter").collect()\n')


Plugin("prometheus", {
    "plain": [("key-auth", {"anonymous": "nobody"}), *count(status_code_metrics=True, latency_metrics=True,
                                                            bandwidth_metrics=True, per_consumer=True)],
    "behind": [("request-termination", {"status_code": 418}), *count(status_code_metrics=True)],
    "metrics": [*count(status_code_metrics=True), ("page", None)],
}, [
    Row("the page is there", "/metrics", has={"content-type": re.compile("^text/plain")}, body=re.compile("^# HELP kong_"), up=False),
    Row("a request is counted", "/plain", then=page_has(
        f'kong_http_requests_total{{{LABELS},code="200",source="service",workspace="default",consumer="nobody"}} 1')),
    Row("and another", "/plain?status=404", status=404, then=page_has(
        f'kong_http_requests_total{{{LABELS},code="404",source="service",workspace="default",consumer="nobody"}} 1')),
    Row("with its consumer", "/plain?apikey=kong", times=2, then=page_has(
        f'kong_http_requests_total{{{LABELS},code="200",source="service",workspace="default",consumer="alice"}} 2')),
    Row("latencies and bytes", "/plain", then=page_has(
        re.compile(f'^kong_request_latency_ms_bucket{{{LABELS},workspace="default",le="\\+Inf"}} 5$'),
        re.compile(f'^kong_upstream_latency_ms_count{{{LABELS},workspace="default"}} 5$'),
        re.compile(f'^kong_kong_latency_ms_count{{{LABELS},workspace="default"}} 5$'),
        re.compile(f'^kong_bandwidth_bytes{{{LABELS},direction="egress",workspace="default",consumer="nobody"}} [1-9]'),
        re.compile(f'^kong_bandwidth_bytes{{{LABELS},direction="ingress",workspace="default",consumer="nobody"}} [1-9]'))),
    Row("the node", "/plain", then=page_has(
        re.compile("^kong_node_info{node_id=\"[0-9a-f-]{36}\",version=\"3"), re.compile("^kong_datastore_reachable 1$"),
        re.compile('^kong_memory_lua_shared_dict_bytes{.*shared_dict="kong_db_cache".*} [1-9]'),
        re.compile('^kong_memory_workers_lua_vms_bytes{.*} [1-9]'),
        re.compile("^kong_nginx_connections_total{"), "kong_nginx_metric_errors_total 0")),
    Row("an answer before it", "/behind", status=418, then=page_has(
        'kong_http_requests_total{service="up",route="behind",code="418",source="kong",workspace="default",consumer=""} 1')),
], CONSUMERS, PAGE, setup=page_script)
