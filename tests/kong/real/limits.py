"""Plugins that count, and the one that keeps answers."""

import re
import time

from auth import CONSUMERS
from rig import Plugin, Row

NUMBER = re.compile(r"^[1-9]\d*$")
EXCEEDED = {"message": "API rate limit exceeded"}


def limit(**config):
    return [("rate-limiting", config)]


def by_redis(**config):
    """With `redis.*` as Kong's schema has it."""
    more = config.pop("redis", {})
    return limit(policy="redis", redis={"host": "127.0.0.1", "port": "@REDIS", **more}, **config)


def at_the_start(rig, answer):
    """A minute or an hour that ends in between would begin to count anew."""
    left = 60 - time.time() % 60
    if left < 20:
        time.sleep(left + 1)


def counted(pattern, value):
    def check(rig, answer):
        counters = rig.redis.counters(pattern)
        assert list(counters.values()) == [str(value)], rig.redis.counters(".")
        (key,) = counters
        assert 0 < rig.redis.ask("TTL", key) <= 60, rig.redis.ask("TTL", key)
    return check


def in_database(number, value):
    def check(rig, answer):
        rig.redis.ask("SELECT", number)
        counters = rig.redis.counters("^ratelimit:")
        rig.redis.ask("SELECT", 0)
        assert list(counters.values()) == [str(value)], counters
    return check


def synced(rig, answer):
    for _ in range(40):
        if list(rig.redis.counters(":10.0.0.9:").values()) == ["3"]:
            return
        time.sleep(0.1)
    raise AssertionError(rig.redis.counters("."))


def soon(wait):
    return lambda rig, answer: time.sleep(wait)


def left(remaining, most=6):
    return {
        "x-ratelimit-limit-minute": str(most), "x-ratelimit-remaining-minute": str(remaining),
        "ratelimit-limit": str(most), "ratelimit-remaining": str(remaining), "ratelimit-reset": NUMBER,
        "retry-after": None,
    }


def run_down(path, headers=None, most=6, then=None):
    """Until nothing is left, and once more."""
    rows = [Row(f"{path}: {n} of {most}", path, headers, has=left(most - n, most), up={}, then=soon(0.05))
            for n in range(1, most + 1)]
    end = Row(f"{path}: one too many", path, headers, status=429, up=False, json=EXCEEDED, then=then,
              has={**left(0, most), "retry-after": NUMBER})
    return [*rows, end]


Plugin("rate-limiting", {
    "start": [("correlation-id", {})],
    "local": limit(minute=6, policy="local", fault_tolerant=False),
    "two": limit(hour=100, minute=2, policy="local"),
    "hidden": limit(minute=1, policy="local", hide_client_headers=True, error_code=404, error_message="Fake Not Found"),
    "keyed": [("key-auth", {})] + limit(minute=2, policy="local", limit_by="consumer"),
    "header": limit(minute=1, policy="local", limit_by="header", header_name="x-email"),
    "path": limit(minute=1, policy="local", limit_by="path", path="/path/status/1"),
    "redis": by_redis(minute=6, fault_tolerant=False),
    "other": by_redis(minute=3, fault_tolerant=False, redis={"database": 3}),
    "signed": by_redis(hour=3, fault_tolerant=False, redis={"username": "someone", "password": "pass", "database": 5}),
    "unsigned": by_redis(hour=3, fault_tolerant=False, redis={"username": "someone", "password": "wrong", "database": 6}),
    "tolerant": limit(minute=3, policy="redis", redis={"host": "127.0.0.1", "port": 1}, fault_tolerant=True),
    "strict": limit(minute=3, policy="redis", redis={"host": "127.0.0.1", "port": 1}, fault_tolerant=False),
    "synced": by_redis(hour=4, limit_by="header", header_name="x-who", sync_rate=0.5, redis={"database": 0}),
}, [
    Row("time for it", "/start", then=at_the_start),
    *run_down("/local"),
    Row("the least of two", "/two", has={**left(1, 2), "x-ratelimit-limit-hour": "100", "x-ratelimit-remaining-hour": "99"}),
    Row("hidden", "/hidden", has={"ratelimit-limit": None, "x-ratelimit-limit-minute": None}, then=soon(0.1)),
    Row("hidden, and over", "/hidden", status=404, has={"retry-after": None}, json={"message": "Fake Not Found"}),
    Row("by consumer: one", "/keyed?apikey=kong", times=2, has=left(0, 2), then=soon(0.1)),
    Row("by consumer: over", "/keyed?apikey=kong", status=429, json=EXCEEDED),
    Row("by consumer: another", "/keyed?apikey=evil", has=left(1, 2)),
    Row("without a key nothing is counted", "/keyed", status=401, has={"ratelimit-limit": None}),
    Row("by a header", "/header", {"X-Email": "a"}, then=soon(0.1)),
    Row("by a header: over", "/header", {"X-Email": "a"}, status=429),
    Row("by a header: another", "/header", {"X-Email": "b"}),
    Row("by path", "/path/status/1", then=soon(0.1)),
    Row("by path: over", "/path/status/1", status=429),
    Row("time for it", "/start", then=at_the_start),
    *run_down("/redis", then=counted(r"^ratelimit:.*:127\.0\.0\.1:\d+:minute$", 7)),
    *run_down("/other", most=3, then=in_database(3, 4)),
    Row("Redis with a name and a password", "/signed", has={"x-ratelimit-remaining-hour": "2"}, then=in_database(5, 1)),
    Row("and a wrong one", "/unsigned", status=500, up=False, json={"message": "An unexpected error occurred"}),
    Row("no Redis, and tolerant", "/tolerant", up={}, has={"ratelimit-limit": None}),
    Row("no Redis, and not", "/strict", status=500, up=False, json={"message": "An unexpected error occurred"}),
    Row("told to Redis later", "/synced", {"X-Who": "10.0.0.9"}, times=3, then=synced),
], CONSUMERS)


