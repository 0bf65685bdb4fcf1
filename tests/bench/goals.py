#!/usr/bin/env python3
"""The tables of docs/performance.md from the results of a run: goals.py FOLDER [FILE]. Prints them, or writes them
between the marks of FILE. A dash: not in this run."""
import io, json, os, statistics as st, sys

out = sys.stdout = io.StringIO()


def load(name):
    path = os.path.join(sys.argv[1], name + ".json")
    return json.load(open(path)) if os.path.exists(path) else {}


A, B, C, D2, D3, DH, F = (load(n) for n in ("A", "B", "C-c8", "D2", "D3", "DH", "F"))
ONE, L, LJ, L2, L3 = load("A-c1"), load("L"), load("LJ"), load("L2"), load("L3")
J, SOAK, T, W, R, Z, K = (load(n) for n in ("J", "SOAK", "T", "W", "R", "Z", "K"))
I, S, E, M, N, O = (load(n) for n in "ISEMNO")
SCALE = {"p50": 1e6, "p99": 1e6}


def of(table, case, what="us"):
    """The median of a case's rounds; None when it was not measured."""
    rounds = table.get(case if "/" in case else case + ":/1k")
    return st.median(r[what] for r in rounds) * SCALE.get(what, 1) if rounds else None


def instr(case):
    return I.get(case + ":/1k")


def calls(case):
    return sum(S[case + ":/1k"].values()) if case + ":/1k" in S else None


def foot(who, *keys):
    at = E.get(who)
    for key in keys:
        at = at.get(key) if at is not None else None
    return at


def mib(kib):
    return None if kib is None else kib / 1024


def minus(a, b):
    return None if a is None or b is None else a - b


def ratio(a, b):
    return None if a is None or not b else a / b


def net(host, work):
    """What a body transform takes beyond holding the body."""
    return minus(of(C, f"{host}:/{work}/64k"), of(C, f"{host}:/buf/64k"))


def show(value, form="{:.2f}"):
    return "-" if value is None else form.format(value)


