"""Plugins for language models. The model is a server of ours, with OpenAI's way of speaking."""

import json
import re

from rig import Plugin, Row

JSON = {"Content-Type": "application/json"}
POST = "POST "


def chat(*words, **more):
    """Messages: "role: content"."""
    messages = [dict(zip(("role", "content"), word.split(": ", 1))) for word in words]
    return json.dumps({"messages": messages, **more})


def said(*words):
    """What stands in a body."""
    def check(text):
        return [f"{m['role']}: {m['content']}" for m in json.loads(text)["messages"]] == list(words)
    return check


def error(text):
    return {"error.message": text}


Plugin("ai-prompt-decorator", {
    "both": [("ai-prompt-decorator", {"prompts": {
        "prepend": [{"role": "system", "content": "be kind"}, {"role": "assistant", "content": "yes"}],
        "append": [{"role": "user", "content": "and brief"}]}})],
    "before": [("ai-prompt-decorator", {"prompts": {"prepend": [{"role": "system", "content": "1"}]}})],
}, [
    Row("before and behind", POST + "/both", JSON, chat("user: hi"), up={
        "body": said("system: be kind", "assistant: yes", "user: hi", "user: and brief"),
        "headers.content-type": re.compile("^application/json")}),
    Row("before", POST + "/before", JSON, chat("user: hi"), up={"body": said("system: 1", "user: hi")}),
    Row("no chat", POST + "/both", JSON, '{"prompt":"x"}', 400, up=False,
        json=error("this LLM route only supports llm/chat type requests")),
    Row("no JSON", POST + "/both", {"Content-Type": "text/plain"}, "x", 400, up=False,
        json=error(re.compile("^this LLM route only supports"))),
])

BAD = error("bad request")


def guard(**config):
    return [("ai-prompt-guard", config)]


Plugin("ai-prompt-guard", {
    "deny": guard(deny_patterns=[".*[Cc]ard.*", "secret"]),
    "allow": guard(allow_patterns=[".*cheese.*"], allow_all_conversation_history=False),
    "latest": guard(allow_patterns=[".*cheese.*"], allow_all_conversation_history=True),
    "roles": guard(deny_patterns=["secret"], match_all_roles=True, allow_all_conversation_history=False),
}, [
    Row("a denied word", POST + "/deny", JSON, chat("user: my Card"), 400, json=BAD, up=False),
    Row("another", POST + "/deny", JSON, chat("user: my hat"), up={"body": said("user: my hat")}),
    Row("said before", POST + "/deny", JSON, chat("user: my Card", "user: x"), 400, json=BAD),
    Row("a prompt", POST + "/deny", JSON, '{"prompt":"the secret"}', 400, json=BAD),
    Row("an allowed word", POST + "/allow", JSON, chat("user: cheese"), up={}),
    Row("none", POST + "/allow", JSON, chat("user: ham"), 400, json=BAD, up=False),
    Row("only the latest counts", POST + "/latest", JSON, chat("user: cheese", "user: ham"), 400, json=BAD),
    Row("and it is", POST + "/latest", JSON, chat("user: ham", "user: cheese"), up={}),
    Row("all roles", POST + "/roles", JSON, chat("system: secret", "user: x"), 400, json=BAD),
    Row("no JSON", POST + "/deny", {"Content-Type": "text/plain"}, "x", 400, up=False),
])

TEMPLATES = [
    {"name": "chat", "template": '{"messages":[{"role":"system","content":"You know {{program}}."},'
                                 '{"role":"user","content":"Describe {{language}}."}]}'},
    {"name": "completion", "template": '{"prompt":"Describe {{language}}."}'},
]

Plugin("ai-prompt-template", {
    "all": [("ai-prompt-template", {"templates": TEMPLATES, "allow_untemplated_requests": False})],
    "open": [("ai-prompt-template", {"templates": TEMPLATES, "allow_untemplated_requests": True})],
}, [
    Row("a chat", POST + "/all", JSON, '{"messages":"{template://chat}","properties":{"program":"fibs","language":"lua"}}',
        up={"body": said("system: You know fibs.", "user: Describe lua.")}),
    Row("a completion", POST + "/all", JSON, '{"prompt":"{template://completion}","properties":{"language":"go"}}',
        up={"body": lambda text: json.loads(text)["prompt"] == "Describe go."}),
    Row("quotes in it", POST + "/all", JSON, '{"prompt":"{template://completion}","properties":{"language":"a\\"b"}}',
        up={"body": lambda text: json.loads(text)["prompt"] == 'Describe a"b.'}),
    Row("an unknown one", POST + "/all", JSON, '{"messages":"{template://none}","properties":{}}', 400, up=False,
        json=error("could not find template name [none]")),
    Row("a missing word", POST + "/all", JSON, '{"prompt":"{template://completion}","properties":{}}', 400,
        json=error("missing template parameters: [language]")),
    Row("no template", POST + "/all", JSON, chat("user: x"), 400, json=error("this LLM route only supports templated requests")),
    Row("no template, allowed", POST + "/open", JSON, chat("user: x"), up={"body": said("user: x")}),
    Row("no JSON", POST + "/all", {"Content-Type": "text/plain"}, "x", 400),
])