def answers(limits, **config):
    return [("response-ratelimiting", {"limits": limits, **config})]


VIDEO = "?header=x-kong-limit:video=1"


def stock(name, most, left):
    return {f"x-ratelimit-limit-{name}-minute": str(most), f"x-ratelimit-remaining-{name}-minute": str(left)}


def response_counted(rig, answer):
    time.sleep(0.3)
    counters = rig.redis.counters("video:minute$")
    assert list(counters.values()) == ["2"], rig.redis.counters(".")


Plugin("response-ratelimiting", {
    "start": [("correlation-id", {})],
    "local": answers({"video": {"minute": 2}, "image": {"minute": 4}}, policy="local"),
    "first": answers({"video": {"minute": 1}}, policy="local", block_on_first_violation=True),
    "named": answers({"video": {"minute": 9}}, policy="local", header_name="x-used", hide_client_headers=True),
    "redis": answers({"video": {"minute": 3}}, policy="redis", redis={"host": "127.0.0.1", "port": "@REDIS"}, fault_tolerant=False),
    "strict": answers({"video": {"minute": 3}}, policy="redis", redis={"host": "127.0.0.1", "port": 1}, fault_tolerant=False),
    "tolerant": answers({"video": {"minute": 3}}, policy="redis", redis={"host": "127.0.0.1", "port": 1}),
}, [
    Row("time for it", "/start", then=at_the_start),
    Row("one of two", "/local" + VIDEO, has={**stock("video", 2, 1), **stock("image", 4, 4), "x-kong-limit": None},
        up={"headers.x-ratelimit-remaining-video": "2", "headers.x-ratelimit-remaining-image": "4"}, then=soon(0.1)),
    Row("two of two", "/local" + VIDEO, has=stock("video", 2, 0), up={"headers.x-ratelimit-remaining-video": "1"}, then=soon(0.1)),
    Row("one too many", "/local" + VIDEO, status=429, body="", has={**stock("video", 2, 0), "content-length": "0"}, up={}),
    Row("of another kind there are some", "/local?header=x-kong-limit:image=2", has=stock("image", 4, 2), then=soon(0.1)),
    Row("several at once", "/local?header=x-kong-limit:image=1,%20test=3", has=stock("image", 4, 1)),
    Row("nothing used", "/local", has=stock("video", 2, 0), up={}),
    Row("block at the first: pass", "/first" + VIDEO, has=stock("video", 1, 0), then=soon(0.1)),
    Row("block at the first: stop", "/first", status=429, up=False, json={"message": "API rate limit exceeded for 'video'"}),
    Row("another header, nothing told", "/named?header=x-used:video=1", has={"x-used": None, "x-ratelimit-limit-video-minute": None}),
    Row("in Redis", "/redis" + VIDEO, has=stock("video", 3, 2), then=soon(0.3)),
    Row("which counts", "/redis" + VIDEO, has=stock("video", 3, 1), then=response_counted),
    Row("no Redis", "/strict", status=500, up=False),
    Row("no Redis, and tolerant", "/tolerant", up={}),
], CONSUMERS)