def table(head, rows):
    print("| " + " | ".join(head) + " |\n" + "| --- " * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def row(name, form, *values):
    return [name] + [show(v, form) for v in values]


print("## Instructions and system calls a request\n")
table(["", "Pilotlight", "nginx", "HAProxy"], [
    row("plain, user instructions", "{:,.0f}", instr("ours"), instr("nginx"), instr("haproxy")),
    row("a Lua filter that reads two headers and sets one", "{:,.0f}", instr("ours-lua"), instr("nginx-lua"), None),
    row("the same filter in Wasm", "{:,.0f}", instr("ours-wasm"), None, None),
    row("in Wasm, an instance an exchange", "{:,.0f}", instr("ours-fresh"), None, None),
    row("both filters", "{:,.0f}", instr("ours-both"), None, None),
    row("system calls, plain", "{:.2f}", calls("ours"), calls("nginx"), calls("haproxy")),
    row("system calls, both filters", "{:.2f}", calls("ours-both"), None, None),
])

print("## CPU time a request, microseconds\n")
PEERS = ("ours", "nginx", "haproxy", "envoy", "caddy", "floor")
table(["", "Pilotlight", "nginx", "HAProxy", "Envoy", "Caddy", "forwarder that parses nothing"], [
    row("plain", "{:.1f}", *(of(A, p) for p in PEERS)),
    row("Lua header filter", "{:.1f}", of(B, "ours-lua"), of(B, "nginx-lua"), of(B, "haproxy-lua"), None, None, None),
    row("Wasm header filter", "{:.1f}", of(B, "ours-wasm"), None, None, of(B, "envoy-wasm"), None, None),
    row("Wasm, an instance an exchange", "{:.1f}", of(B, "ours-fresh"), None, None, None, None, None),
    row("Lua and Wasm header filters", "{:.1f}", of(B, "ours-both"), None, None, None, None, None),
    row("HTTP/2 over TLS", "{:.1f}", *(of(D2, p) for p in PEERS)),
    row("HTTP/3", "{:.1f}", *(of(D3, p) for p in PEERS)),
    row("TLS 1.3 handshake, request, close", "{:.0f}", *(of(DH, p) for p in PEERS)),
    row("64 KiB body", "{:.1f}", of(C, "ours:/64k"), of(C, "nginx:/64k"), None, of(C, "envoy:/64k"), None, None),
    row("64 MiB body, CPU seconds a GiB", "{:.2f}", *(of(F, p + ":/64m", "cpugib") for p in PEERS)),
])

print("## Scripts for OpenResty, unmodified: what they add to a plain pass of the same request\n")
adds = lambda t, who, path, what: minus(of(t, f"{who}:/{path}/1k", what), of(t, f"{who}:/base/1k", what))
counted = lambda who, path: minus(I.get(f"{who}:/{path}/1k"), I.get(f"{who}:/base/1k"))
table(["", "Pilotlight, µs", "nginx, µs", "Pilotlight, instructions", "nginx, instructions"], [
    [name] + [show(adds(J, w, x, "us"), "{:.1f}") for w in ("ours-chain", "nginx-lua")]
    + [show(counted(w, x), "{:,.0f}") for w in ("ours-chain", "nginx-lua")]
    for name, x in (("token check, HS256", "hs256"), ("token check, ES256", "es256"), ("a limit by a dictionary", "limit"),
                    ("headers by expressions", "rewrite"), ("HS256, limit and headers in one chain", "chain"))
])

print("## Body transforms, 64 KiB, microseconds beyond a plain pass or beyond holding the body\n")
hold = lambda host, base: minus(of(C, f"{host}:/buf/64k"), of(C, f"{base}:/64k"))
table(["", "Pilotlight, Wasm", "Envoy, Wasm (V8)", "Pilotlight, Lua", "nginx, Lua", "machine code"], [
    row("held whole", "{:.1f}", hold("ours-transform", "ours"), hold("envoy-wasm", "envoy"), hold("ours-body", "ours"), hold("nginx-lua", "nginx"), None),
    *(row(name, "{:.0f}", *(net(h, w) for h in ("ours-transform", "envoy-wasm", "ours-body", "nginx-lua")), N.get(w))
      for name, w in (("byte scan", "scan"), ("SHA-256", "sha"))),
    row("JSON redaction as it streams (a filter in Rust)", "{:.0f}", *(minus(of(C, f"{w}-redact:/64k"), of(C, f"{w}:/64k")) for w in ("ours", "envoy")), None, None, None),
])

print("## The same work in Lua and in Wasm, 64 KiB, microseconds\n")
heavy = lambda what, less="none": minus(of(T, f"ours-heavy:/heavy/{what}"), of(T, f"ours-heavy:/heavy/{less}"))
table(["", "LuaJIT", "Wasm, called from Lua", "Wasm, times as fast"], [
    [name] + [show(heavy(f"{w}-{x}"), "{:.0f}") for w in ("lua", "wasm")] + [show(ratio(heavy(f"lua-{x}"), heavy(f"wasm-{x}")), "{:.1f}")]
    for name, x in (("SHA-256", "sha"), ("JSON redaction", "redact"), ("a picture made a quarter as wide and high", "resize"))
])
# A scenario makes 1,000 calls a request: microseconds are nanoseconds a call.
print("A script's call into a module and back, nanoseconds: " + ", ".join(
    f"{name} {show(heavy('calls-' + x, 'calls-none'), '{:.0f}')} on a fiber, {show(heavy('inline-' + x, 'calls-none'), '{:.0f}')} inline"
    for name, x in (("with two integers", "add"), ("with a KiB each way", "echo"))) + ".\n")

print("## Many Wasm filters on a worker, each a module of its own\n")
def grown(who, kind, n, what):
    a, b = (W.get(f"{who}:{kind}:{k}", {}).get(what) for k in (n, 0))
    return minus(a, b)
table(["", "Pilotlight", "Envoy"], [
    row(f"{n} {label}: memory that they add, {when} (MiB)", "{:.1f}", *(mib(grown(f"{w}-many", kind, n, what)) for w in ("ours", "envoy")))
    for kind, label in (("small", "header filters in C"), ("redact", "JSON redactors in Rust")) for n in (1, 20)
    for what, when in (("idle", "idle"), ("served", "having served"))
] + [row(f"{n} {label}: time that they add to the start (ms)", "{:.1f}", *(grown(f"{w}-many", kind, n, "start") for w in ("ours", "envoy")))
    for kind, label in (("small", "header filters in C"), ("redact", "JSON redactors in Rust")) for n in (20, 50)])

print("## Memory of many programs, MiB proportional\n")
held = lambda who, kind, when, what="Pss": mib(R.get(f"{who}:{kind}", {}).get(when, {}).get(what))
table(["", "Pilotlight", "nginx with Lua", "HAProxy with Lua", "Envoy"], [
    row(name, "{:.1f}", *(held(w, kind, when) for w in ("ours-many", "nginx-lua", "haproxy-many", "envoy-many")))
    for name, kind, when in (("20 Lua filters (Pilotlight and Envoy: and 10 in Wasm), idle", "few", "idle"), ("the same, all used", "few", "used"),
                             ("1,894 routes with 2 scripts each on 8 workers, none used", "many", "idle"), ("the same, each used on each worker", "many", "used"),
                             ("500 VMs and 10,000 connections: before", "burst", "idle"), ("at once", "burst", "full"), ("five seconds after", "burst", "used"))
])

print("## From sleep, and from exec, to the first byte over TLS, ms: median / p99\n")
waking = lambda who, share: sorted(Z[who])[int(len(Z[who]) * share)] if Z.get(who) else None
woke = lambda who: (lambda t: f"{st.median(t):.1f} / {sorted(t)[int(len(t) * .99)]:.1f}" if t else None)(Z.get(who))
UNUSED = {"lua": "in Lua", "openresty": "for OpenResty", "wasm": "in Wasm", "mixed": "of all three"}
table(["", "Pilotlight", "nginx with Lua"], [
    row("woken by a connection; a Lua filter and one in Wasm", "{}", woke("ours-asleep"), None),
    *(row(f"and 20 more that it does not use, {what}", "{}", woke(f"ours-asleep-{kind}"), None) for kind, what in UNUSED.items()),
    row("from exec", "{}", woke("ours-both"), woke("nginx-lua")),
])

print("## Latency, microseconds: p50 / p99 at 4,000 requests a second offered\n")
both = lambda t, p: None if of(t, p) is None else f"{of(t, p, 'p50'):.0f} / {of(t, p, 'p99'):.0f}"
table(["", "Pilotlight", "nginx", "HAProxy", "Envoy", "Caddy", "forwarder"], [
    row("plain, one connection, unpaced", "{}", *(both(ONE, p) for p in PEERS)),
    row("plain, 32 connections", "{}", *(both(L, p) for p in PEERS)),
    row("Lua header filter", "{}", both(L, "ours-lua"), both(L, "nginx-lua"), None, None, None, None),
    row("Lua and Wasm (Envoy: Wasm)", "{}", both(L, "ours-both"), None, None, both(L, "envoy-wasm"), None, None),
    row("the chain of three above, at 16,000 a second (half load)", "{}", both(LJ, "ours-chain:/chain/1k"), both(LJ, "nginx-lua:/chain/1k"), None, None, None, None),
    row("HTTP/2 over TLS", "{}", *(both(L2, p) for p in PEERS)),
    row("HTTP/3", "{}", *(both(L3, p) for p in PEERS)),
])

print("## Five times more than an upstream of 800 requests a second can do; clients wait for a second\n")
at = lambda who, times, what, scale=1: st.median(r[what] for r in O[f"{who}:{times}"]) * scale if f"{who}:{times}" in O else None
OVER = ("ours-gate", "ours", "envoy-gate", "nginx")
table(["", "Pilotlight, `admission`", "without", "Envoy, adaptive concurrency", "nginx"], [
    row(f"{name} at {times} times", form, *(at(w, times, what, scale) for w in OVER))
    for times in (0.3, 0.95, 5)
    for name, what, form, scale in (("answers in time, a second", "good", "{:.0f}", 1), ("p99 of them, ms", "p99", "{:.1f}", 1e3))
] + [row("proportional memory at 5 times (MiB)", "{:.1f}", *(mib(at(w, 5, "mem")) for w in OVER))])

print("## Footprint\n")
WHO = ("ours", "ours-both", "nginx", "nginx-lua", "haproxy", "envoy-wasm")
table(["", "Pilotlight", "with Lua and Wasm", "nginx", "nginx with Lua", "HAProxy", "Envoy with Wasm"], [
    row("proportional memory, idle (MiB)", "{:.1f}", *(mib(foot(w, "idle", "Pss")) for w in WHO)),
    row("three seconds after load (MiB)", "{:.1f}", *(mib(foot(w, "load", "Pss")) for w in WHO)),
    row("from exec to the first proxied 200 (ms)", "{:.1f}", *(foot(w, "start") for w in WHO)),
    row("idle connection, clear (KiB)", "{:.1f}", *(foot(w, "h1") for w in WHO)),
    row("idle connection, TLS (KiB)", "{:.1f}", *(foot(w, "tls") for w in WHO)),
    row("idle connection, HTTP/2 over TLS (KiB)", "{:.1f}", *(foot(w, "h2") for w in WHO)),
])

if SOAK:
    who, soak = next(iter(SOAK.items()))
    print("## Memory of a chain of three with sockets and timers, ten minutes at 4,000 requests a second\n")
    print(f"{soak['served']:,} requests were served, {soak['bad']} failed. Proportional memory, MiB:\n")
    minutes = {int(at // 60): kib / 1024 for at, kib in soak["curve"]}
    table(["minute"] + [str(m + 1) for m in minutes], [row("", "{:.1f}", *minutes.values())])

more = lambda kind: (M.get(kind, {}).get("idle"), M.get(kind, {}).get("used"))
size = os.path.getsize(os.environ["PILOTLIGHT"]) / 2**20 if "PILOTLIGHT" in os.environ else None
loads = [ratio(foot(w, "load", "Pss"), foot(w, "idle", "Pss")) for w in WHO[:2]]
# The number, the goal, what was measured, and whether it is met.
GOALS = [
    ("G1", "plain CPU at most 1.05 × nginx", ["{:.2f}", ratio(of(A, "ours"), of(A, "nginx"))], 1.05),
    ("G2", "plain: at most 28k instructions", ["{:,.0f}", instr("ours")], 28_000),
    ("", "plain: at most 4.3 system calls", ["{:.2f}", calls("ours")], 4.3),
    ("G3", "one connection: p50 at most 15 µs over the forwarder", ["{:+.0f} µs", minus(of(ONE, "ours", "p50"), of(ONE, "floor", "p50"))], 15),
    ("", "4,000 requests/s: p99 at most 1.1 × nginx", ["{:.2f}", ratio(of(L, "ours", "p99"), of(L, "nginx", "p99"))], 1.1),
    ("G4", "a Lua filter adds at most 2 µs", ["{:+.1f} µs", minus(of(B, "ours-lua"), of(B, "ours"))], 2),
    ("", "a Lua filter adds at most 5.5k instructions", ["{:,.0f}", minus(instr("ours-lua"), instr("ours"))], 5_500),
    ("G5", "a Wasm filter adds at most 3 µs", ["{:+.1f} µs", minus(of(B, "ours-wasm"), of(B, "ours"))], 3),
    ("", "a Wasm filter adds at most 14k instructions", ["{:,.0f}", minus(instr("ours-wasm"), instr("ours"))], 14_000),
    ("G6", "a fresh instance adds at most 10 µs to that", ["{:+.1f} µs", minus(of(B, "ours-fresh"), of(B, "ours-wasm"))], 10),
    ("G7", "Wasm byte scan at most 1.25 × V8", ["{:.2f}", ratio(net("ours-transform", "scan"), net("envoy-wasm", "scan"))], 1.25),
    ("", "Wasm byte scan at most 1.6 × machine code", ["{:.2f}", ratio(net("ours-transform", "scan"), N.get("scan"))], 1.6),
    ("", "Wasm SHA-256 at most 1.25 × V8", ["{:.2f}", ratio(net("ours-transform", "sha"), net("envoy-wasm", "sha"))], 1.25),
    ("G8", "Lua byte scan at most 1.0 × nginx with Lua", ["{:.2f}", ratio(net("ours-body", "scan"), net("nginx-lua", "scan"))], 1.0),
    ("", "Lua SHA-256 at most 1.0 × nginx with Lua", ["{:.2f}", ratio(net("ours-body", "sha"), net("nginx-lua", "sha"))], 1.0),
    ("G9", "a 64 KiB body handed to Wasm: at most 20 µs", ["{:+.1f} µs", hold("ours-transform", "ours")], 20),
    ("G10", "HTTP/2 CPU at most 1.0 × nginx", ["{:.2f}", ratio(of(D2, "ours"), of(D2, "nginx"))], 1.0),
    ("G11", "HTTP/3 CPU at most 0.5 × Caddy", ["{:.2f}", ratio(of(D3, "ours"), of(D3, "caddy"))], 0.5),
    ("G12", "TLS handshake at most 1.0 × HAProxy", ["{:.2f}", ratio(of(DH, "ours"), of(DH, "haproxy"))], 1.0),
    ("G13", "idle memory at most 6 MiB", ["{:.1f}", mib(foot("ours", "idle", "Pss"))], 6),
    ("", "with filters at most 10 MiB", ["{:.1f}", mib(foot("ours-both", "idle", "Pss"))], 10),
    ("G14", "a further module at most 512 KiB (loaded; used)", ["{:.0f}; {:.0f} KiB", *more("wasm")], 512),
    ("", "a further script at most 128 KiB (loaded; used)", ["{:.0f}; {:.0f} KiB", *more("lua")], 128),
    ("G15", "idle connection, clear: at most 2 KiB", ["{:.1f}", foot("ours", "h1")], 2),
    ("", "idle connection, TLS: at most 15 KiB", ["{:.1f}", foot("ours", "tls")], 15),
    ("", "idle connection, HTTP/2: at most 20 KiB", ["{:.1f}", foot("ours", "h2")], 20),
    ("G16", "memory after load at most 1.25 × idle (plain; with filters)", ["{:.2f}; {:.2f}", *loads], 1.25),
    ("G17", "first 200 within 9 ms", ["{:.1f}", foot("ours", "start")], 9),
    ("", "with filters within 15 ms", ["{:.1f}", foot("ours-both", "start")], 15),
    ("G18", "the binary at most 16 MiB", ["{:.2f}", size], 16),
    ("G19", "64 MiB body, CPU at most 1.0 × Envoy", ["{:.2f}", ratio(of(F, "ours:/64m", "cpugib"), of(F, "envoy:/64m", "cpugib"))], 1.0),
    ("W1", "a Wasm header filter: at least 2.5 × Envoy's requests a CPU second, the same module", ["{:.2f}", ratio(of(B, "envoy-wasm"), of(B, "ours-transform"))], -2.5),
    ("W2", "a 64 KiB body handed over and back: at most 23 µs", ["{:+.1f} µs", hold("ours-transform", "ours")], 23),
    ("W3", "a fresh instance adds at most 20 µs", ["{:+.1f} µs", minus(of(B, "ours-fresh"), of(B, "ours-wasm"))], 20),
    ("W4", "20 filters: at most a fifth of the memory they add to Envoy (small; JSON redaction)",
     ["{:.3f}; {:.3f}", *(ratio(grown("ours-many", k, 20, "served"), grown("envoy-many", k, 20, "served")) for k in ("small", "redact"))], 0.2),
    ("W5", "50 modules from the cache add at most 10 ms to the start (small; JSON redaction)",
     ["{:+.1f}; {:+.1f} ms", *(grown("ours-many", k, 50, "start") for k in ("small", "redact"))], 10),
    ("R1", "20 Lua and 10 Wasm filters loaded, idle: at most 8 MiB resident", ["{:.1f} MiB", held("ours-many", "few", "idle", "Rss")], 8),
    ("", "and 5 MiB proportional", ["{:.1f} MiB", held("ours-many", "few", "idle")], 5),
    ("R2", "1,894 routes with 2 scripts on 8 workers: at most 15 MiB when none is used", ["{:.1f} MiB", held("ours-many", "many", "idle")], 15),
    ("", "at most 50 MiB when each is used on each worker", ["{:.1f} MiB", held("ours-many", "many", "used")], 50),
    ("R3", "five seconds after a burst at most 10 % and 1 MiB over idle", ["{:+.1f} MiB over", minus(held("ours-many", "burst", "used"), ratio(held("ours-many", "burst", "idle"), 1 / 1.1))], 1),
    ("Z1", "woken, first byte over TLS: median at most 10 ms", ["{:.1f} ms", waking("ours-asleep", .5)], 10),
    ("", "p99 at most 25 ms", ["{:.1f} ms", waking("ours-asleep", .99)], 25),
    ("", "at most 1.0 × nginx with Lua from exec (woken; from exec)", ["{:.2f}; {:.2f}", *(ratio(waking(w, .5), waking("nginx-lua", .5)) for w in ("ours-asleep", "ours-both"))], 1.0),
    ("Z2", "20 filters that nobody uses add at most 1 ms (Lua; OpenResty; Wasm; mixed)", ["{:.2f}; {:.2f}; {:.2f}; {:.2f} ms", *(minus(waking("ours-asleep-" + k, .5), waking("ours-asleep", .5)) for k in UNUSED)], 1.0),
    ("K1", "an application's cold start: the gateway's own share, beside a plain spawn, at most 2 ms, median (starts of 20 and 300 ms)",
     ["{:.1f}; {:.1f} ms", *(st.median(K[k]) - st.median(K[k + ", spawn"]) if K.get(k) else None for k in ("20 ms, /health", "300 ms, /health"))], 2.0),
    ("W6", "a call from Lua with two integers at most 300 ns (on a fiber; inline)",
     ["{:.0f}; {:.0f} ns", *(heavy(f"{w}-add", "calls-none") for w in ("calls", "inline"))], 300),
    ("", "a call from Lua with a KiB each way at most 1,000 ns (on a fiber; inline)",
     ["{:.0f}; {:.0f} ns", *(heavy(f"{w}-echo", "calls-none") for w in ("calls", "inline"))], 1000),
    ("O1", "five times too much: answers in time at least 0.9 × the peak", ["{:.2f}", ratio(at("ours-gate", 5, "good"), at("ours-gate", 0.95, "good"))], -0.9),
    ("", "p99 of those let in at most 5 × idle", ["{:.1f}", ratio(at("ours-gate", 5, "p99"), at("ours-gate", 0.3, "p99"))], 5),
    ("G20", "Lua and Wasm on: at least 20k requests/s", ["{:,.0f}", of(B, "ours-both", "rps")], -20_000),
    ("", "Lua and Wasm on: CPU at most 0.5 × Envoy with Wasm", ["{:.2f}", ratio(of(B, "ours-both"), of(B, "envoy-wasm"))], 0.5),
]


def verdict(values, limit):
    if any(v is None for v in values):
        return "-"
    met = all(v >= -limit if limit < 0 else v <= limit for v in values)
    return "yes" if met else "**no**"


print("## The goals\n")
table(["", "goal (must)", "measured", "met"], [
    [number, goal, "-" if None in values else form.format(*values), verdict(values, limit)]
    for number, goal, (form, *values), limit in GOALS
])

tables = out.getvalue()
sys.stdout = sys.__stdout__
if len(sys.argv) > 2:
    text = open(sys.argv[2]).read()
    before, mark, rest = text.partition("<!-- tables: tests/bench/goals.py writes them -->\n\n")
    _, end, after = rest.partition("<!-- end of tables -->\n")
    assert mark and end, "no marks in " + sys.argv[2]
    open(sys.argv[2], "w").write(before + mark + tables + end + after)
else:
    print(tables, end="")
