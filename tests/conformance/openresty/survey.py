"""What of the blocks translates, without starting anything: `run --survey [--list FILE] [--key NAME]`.

Prints how many blocks a manifest can express, why the others can't, and how many need each key of
the manifest. GATEWAY_SCHEMA=off counts every key as known.
"""
from __future__ import annotations

import argparse
import collections
import json
import os
import re
import tempfile
import tomllib

import netns
import suite as S
import written
from adapter import Ctx, Gateway, Untranslatable


def blocks(gateway, work, wanted):
    peer = S.Peer("openresty")
    peer.checkout(work)
    env = {"TNL_SERVROOT": f"{work}/t/servroot", "TNL_PORT": "1984",
           "TNL_NGINX_VERSION": gateway.nginx_version, "TNL_OPENSSL_VERSION": gateway.openssl_version,
           "TNL_PCRE": str(gateway.pcre), "TEST_NGINX_RESOLVER": "127.0.0.1", "TEST_NGINX_TIMEOUT": "",
           "TEST_NGINX_OPENRESTY_ORG_IP": "127.0.0.1", **gateway.env()}
    for name in wanted or peer.files():
        suite = S.load_file(work, name, env)
        for block in suite.blocks:
            if not block.skip and not block.error and block.has("config") and \
                    (wanted is None or block.number in wanted[name]):
                yield block


def names(value, path=()):
    """The keys of a manifest, with `*` for what its author named."""
    if isinstance(value, list):
        for one in value:
            yield from names(one, path)
    elif isinstance(value, dict):
        for name, below in value.items():
            free = path and (path[-1] == "vars" or len(path) == 1 and path[0] in written.NAMED)
            here = (*path, "*" if free else name)
            yield ".".join(here)
            yield from names(below, here)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--list", help="a blocks.json; without it every block of the suite")
    ap.add_argument("--key", help="also list the blocks that need this key, or fail for this reason")
    a = ap.parse_args()
    gateway = Gateway()
    wanted = json.load(open(a.list))["files"] if a.list else None
    reasons, keys, used, total = collections.Counter(), collections.Counter(), [], 0
    with tempfile.TemporaryDirectory() as work:
        for block in blocks(gateway, work, wanted):
            total += 1
            env = {**block.env, "TEST_NGINX_SERVER_PORT": "1984",
                   "TEST_NGINX_SERVER_ROOT": f"{work}/t/servroot"}
            ctx = Ctx(work, f"{work}/t/servroot", 1984, block, env, S.PortPool(netns.free_port, {1984}))
            try:
                gateway.render(ctx)
                with open(ctx.config, "rb") as f:
                    found = set(names(tomllib.load(f)))
            except (Untranslatable, S.Unsupported) as e:
                found = {re.sub(r"'[^']*'|/\S+", "...", str(e))}
                reasons.update(found)
                found = found if a.key in found else set()
            keys.update(found)
            if a.key in found:
                used.append(block.id)
    print(f"{total} blocks, {total - sum(reasons.values())} translate")
    for title, counted in (("why not", reasons), ("keys", keys)):
        print(f"\n{title}")
        for name, count in counted.most_common():
            print(f"{count:6} {name}")
    if a.key:
        print("\n" + "\n".join(used))


if __name__ == "__main__":
    main()
