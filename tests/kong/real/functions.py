"""Plugins that run their owner's Lua."""

import re
import time

from auth import CONSUMERS
from rig import Plugin, Row


def logged(*words):
    def check(rig, answer):
        for _ in range(30):
            if all(word in rig.said() for word in words):
                return
            time.sleep(0.1)
        raise AssertionError(rig.said())
    return check


def headers_of(name):
    """Which phases ran, as headers."""
    return {"x-counts": name}


def table(plugin):
    def run(**config):
        return [(plugin, config)]

    Plugin(plugin, {
        "access": run(access=["kong.service.request.set_header('x-one', 'one')",
                              "kong.service.request.set_header('x-two', kong.request.get_method())"]),
        "exit": run(access=["kong.response.exit(404, { message = 'no' }, { ['x-a'] = 'b' })"]),
        "ngxexit": run(access=["ngx.status = 406 ngx.say('Invalid') ngx.exit(ngx.status)"]),
        "upvalue": run(access=["local count = 0 return function() count = count + 1 ngx.header['x-count'] = count end"]),
        "throws": run(access=["error('oops: ' .. kong.request.get_path())"]),
        "rewrite": run(rewrite=["kong.ctx.shared.word = 'early'"], access=["kong.service.request.set_header('x-word', kong.ctx.shared.word)"]),
        "response": run(header_filter=["kong.response.set_header('x-head', kong.service.response.get_status()) kong.response.clear_header('content-length')"],
                        body_filter=["local body = kong.response.get_raw_body() if body then kong.response.set_raw_body(body:upper() .. '!') end"]),
        "log": run(log=["kong.log.err('told: ', kong.request.get_path(), ' ', kong.response.get_status())"]),
        "json": run(access=["local cjson = require 'cjson' kong.response.exit(200, cjson.encode({ a = kong.request.get_query_arg('a') }))"]),
        "body": run(access=["local b = kong.request.get_body() kong.service.request.set_header('x-b', b.hello)"]),
        "target": run(access=["kong.service.set_target('127.0.0.1', @HTTP) kong.service.request.set_path('/moved')"]),
        "sandbox": run(access=["kong.response.exit(200, tostring(io) .. tostring(os.execute) .. tostring(debug) .. tostring(package))"]),
        "behind": [("request-termination", {"status_code": 418}), *run(
            header_filter=["kong.response.set_header('x-head', 'seen')"], log=["kong.log.err('told of ', kong.response.get_status())"])],
        "keyed": [("key-auth", {}), *run(access=["kong.service.request.set_header('x-name', kong.client.get_consumer().username)"])],
        "sleep": run(access=["ngx.sleep(0.1) kong.service.request.set_header('x-slept', 'yes')"]),
    }, [
        Row("several functions, in order", "/access", up={"headers.x-one": "one", "headers.x-two": "GET"}),
        Row("an exit", "/exit", status=404, up=False, json={"message": "no"}, has={"x-a": "b"}),
        Row("nginx's own exit", "/ngxexit", status=406, up=False, body="Invalid\n"),
        Row("a function with upvalues", "/upvalue", has={"x-count": "1"}),
        Row("which stay", "/upvalue", has={"x-count": "2"}),
        Row("an error", "/throws", status=500, json={"message": "An unexpected error occurred"}, up=False,
            then=logged("oops: /throws")),
        Row("rewrite", "/rewrite", up={"headers.x-word": "early"}),
        Row("the response", "/response?body=abc&type=text/plain", body="ABC!", has={"x-head": "200"}),
        Row("log", "/log", then=logged("told: /log 200")),
        Row("JSON", "/json?a=1", body='{"a":"1"}'),
        Row("a body", "POST /body", {"Content-Type": "application/json"}, '{"hello":"world"}', up={"headers.x-b": "world"}),
        Row("another server", "/target", up=False, then=lambda rig, _: rig.http.box.wait(lambda m: m["path"] == "/moved")),
        Row("a sandbox", "/sandbox", body=re.compile("^(nil)+")),
        Row("behind an answer", "/behind", status=418, has={"x-head": "seen"}, then=logged("told of 418")),
        Row("the consumer", "/keyed?apikey=kong", up={"headers.x-name": "alice"}),
        Row("waiting", "/sleep", up={"headers.x-slept": "yes"}),
    ], CONSUMERS)


table("pre-function")
table("post-function")