def cache(**config):
    return [("proxy-cache", {"strategy": "memory", "content_type": ["text/plain", "application/json"], **config})]


def state(word, **more):
    return {"x-cache-status": word, "x-cache-key": re.compile("^[0-9a-f]{64}$"), **more}


def keep(rig, answer):
    rig.kept["body"] = answer.body


def same(rig, answer):
    assert answer.body == rig.kept["body"], answer


Plugin("proxy-cache", {
    "plain": cache(),
    "short": cache(cache_ttl=1),
    "control": cache(cache_control=True),
    "vary": cache(vary_query_params=["a"], vary_headers=["X-Lang"], ignore_uri_case=True),
    "quiet": cache(response_headers={"X-Cache-Status": False, "X-Cache-Key": False, "age": False}),
    "keyed": [("key-auth", {})] + cache(),
    "logged": cache() + [("tcp-log", {"host": "127.0.0.1", "port": "@TCP"})],
}, [
    Row("a miss", "/plain/a?header=x-mine:1", has=state("Miss"), up={}, then=keep),
    Row("a hit", "/plain/a?header=x-mine:1", has=state("Hit", age=re.compile(r"^\d$"), **{
        "x-mine": "1", "content-type": "application/json"}), up=False, then=same),
    Row("another path", "/plain/b", has=state("Miss"), up={}),
    Row("another query", "/plain/a?b=2", has=state("Miss"), up={}),
    Row("HEAD is another, and has no body to keep", "HEAD /plain/a?header=x-mine:1", has=state("Miss"), up={}, times=2),
    Row("POST is not kept", "POST /plain/a", send="x", has={"x-cache-status": "Bypass"}, up={}),
    Row("a status that is not kept", "/plain/a?status=500", status=500, has={"x-cache-status": "Bypass"}, times=2, up={}),
    Row("one that is", "/plain/gone?status=404", status=404, has=state("Miss"), up={}),
    Row("is kept", "/plain/gone?status=404", status=404, has=state("Hit"), up=False),
    Row("a type that is not kept", "/plain/a?type=text/html", has={"x-cache-status": "Bypass"}, times=2, up={}),
    Row("for a second", "/short/a", has=state("Miss"), then=soon(2.2)),
    Row("and no longer", "/short/a", has={"x-cache-status": re.compile("Miss|Refresh")}, up={}),
    Row("as the upstream says", "/control/a?header=cache-control:max-age=60", has=state("Miss"), up={}),
    Row("it is kept", "/control/a?header=cache-control:max-age=60", has=state("Hit"), up=False),
    Row("a client that wants it fresh", "/control/a?header=cache-control:max-age=60", {"Cache-Control": "no-store"},
        has={"x-cache-status": "Bypass"}, up={}),
    Row("the upstream forbids it", "/control/b?header=cache-control:no-store", has={"x-cache-status": "Bypass"}, times=2, up={}),
    Row("only if it is there", "/control/c", {"Cache-Control": "only-if-cached"}, status=504, up=False),
    Row("what varies", "/vary/x?a=1&b=1", {"X-Lang": "en"}, has=state("Miss"), up={}),
    Row("and what does not", "/vary/X?a=1&b=2", {"X-Lang": "en"}, has=state("Hit"), up=False),
    Row("a header that varies", "/vary/x?a=1", {"X-Lang": "de"}, has=state("Miss"), up={}),
    Row("quiet", "/quiet/a", has={"x-cache-status": None, "x-cache-key": None}, up={}),
    Row("quiet, hit", "/quiet/a", has={"x-cache-status": None, "age": None}, up=False),
    Row("each consumer has its own", "/keyed/a?apikey=kong", has=state("Miss"), up={}),
    Row("again", "/keyed/a?apikey=kong", has=state("Hit"), up=False),
    Row("another's", "/keyed/a", {"apikey": "evil"}, has=state("Miss"), up={}),
    Row("a large one", "/plain/large?body=FILL&fill=300000", has=state("Miss"), then=keep),
    Row("a large one, hit", "/plain/large?body=FILL&fill=300000", has=state("Hit"), up=False, then=same),
    Row("a logger behind: miss", "/logged/a", has=state("Miss"), then=lambda rig, _: (
        rig.tcp.box.wait(lambda m: 'logged' in m), rig.tcp.box.clear())),
    Row("a logger behind: hit", "/logged/a", has=state("Hit"), up=False,
        then=lambda rig, _: rig.tcp.box.wait(lambda m: 'logged' in m)),
], CONSUMERS)
