"""Plugins beside the common ones."""

import base64
import hashlib
import hmac
import json
import re
import time

from auth import CONSUMERS
from logs import sent
from rig import Plugin, Row

Plugin("datadog", {
    "plain": [("key-auth", {"anonymous": "nobody"}), ("datadog", {"host": "127.0.0.1", "port": "@UDP"})],
    "behind": [("request-termination", {"status_code": 418}), ("datadog", {"host": "127.0.0.1", "port": "@UDP"})],
}, [
    Row("lines", "/plain?apikey=kong", then=sent(
        re.compile(r"^kong\.request\.count:1\|c\|#name:up,status:200,consumer:42,app:kong$"),
        re.compile(r"^kong\.latency:\d+(\.\d+)?\|ms\|#name:up,status:200"),
        re.compile(r"^kong\.request\.size:\d+\|ms\|#"), re.compile(r"^kong\.upstream_latency:"))),
    Row("an answer before it", "/behind", status=418, then=sent(re.compile("^kong.request.count:1.*status:418"))),
], CONSUMERS)


def syslogged(severity, status):
    def check(rig, answer):
        line = rig.udp.box.wait(lambda m: True)
        rig.udp.box.clear()
        head, entry = line[:line.index(" {")], json.loads(line[line.index(" {"):])
        assert head.startswith(f"<{severity}>1 ") and '[key@41058 tag="kong"]' in head, line
        assert entry["response"]["status"] == status, line
    return check


Plugin("loggly", {
    "plain": [("loggly", {"key": "key", "host": "127.0.0.1", "port": "@UDP"})],
}, [
    Row("an entry", "/plain", then=syslogged(14, 200)),
    Row("a client's error", "/plain?status=404", status=404, then=syslogged(14, 404)),
])

SECRET = "a secret of webhooks"


def webhook(body, when=0, secret=SECRET):
    now = str(int(time.time()) + when)
    made = hmac.new(secret.encode(), f"id.{now}.{body}".encode(), hashlib.sha256).digest()
    return {"Webhook-Id": "id", "Webhook-Timestamp": now, "Webhook-Signature": "v1," + base64.b64encode(made).decode()}


Plugin("standard-webhooks", {
    "plain": [("standard-webhooks", {"secret_v1": SECRET})],
}, [
    Row("signed", "POST /plain", webhook("abc"), "abc", up={"body": "abc"}),
    Row("another body", "POST /plain", webhook("abc"), "abd", 400, up=False),
    Row("another secret", "POST /plain", webhook("abc", secret="x"), "abc", 400, up=False),
    Row("too old", "POST /plain", webhook("abc", -400), "abc", 400, up=False),
    Row("unsigned", "POST /plain", {}, "abc", 400, up=False),
])

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def spans(*wanted):
    def check(rig, answer):
        seen = []
        for _ in range(50):
            seen = [span for message in rig.http.box.all for span in json.loads(message["body"])]
            if len(seen) >= len(wanted):
                break
            time.sleep(0.1)
        rig.http.box.clear()
        assert sorted(s["kind"] for s in seen) == sorted(wanted), seen
        assert len({s["traceId"] for s in seen}) == 1, seen
        server = next(s for s in seen if s["kind"] == "SERVER")
        assert server["tags"]["http.status_code"] == str(answer.status), seen
        rig.kept["trace"] = server["traceId"]
    return check


def same_trace(rig, answer):
    spans("SERVER", "CLIENT")(rig, answer)
    assert rig.kept["trace"] == TRACE, rig.kept


ZIPKIN = {"http_endpoint": "http://127.0.0.1:@HTTP/api/v2/spans", "sample_ratio": 1}

Plugin("zipkin", {
    "plain": [("zipkin", ZIPKIN)],
    "behind": [("request-termination", {"status_code": 418}), ("zipkin", ZIPKIN)],
}, [
    Row("spans, and headers for the upstream", "/plain", up={"headers.x-b3-traceid": re.compile("^[0-9a-f]{32}$"),
        "headers.x-b3-spanid": re.compile("^[0-9a-f]{16}$")}, then=spans("SERVER", "CLIENT")),
    Row("a trace that goes on", "/plain", {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        up={"headers.traceparent": re.compile(f"^00-{TRACE}-")}, then=same_trace),
    Row("an answer before it", "/behind", status=418, then=spans("SERVER", "CLIENT")),
], lua="ffi = true")
