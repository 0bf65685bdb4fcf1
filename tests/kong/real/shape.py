"""Plugins that change requests and responses."""

import json
import re

from auth import CONSUMERS
from rig import Plugin, Row

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
MULTI = {"Content-Type": "multipart/form-data; boundary=xx"}


def parts(**fields):
    out = [f'--xx\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    return "".join(out) + "--xx--\r\n"


def ask(**config):
    return [("request-transformer", config)]


def data(**wanted):
    """A body of JSON, whatever the order."""
    return {"body": lambda text: json.loads(text) == wanted}


Plugin("request-transformer", {
    "method": ask(http_method="POST"),
    "get": ask(http_method="GET"),
    "remove": ask(remove={"headers": ["x-to-remove"], "querystring": ["q1"], "body": ["toremove"]}),
    "rename": ask(rename={"headers": ["x-old:x-new"], "querystring": ["old:new"], "body": ["originalparam:renamedparam"]}),
    "replace": ask(replace={"headers": ["h1:v1", "host:replaced.test"], "querystring": ["q1:v1"], "body": ["p1:v1"]}),
    "add": ask(add={"headers": ["h1:v1", "h2:value:2"], "querystring": ["q1:v1", "q2:v2"], "body": ["p1:v1"]}),
    "append": ask(append={"headers": ["h1:v1", "h1:v2"], "querystring": ["q1:v1", "q1:v2"], "body": ["p1:v1", "p1:v2"]}),
    "all": ask(remove={"headers": ["x-a"]}, rename={"headers": ["x-b:x-c"]}, replace={"headers": ["x-c:new"]},
               add={"headers": ["x-d:d"]}, append={"headers": ["x-d:e"]}),
    "uri": ask(replace={"uri": "/changed/$(query_params.to or 'none')"}),
    "template": ask(add={"headers": ["x-user-agent:$(headers.user_agent)", "x-shout:$(string.upper(query_params.word))"],
                         "querystring": ["uri:$(headers['x-one'])"]}),
    "broken": ask(add={"headers": ["x-a:$(foo.bar.baz)"]}),
    "shared": [("pre-function", {"access": ["kong.ctx.shared.word = 'shared'"]})] + ask(add={"headers": ["x-shared:$(shared.word)"]}),
    "keyed": [("key-auth", {})] + ask(remove={"querystring": ["apikey"]}),
    "lengthy": ask(remove={"body": ["a"]}, add={"body": ["b:" + "y" * 5000]}),
}, [
    Row("the method changes", "/method?a=1", up={"method": "POST", "query": "a=1"}),
    Row("what had a form becomes a query", "POST /get?a=b", FORM, "hello=world", up={"method": "GET", "query": re.compile("a=b&hello=world|hello=world&a=b")}),
    Row("remove a header", "/remove", {"X-To-Remove": "a", "X-Another": "b"}, up={"headers.x-to-remove": None, "headers.x-another": "b"}),
    Row("remove from the query", "/remove?q1=a&q2=b", up={"query": "q2=b"}),
    Row("remove from a form", "POST /remove", FORM, "toremove=yes&nottoremove=yes", up={"body": "nottoremove=yes", "headers.content-length": "15"}),
    Row("remove from JSON", "POST /remove", JSON, '{"toremove":"yes","nottoremove":"yes"}', up=data(nottoremove="yes")),
    Row("remove from parts", "POST /remove", MULTI, parts(toremove="yes", nottoremove="yes"),
        up={"body": lambda t: "nottoremove" in t and '"toremove"' not in t}),
    Row("no JSON is left alone", "POST /remove", JSON, "no json", up={"body": "no json"}),
    Row("rename a header", "/rename", {"X-Old": "true"}, up={"headers.x-old": None, "headers.x-new": "true"}),
    Row("rename in the query", "/rename?old=1&x=2", up={"query": re.compile("^(new=1&x=2|x=2&new=1)$")}),
    Row("rename in a form", "POST /rename", FORM, "originalparam=yes", up={"body": "renamedparam=yes"}),
    Row("rename in JSON", "POST /rename", JSON, '{"originalparam":"yes","a":[1]}', up=data(renamedparam="yes", a=[1])),
    Row("replace what is there", "/replace?q1=x", {"H1": "x"}, up={"headers.h1": "v1", "query": "q1=v1", "headers.host": "replaced.test"}),
    Row("and not what is not", "/replace?q2=x", up={"headers.h1": None, "query": "q2=x"}),
    Row("replace in a form", "POST /replace", FORM, "p1=a&p2=b", up={"body": re.compile("^(p1=v1&p2=b|p2=b&p1=v1)$")}),
    Row("replace in JSON", "POST /replace", JSON, '{"p1":"a"}', up=data(p1="v1")),
    Row("add", "/add", up={"headers.h1": "v1", "headers.h2": "value:2", "query": re.compile("^(q1=v1&q2=v2|q2=v2&q1=v1)$")}),
    Row("but not over what is there", "/add?q1=x", {"H1": "x"}, up={"headers.h1": "x", "query": re.compile("q1=x")}),
    Row("add to a form", "POST /add", FORM, "p2=b", up={"body": re.compile("^(p1=v1&p2=b|p2=b&p1=v1)$")}),
    Row("add to JSON", "POST /add", JSON, '{"p2":"b"}', up=data(p1="v1", p2="b")),
    Row("add to parts", "POST /add", MULTI, parts(p2="b"), up={"body": re.compile('name="p1"\r\n\r\nv1')}),
    Row("append", "/append?q1=0", {"H1": "v0"}, up={"headers.h1": "v0, v1, v2", "query": "q1=0&q1=v1&q1=v2"}),
    Row("append to JSON", "POST /append", JSON, '{"p1":"v0"}', up=data(p1=["v0", "v1", "v2"])),
    Row("in order", "/all", {"X-A": "1", "X-B": "2"}, up={"headers.x-a": None, "headers.x-b": None, "headers.x-c": "new", "headers.x-d": "d, e"}),
    Row("another path", "/uri?to=there", up={"path": "/changed/there"}),
    Row("another path, by an or", "/uri", up={"path": "/changed/none"}),
    Row("templates", "/template?word=loud", {"User-Agent": "me", "X-One": "1"}, up={
        "headers.x-user-agent": "me", "headers.x-shout": "LOUD", "query": re.compile("uri=1")}),
    Row("a template that fails", "/broken", status=500, json={"message": "An unexpected error occurred"}, up=False),
    Row("what plugins share", "/shared", up={"headers.x-shared": "shared"}),
    Row("behind another plugin", "/keyed?apikey=kong&a=1", up={"query": "a=1", "headers.x-consumer-username": "alice"}),
    Row("a body grows", "POST /lengthy", JSON, '{"a":"' + "x" * 20000 + '"}', up=data(b="y" * 5000)),
], CONSUMERS)


def answer(**config):
    return [("response-transformer", config)]


def body(**value):
    return json.dumps(value, separators=(",", ":"))


def is_now(**wanted):
    return lambda text: json.loads(text) == wanted


SENT = "?type=application/json&body="

Plugin("response-transformer", {
    "remove": answer(remove={"headers": ["x-remove"], "json": ["a"]}),
    "rename": answer(rename={"headers": ["x-old:x-new"], "json": ["a:b"]}),
    "replace": answer(replace={"headers": ["x-a:new", "x-b:new"], "json": ["a:new", "n:1"], "json_types": ["string", "number"]}),
    "add": answer(add={"headers": ["x-a:1"], "json": ["p1:v1", "p2:2", "p3:true"], "json_types": ["string", "number", "boolean"]}),
    "append": answer(append={"headers": ["x-a:1", "x-a:2"], "json": ["p1:v1"]}),
    "cookies": answer(remove={"headers": ["Set-Cookie"]}),
    "keyed": [("key-auth", {}), *answer(add={"headers": ["x-a:1"]}, remove={"json": ["request_id"]})],
    "before": [*answer(add={"headers": ["x-a:1"], "json": ["p1:v1"]}), ("request-termination", {"status_code": 418, "message": "no"})],
}, [
    Row("remove", "/remove" + SENT + body(a=1, b=2) + "&header=x-remove:1&header=x-keep:1", body='{"b":2}',
        has={"x-remove": None, "x-keep": "1"}),
    Row("what is no JSON is left alone", "/remove?type=text/plain&body=abc", body="abc"),
    Row("broken JSON, too", "/remove" + SENT + "{abc", body="{abc"),
    Row("rename", "/rename" + SENT + body(a=1) + "&header=x-old:1", body='{"b":1}', has={"x-old": None, "x-new": "1"}),
    Row("replace", "/replace" + SENT + body(a=1, n=0) + "&header=x-a:1", body=is_now(a="new", n=1), has={"x-a": "new", "x-b": None}),
    Row("add", "/add" + SENT + body(p1=0), body=is_now(p1=0, p2=2, p3=True), has={"x-a": "1"}),
    Row("an array stays one", "/add" + SENT + body(l=[]), body=is_now(l=[], p1="v1", p2=2, p3=True)),
    Row("append", "/append" + SENT + body(p1="v0") + "&header=x-a:0", body=is_now(p1=["v0", "v1"]), has={"x-a": "0, 1, 2"}),
    Row("all cookies", "/cookies?header=set-cookie:a=1&header=set-cookie:b=2", has={"set-cookie": None}),
    Row("HEAD", "HEAD /add", body="", has={"x-a": "1"}),
    Row("a refusal before it", "/keyed", status=401, has={"x-a": "1"}, body='{"message":"No API key found in request"}'),
    Row("an answer behind it", "/before", status=418, has={"x-a": "1"}, body=is_now(message="no", p1="v1")),
    Row("a large one", "/add" + SENT + body(l="FILL") + "&fill=300000", body=is_now(l="x" * 300000, p1="v1", p2=2, p3=True)),
], CONSUMERS)
