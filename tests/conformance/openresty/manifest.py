"""The neutral Plan of a block -> a manifest of Pilotlight, with the scripts that it names.

A location becomes a route, its phases one filter `openresty`. A script's file has the name that
nginx gives to the code's place, since a script's name in messages is its path in the manifest.
"""
from __future__ import annotations

import os
import re

import directives as D
import keys
import syntax
import units
from adapters.base import Untranslatable
from plan import Chunk, Location
from route import Route

HTTP_PHASES = {"init", "init_worker", "exit_worker"}
CONNECTION_PHASES = {"ssl_client_hello", "ssl_certificate", "ssl_session_fetch", "ssl_session_store"}
BEYOND = {                     # what the sandbox has not, whatever the manifest says
    r"\bstring\.dump\b": "bytecode (string.dump)",
    r"\bos\.(execute|exit|remove|rename|tmpname)\b": "os.execute, os.remove and the like",
    r"\bio\.popen\b": "processes (io.popen)",
    r"\x1bLJ": "bytecode",
    r"\bngx_http_lua_ffi_|\bC\.ngx_": "the module's C symbols by FFI",
}
BY_NAME = """local path = PATH
if path:sub(1, 1) ~= "/" then path = PREFIX .. path end
local chunk, why = loadfile(path)
if not chunk then
  ngx.log(ngx.ERR, 'failed to load external Lua file "', path, '": ', why)
  return ngx.exit(why:find("cannot open", 1, true) and 404 or 500)
end
return chunk()
"""
FILES = r"\bio\.(open|lines|read|write|stdout|stderr|output|input)\b"


