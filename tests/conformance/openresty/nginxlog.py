"""The gateway's log lines, in the words that nginx writes its error log in.

Blocks look for `[error]`, `[lua] FILE:LINE: text` and `, client: ...`. The gateway writes JSON; a
thread reads it from the gateway's standard error and writes the other form to the block's log.
"""
from __future__ import annotations

import json
import os
import re
import threading
import time

LEVELS = ["stderr", "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"]
# What nginx appends to a line, in its order; a field of the same name carries it here.
CONTEXT = ["context", "client", "server", "request", "upstream", "host"]
QUOTED = {"request", "upstream", "host"}


# What nginx says of a script that failed, by the gateway's phase.
FAILED = {
    "request": "lua entry thread aborted: runtime error: ",
    "response": "failed to run header_filter_by_lua*: ",
    "response_body": "failed to run body_filter_by_lua*: ",
    "upstream": "failed to run balancer_by_lua*: ",
    "log": "failed to run log_by_lua*: ",
    "client_hello": "lua entry thread aborted: runtime error: ",
    "certificate": "lua entry thread aborted: runtime error: ",
    "session_fetch": "lua entry thread aborted: runtime error: ",
    "session_store": "failed to run session_store_by_lua*: ",
    "upstream_certificate": "lua entry thread aborted: runtime error: ",
    "upstream_verify": "lua entry thread aborted: runtime error: ",
}


def line(record, pid):
    """One record as nginx would write it, with its level. `severity` is nginx's own level where
    the script gave one that the gateway's five levels do not have."""
    level = record.get("severity") or record.get("level", "info")
    level = {"trace": "debug"}.get(level, level)
    stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(record.get("time", 0)))
    number = f"*{record['connection']} " if "connection" in record else ""
    if "error" in record:
        message = FAILED.get(record.get("phase"), str(record["message"]) + ": ")
        error = str(record["error"]).removeprefix(f"{record.get('phase')}: ")
        trace = record.get("trace") or ""
        if error.startswith("set_by_lua(") or re.search(r"\tset_by_lua\(.*: in main chunk$", trace):
            message = "failed to run set_by_lua*: "
        message += error
        message += f"\nstack traceback:\ncoroutine 0:\n{trace}" if trace else ""
    else:
        message = str(record.get("message", ""))
        # an inline script has no file in nginx
        message = re.sub(r"(function defined at )@(\w+_by_lua\()", r"\1=\2", message)
    context = "".join(
        f', {k}: "{record[k]}"' if k in QUOTED else f", {k}: {record[k]}"
        for k in CONTEXT if k in record)
    return level, f"{stamp} [{level}] {pid}#0: {number}{message}{context}\n"


class Pump(threading.Thread):
    """Copies the gateway's lines into the block's log until the gateway has closed its end."""

    def __init__(self, source, target, level, pid, init=()):
        super().__init__(daemon=True)
        self.init = init               # the files of the phase init
        self.source, self.target, self.pid = source, target, pid
        self.least = LEVELS.index(level) if level in LEVELS else len(LEVELS)
        self.tail = []                 # what it said last, for a start that failed
        self.start()

    def run(self):
        with self.source, open(self.target, "ab", buffering=0) as log:
            for raw in self.source:
                level, written = self.read(raw)
                self.tail = (self.tail + [written])[-20:]
                if LEVELS.index(level) <= self.least:
                    log.write(written.encode("utf-8", "surrogateescape"))

    def read(self, raw):
        try:
            record = json.loads(raw)
            if isinstance(record, dict):
                level, written = line(record, self.pid)
                return (level if level in LEVELS else "info"), written
        except ValueError:
            pass
        text = raw.decode("utf-8", "replace")
        place = re.match(r"(.*?):(\d+):\d+: (.*)", text, re.DOTALL)
        if place and os.path.realpath(place[1]) in self.init:
            name = os.path.basename(place[1])
            name, what = (name, "init_by_lua") if "(" in name else (place[1], "init_by_lua_file")
            return "error", f"[error] {what} error: {name}:{place[2]}: {place[3]}"
        # A manifest that was refused speaks in plain text: nginx calls that an emergency.
        return "emerg", "[emerg] " + text