KEY = {"header_name": "Authorization", "header_value": "Bearer key"}
MODEL = {"provider": "openai", "name": "gpt-test", "options": {
    "max_tokens": 64, "upstream_url": "http://127.0.0.1:@HTTP/v1/chat/completions"}}
LLM = {"route_type": "llm/v1/chat", "auth": KEY, "model": MODEL, "logging": {"log_statistics": True, "log_payloads": True}}


def model_says(made=None, status=200):
    """The model answers with its last message in capitals, or what `made` makes of it."""
    def script(asked):
        body = json.loads(asked["body"])
        word = body["messages"][-1]["content"]
        word = made(word) if made else word.upper()
        if body.get("stream"):
            out = "".join("data: " + json.dumps({"id": "1", "object": "chat.completion.chunk", "choices": [
                {"index": 0, "delta": {"content": part}, "finish_reason": None}]}) + "\n\n" for part in word.split())
            return status, "text/event-stream", out + "data: [DONE]\n\n"
        return status, "application/json", json.dumps({
            "id": "1", "object": "chat.completion", "model": body.get("model"), "created": 1,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": word}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 25, "completion_tokens": 12, "total_tokens": 37}})
    return script


def now(made=None, status=200):
    """The model's way of answering, from now on."""
    return lambda rig, answer: rig.http.answer(model_says(made, status))


def asked(**wanted):
    def check(rig, answer):
        message = rig.http.box.all[-1]
        body = json.loads(message["body"])
        assert message["path"] == "/v1/chat/completions" and message["headers"]["authorization"] == "Bearer key", message
        for name, value in wanted.items():
            assert body.get(name) == value, message
        rig.http.box.clear()
    return check


def ready(rig):
    rig.http.answer(model_says())


SHOUT = {"prompt": "Shout.", "llm": LLM}
INSTRUCTIONS = json.dumps({"headers": {"x-from": "model", "content-type": "text/plain"}, "status": 209, "body": "made"})

Plugin("ai-request-transformer", {
    "plain": [("ai-request-transformer", SHOUT)],
    "pattern": [("ai-request-transformer", {**SHOUT, "transformation_extract_pattern": "<[^>]+>"})],
    "failing": [("ai-request-transformer", {**SHOUT, "llm": {**LLM, "model": {**MODEL, "options": {"upstream_url": "http://127.0.0.1:1/"}}}})],
    "ready": [("correlation-id", {})],
}, [
    Row("the request's body changes", POST + "/plain", {"Content-Type": "text/plain"}, "hello", up={"body": "HELLO", "headers.content-length": "5"},
        then=asked(model="gpt-test", max_tokens=64, messages=[{"role": "system", "content": "Shout."}, {"role": "user", "content": "hello"}])),
    Row("a part of the answer", POST + "/pattern", {}, "a <b> c", up={"body": "<B>"}),
    Row("no such part", POST + "/pattern", {}, "a", 400, up=False, json=error("AI response did not match specified regular expression")),
    Row("no model", POST + "/failing", {}, "a", 400, up=False, json=error(re.compile("^failed to introspect request with AI service"))),
    Row("a model that fails", "/ready", then=now(status=500)),
    Row("is told", POST + "/plain", {}, "a", 400, up=False, json=error(
        "failed to introspect request with AI service: status code 500")),
], setup=ready, lua="ffi = true")

Plugin("ai-response-transformer", {
    "plain": [("ai-response-transformer", SHOUT)],
    "pattern": [("ai-response-transformer", {**SHOUT, "transformation_extract_pattern": "<[^>]+>"})],
    "instructed": [("ai-response-transformer", {**SHOUT, "parse_llm_response_json_instructions": True})],
    "logged": [("ai-response-transformer", SHOUT), ("tcp-log", {"host": "127.0.0.1", "port": "@TCP"})],
    "ready": [("correlation-id", {})],
}, [
    Row("the response's body changes", "/plain?body=hello&type=text/plain&header=x-mine:1&status=201", status=201, body="HELLO",
        has={"x-mine": "1", "content-type": "text/plain", "content-length": "5"}, up={"query": re.compile("^body=hello")}),
    Row("the request's body goes on", POST + "/plain", {"Content-Type": "text/plain"}, "word", up={"body": "word"}),
    Row("a part of the answer", "/pattern?body=a%20<b>", body="<B>"),
    Row("no such part", "/pattern?body=a", status=400, json=error("AI response did not match specified regular expression")),
    Row("a logger behind", "/logged?body=a", body="A", then=lambda rig, _: rig.tcp.box.wait(lambda m: "/logged" in m)),
    Row("the model instructs", "/ready", then=now(lambda word: INSTRUCTIONS)),
    Row("and is obeyed", "/instructed?body=a", status=209, body="made", has={"x-from": "model", "content-type": "text/plain"}),
    Row("it says no JSON", "/ready", then=now(lambda word: "no json")),
    Row("and is not", "/instructed?body=a", status=500, json=error(re.compile("^failed to parse JSON response instructions"))),
], setup=ready, lua="ffi = true")


def streamed(*words):
    def check(text):
        events = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
        parts = [json.loads(e)["choices"][0]["delta"].get("content") for e in events if e != "[DONE]"]
        return events[-1] == "[DONE]" and [p for p in parts if p] == list(words)
    return check


def analytics(rig, answer):
    """What a logger behind is told of the model."""
    entry = json.loads(rig.tcp.box.wait(lambda m: True))
    rig.tcp.box.clear()
    seen = entry["ai"]["proxy"]
    assert seen["usage"]["prompt_tokens"] == 25 and seen["usage"]["completion_tokens"] == 12, entry
    assert seen["meta"]["request_model"] == "gpt-test" and seen["meta"]["provider_name"] == "openai", entry
    assert "hello" in seen["payload"]["request"] and "HELLO" in seen["payload"]["response"], entry


Plugin("ai-proxy", {
    "chat": [("ai-proxy", LLM)],
    "denied": [("ai-proxy", {**LLM, "response_streaming": "deny"})],
    "logged": [("ai-proxy", LLM), ("tcp-log", {"host": "127.0.0.1", "port": "@TCP"})],
    "decorated": [("ai-prompt-decorator", {"prompts": {"prepend": [{"role": "system", "content": "1"}]}}), ("ai-proxy", LLM)],
    "mistral": [("ai-proxy", {**LLM, "auth": {"header_name": "Authorization", "header_value": "Bearer key"},
                                "model": {**MODEL, "provider": "mistral", "options": {**MODEL["options"], "mistral_format": "openai"}}})],
    "ready": [("correlation-id", {})],
}, [
    Row("a chat", POST + "/chat", JSON, chat("user: hello"), up=False, json={"choices.0.message.content": "HELLO", "usage.total_tokens": 37},
        has={"x-kong-llm-model": "openai/gpt-test", "content-type": re.compile("^application/json")},
        then=asked(model="gpt-test", max_tokens=64, messages=[{"role": "user", "content": "hello"}])),
    Row("another model", POST + "/chat", JSON, chat("user: x", model="other"), 400, json=error("cannot use own model - must be: gpt-test")),
    Row("no chat", POST + "/chat", JSON, '{"prompt":"x"}', 400),
    Row("no messages", POST + "/chat", JSON, '{}', 400, json=error("request body doesn't contain valid prompts")),
    Row("no JSON", POST + "/chat", {"Content-Type": "text/plain"}, "x", 400,
        json=error(re.compile("content-type header does not match|doesn't contain valid prompts"))),
    Row("a stream", POST + "/chat", JSON, chat("user: a b c", stream=True), has={"content-type": "text/event-stream"},
        body=streamed("A", "B", "C"), then=asked(stream=True)),
    Row("no streams", POST + "/denied", JSON, chat("user: a", stream=True), 400, json=error("response streaming is not enabled for this LLM")),
    Row("a logger behind", POST + "/logged", JSON, chat("user: hello"), json={"choices.0.message.content": "HELLO"}, then=analytics),
    Row("decorated", POST + "/decorated", JSON, chat("user: hello"), then=asked(messages=[
        {"role": "system", "content": "1"}, {"role": "user", "content": "hello"}])),
    Row("another provider", POST + "/mistral", JSON, chat("user: hello"), json={"choices.0.message.content": "HELLO"},
        has={"x-kong-llm-model": "mistral/gpt-test"}),
    Row("a model that fails", "/ready", then=now(status=429)),
    Row("is passed on", POST + "/chat", JSON, chat("user: hello"), 429),
], setup=ready, lua="ffi = true")