class Manifest:
    """Fills `doc` from a plan and writes scripts into `folder`."""

    def __init__(self, ctx, plan, lua, version):
        self.ctx, self.plan, self.lua, self.version = ctx, plan, lua, version
        self.folder = os.path.join(ctx.root, "conf")
        self.server = "nginx"
        self.doc = {"gateway": {}, "log": {}, "lua": {}, "listeners": [], "routes": [], "filters": {},
                    "shared": {}, "upstreams": {}}
        self.written = {}
        self.twice = ""            # what stands in the configuration a second time

    def fill(self):
        for pattern, what in BEYOND.items():
            if re.search(pattern, self.lua):
                raise Untranslatable(what)
        self.process()
        keys.check(self.plan.options)
        for server in self.plan.servers:
            keys.check(server.options)
            listener, host = self.listener(server)
            for location in self.flat(server.locations):
                keys.check(location.options)
                self.doc["routes"].append(Route(self, server, location).table(listener, host))
            for location in self.slashless(server.locations):
                self.doc["routes"].append(Route(self, server, location).table(listener, host))
        if self.ctx.hup_version:
            self.doc["routes"].append({
                "match": {"host": "Test-Nginx", "path": "/ver"},
                "respond": {"body": self.ctx.hup_version}})
        return self.doc

    # -------------------------------------------------------- the process

    def process(self):
        plan, doc = self.plan, self.doc
        doc["gateway"].update(
            workers=plan.workers, drain="1s", forwarded={"via": False, "x_forwarded": False},
            env=sorted({e.split("=")[0] for e in plan.env if re.match(r"^[A-Za-z_]\w*(=|$)", e)}))
        level = {"debug": "debug", "info": "info", "notice": "info", "warn": "warn"}
        doc["log"].update(access="off", level=level.get(plan.log_level, "error"))
        doc["lua"].update(path=self.package_path(), memory="256MiB", ffi=True)
        if re.search(FILES, self.lua) or self.reads_body_files():
            doc["lua"]["io"] = True
        for name, size in plan.shared_dicts:
            if name in doc["shared"]:
                self.twice += f"\n[shared.{name}]\nsize = \"{units.size(size)}\"\n"
            doc["shared"][name] = {"size": units.size(size)}
        for name, *args in plan.options:
            if name in keys.OF_PROCESS:
                key, value = keys.OF_PROCESS[name]
                keys.put(doc["lua"], key, value(args))
            elif name == "thread_pool":
                threads = next((a[8:] for a in args if a.startswith("threads=")), "32")
                doc["lua"].setdefault("threads", {})[args[0]] = int(threads)
        self.resolver()
        phases = self.scripts(c for c in plan.phases if c.phase in HTTP_PHASES)
        phases |= keys.settings(self.ctx, lambda d: self.option(plan.options, d)) if phases else {}
        self.http = [self.filter("http", {"openresty": phases})] if phases else []

    def reads_body_files(self):
        """`echo_request_body` of a body that is in a file."""
        names = {a[0] for s in self.plan.servers for l in self.flat(s.locations)
                 for a in [*l.actions, *l.options, *s.options]}
        return "echo_request_body" in names and \
            ("client_body_in_file_only" in names or "set_body_file" in self.lua)

    def package_path(self):
        given = self.plan.package_path or ";;"
        roots = [re.sub(r"\$\{?prefix\}?", self.plan.prefix + "/", p) for p in given.split(";") if p]
        libraries = os.environ.get("OPENRESTY_LUALIB", "")
        roots += [f"{libraries}/?.lua", f"{libraries}/?/init.lua"] if libraries else []
        return list(dict.fromkeys(os.path.join(self.ctx.workdir, p) for p in roots))

    def resolver(self):
        """One for the process: the first that stands anywhere."""
        found = list(self.plan.resolver)
        wait = None
        for holder in self.plan.servers + [l for s in self.plan.servers for l in self.flat(s.locations)]:
            found = found or self.option(holder.options, "resolver") or []
            wait = wait or self.option(holder.options, "resolver_timeout")
        if found:
            resolver = {"servers": [a for a in found if "=" not in a], "ipv6": "ipv6=off" not in found}
            if wait:
                resolver["timeout"] = units.time(wait[0])
            self.doc["lua"]["resolver"] = resolver

    # ------------------------------------------------------- servers

    @staticmethod
    def slashless(locations):
        """nginx sends who asks for a proxied `/a/` without its slash there."""
        for at in locations:
            short = at.value[:-1]
            if not short or at.value[-1] != "/" or at.kind not in ("exact", "prefix") or \
                    all(a[0] != "proxy_pass" for a in at.actions) or \
                    any(o.kind == "exact" and o.value == short for o in locations):
                continue
            code = "local var = ngx.var\nreturn ngx.redirect(var.scheme .. '://' .. var.host .. ':' .. " \
                f"var.server_port .. {D.literal(at.value)}, 301)\n"
            phases = [c for c in at.phases if c.phase.endswith("filter") or c.phase == "log"]
            phases.append(Chunk("content", code, chunkname="slash"))
            yield Location("exact", short, phases, [["lua", len(phases) - 1]])

    def listener(self, server):
        """Its listeners' names, and the host if another server is the default there."""
        names, host = [], None
        for args in server.listen or [["80"]]:
            address = self.address(args[0])
            known = next((l for l in self.doc["listeners"] if l["address"] == address), None)
            if known:
                host = server.names[0] if server.names else None
                names.append(known["name"])
                if "tls" in known:
                    self.share(known, server)
                continue
            made = {"name": f"l{len(self.doc['listeners'])}", "address": address}
            if "ssl" in args or "quic" in args:
                made["tls"] = self.certificates(server)
                made["protocols"] = ["http1", "http2"] if "http2" in args else ["http1"]
                verify = self.effective(server, None, "ssl_verify_client")
                if verify and verify[0] == "on":
                    made["client_ca"] = keys.path(
                        self.ctx, self.effective(server, None, "ssl_client_certificate")[0])
                elif verify and verify[0] != "off":
                    raise Untranslatable(f"ssl_verify_client {verify[0]}")
                if self.effective(server, None, "ssl_session_tickets") == ["off"]:
                    made["session_tickets"] = False
                if phases := self.connection_phases(server):
                    settings = keys.settings(self.ctx, lambda d: self.effective(server, None, d))
                    table = {"openresty": phases | settings, "limits": {"cpu": "10s"}}
                    made["filters"] = [self.filter("tls", table)]
            made["limits"] = {"headers": 1000, "body_bytes": "30MiB"}
            made["timeouts"] = {
                "keepalive": "68s", **self.timeouts(server, {
                    "client_header_timeout": "header", "client_body_timeout": "body_idle",
                    "keepalive_timeout": "keepalive"})}
            self.doc["listeners"].append(made)
            names.append(made["name"])
        return names, host

    def certificates(self, server):
        pairs = zip(self.all(server, "ssl_certificate"), self.all(server, "ssl_certificate_key"))
        return [{"certificate": keys.path(self.ctx, c), "key": keys.path(self.ctx, k)} for c, k in pairs]

    def connection_phases(self, server):
        return self.scripts(self.inherit(CONNECTION_PHASES, server.phases, self.plan.phases))

    def share(self, listener, server):
        """Another server of the same address: its certificates; scripts are the address's."""
        listener["tls"] += [c for c in self.certificates(server) if c not in listener["tls"]]
        phases = self.connection_phases(server)
        known = [self.doc["filters"][f]["openresty"] for f in listener.get("filters", [])]
        known = [{p: s for p, s in of.items() if p in CONNECTION_PHASES} for of in known]
        if [phases] != known and (phases or known):
            raise Untranslatable("TLS scripts that differ between servers of one address")

    def timeouts(self, server, table):
        """They are the listener's here: the shortest that one of the locations asks for."""
        out = {}
        for directive, key in table.items():
            given = [o[1] for holder in [server, *self.flat(server.locations)]
                     for o in holder.options if o[0] == directive]
            times = [t for t in map(units.time, given) if t != "0ms"]
            if times:
                out[key] = min(times, key=lambda t: int(t[:-2]))
        return out

    @staticmethod
    def address(listen):
        if listen.startswith("unix:"):
            return listen
        return f"0.0.0.0:{listen}" if listen.isdigit() else listen.replace("*:", "0.0.0.0:")

    def all(self, server, name):
        return [o[1] for o in server.options if o[0] == name] or \
            [o[1] for o in self.plan.options if o[0] == name]

    def flat(self, locations):
        for location in locations:
            yield location
            yield from self.flat(location.locations)

    @staticmethod
    def option(options, name):
        return next((o[1:] for o in options if o[0] == name), None)

    def effective(self, server, location, name):
        """Where nginx inherits: location, server, http."""
        for holder in ([location.options] if location else []) + [server.options, self.plan.options]:
            if (found := self.option(holder, name)) is not None:
                return found
        return None

    @staticmethod
    def inherit(wanted, *levels):
        """The chunks of each wanted phase from the innermost level that has any."""
        out = []
        for phase in sorted(wanted):
            of = [[c for c in level if c.phase == phase] for level in levels]
            out += next((chunks for chunks in of if chunks), [])
        return out

    # ------------------------------------------------------- scripts

    def scripts(self, chunks):
        return {c.phase: self.script(c) for c in chunks}

    def script(self, chunk):
        if chunk.form == "_file":
            return self.script_file(chunk.file or "")
        return self.write(chunk.chunkname, chunk.code or "")

    def script_file(self, name):
        path = os.path.join(self.plan.prefix, name)
        if D.is_constant(name) and os.path.isfile(path):
            if not self.ctx.block.has("must_die"):
                with open(path, encoding="latin-1") as f:
                    syntax.check(name, f.read())
            return path
        # nginx opens the file for each request: its name may hold a variable, or lead nowhere
        self.doc["lua"]["io"] = True
        code = BY_NAME.replace("PATH", D.expression(name)).replace(
            "PREFIX", D.literal(self.plan.prefix + "/"))
        return self.write("by-name", code)

    def write(self, name, code):
        """A script beside the manifest; another with the same name goes into a folder."""
        at, number = name, 1
        while self.written.get(at, code) != code:
            number += 1
            at = f"{number}/{name}"
        if not self.ctx.block.has("must_die"):
            syntax.check(name, code)
        self.written[at] = code
        file = os.path.join(self.folder, at)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "wb") as f:
            f.write(code.encode("latin-1", "replace"))
        return at

    def filter(self, name, table):
        at, number = name, 1
        while self.doc["filters"].get(at, table) != table:
            number += 1
            at = f"{name}{number}"
        self.doc["filters"][at] = table
        return at

    def upstream(self, name, table):
        at, number = re.sub(r"[^\w.-]", "_", name), 1
        base = at
        while self.doc["upstreams"].get(at, table) != table:
            number += 1
            at = f"{base}{number}"
        self.doc["upstreams"][at] = table
        return at

