"""A manifest as TOML, and what of it the gateway's own schema does not know."""
from __future__ import annotations

import json
import re

BARE = re.compile(r"^[A-Za-z0-9_-]+$")


def key(name):
    return name if BARE.match(name) else text(name)


def text(value):
    """A basic string; `${` would start an expansion of the manifest's own."""
    return json.dumps(value.replace("${", "$${"), ensure_ascii=True).replace("\x7f", "\\u007f")


def inline(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return "{ " + ", ".join(f"{key(k)} = {inline(v)}" for k, v in value.items()) + " }"


def toml(manifest):
    """Tables of the top level get a header of their own, all below them stands in one line."""
    out = []
    for name, table in manifest.items():
        for header, rows in sections(name, table):
            out.append(header)
            out += [f"{key(k)} = {inline(v)}" for k, v in rows.items()]
            out.append("")
    return "\n".join(out)


def sections(name, table):
    if isinstance(table, list):
        yield from ((f"[[{name}]]", row) for row in table)
    elif table and all(isinstance(row, dict) for row in table.values()) and name in NAMED:
        yield from ((f"[{name}.{key(k)}]", row) for k, row in table.items())
    else:
        yield f"[{name}]", table


NAMED = {"filters", "shared", "upstreams"}


def prune(value, schema, path=()):
    """Takes out what the schema does not know; yields the path of each."""
    shapes = [schema, *schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if isinstance(value, list):
        items = next((s["items"] for s in shapes if "items" in s), None)
        for one in value if items else ():
            yield from prune(one, items, path)
    if not isinstance(value, dict):
        return
    known = {k: v for s in shapes for k, v in s.get("properties", {}).items()}
    other = next((s["additionalProperties"] for s in shapes
                  if isinstance(s.get("additionalProperties"), dict)), None)
    free = not known and other is None
    for name in list(value):
        if name in known:
            yield from prune(value[name], known[name], (*path, name))
        elif other is not None:
            yield from prune(value[name], other, (*path, "*"))
        elif not free:
            del value[name]
            yield (*path, name)
