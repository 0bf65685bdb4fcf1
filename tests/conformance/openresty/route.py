"""One location -> one route: its match, its chain, its target."""
from __future__ import annotations

import os
import re

import directives as D
import keys
import units
from adapters.base import Untranslatable

EARLY = ["server_rewrite", "set", "rewrite"]
LATE = ["access", "precontent", "balancer", "proxy_ssl_certificate", "proxy_ssl_verify",
        "header_filter", "body_filter", "log"]
LIMITS = {"cpu": "10s"}           # nginx has none
BUILT_IN = {"args", "query_string", "limit_rate"}   # variables that nginx has, and lets one set
DENIED = 'ngx.log(ngx.ERR, "access forbidden by rule") return ngx.exit(403)'
PROXY = re.compile(r"^(https?)://(unix:[^:]+:?|[^/]+)(/.*)?$")


class Route:
    def __init__(self, manifest, server, location):
        self.m, self.server, self.location = manifest, server, location
        self.actions = [*server.actions, *location.actions]
        chunks = manifest.inherit(set(EARLY + LATE) - {"set"}, location.phases, server.phases,
                                  manifest.plan.phases)
        self.phases = manifest.scripts(chunks)
        self.echoes = False
        self.late = []             # filters behind the location's own: what the upstream sees
        self.out = {}

    def table(self, listeners, host):
        location, out = self.location, self.out
        self.match(listeners, host)
        self.variables()
        target = self.target()
        if any(a[0] == "internal" for a in location.actions):
            out["internal"] = True
        out["filters"] = self.chain()
        out.update(target)
        limit = self.option("client_max_body_size")
        if limit:
            out["limits"] = {"body_bytes": units.size(limit[0]) if limit[0] != "0" else "1TiB"}
        pages = [o[1:] for o in [*location.options, *self.server.options] if o[0] == "error_page"]
        pages += [a[1:] for a in self.actions if a[0] == "error_page"]
        if pages:
            out["errors"] = [self.error_page(p) for p in pages]
        return out

    def option(self, name):
        return self.m.effective(self.server, self.location, name)

    # --------------------------------------------------------- which requests

    def match(self, listeners, host):
        kind, value, match = self.location.kind, self.location.value, {}
        if kind == "named":
            self.out.update(name=value, internal=True)
            return
        if kind.startswith("regex"):
            match["regex"] = ("(?i)" if kind.endswith("nocase") else "") + value
        else:
            match["path"] = value if kind == "exact" else value + "*"
        if host:
            match["host"] = host
        if len(self.m.plan.servers) > 1 or len(self.server.listen) > 1:
            match["listeners"] = listeners
        self.out["match"] = match

    # --------------------------------------------------------- variables

    def variables(self):
        """Constants are the route's `vars`; what is computed, the filter's `set`, in order."""
        steps = []
        for holder in (self.server, self.location):
            for name, *args in holder.actions:
                if name == "set" and args[0].lstrip("$") not in BUILT_IN:
                    steps.append((args[0].lstrip("$").strip("{}"), args[1], None))
                elif name == "lua" and holder.phases[args[0]].phase == "set":
                    chunk = holder.phases[args[0]]
                    steps.append((chunk.args[0].lstrip("$"), None, chunk))
        # nginx has a root for each location; here it is what the manifest says that it is
        for name in ("realpath_root", "document_root"):
            if re.search(rf"\b{name}\b", self.m.lua):
                steps.append((name, os.path.join(self.m.plan.prefix, (self.option("root") or ["html"])[0]), None))
        constant = all(chunk is None and D.is_constant(value) for _, value, chunk in steps)
        if steps:
            self.out["vars"] = {var: value if constant else "" for var, value, _ in steps}
        if steps and not constant:
            self.phases["set"] = [self.step(*step) for step in steps]

    def step(self, var, value, chunk):
        if chunk is None:
            return {"var": var, "lua": self.m.write("set", f"return {D.expression(value)}")}
        table = {"var": var, "lua": self.m.script(chunk)}
        if chunk.args[1:]:
            table["args"] = chunk.args[1:]
        return table

    def constants(self, text):
        """A text with what is known of its variables put in."""
        known = {"server_port": str(self.m.ctx.port), "server_addr": "127.0.0.1"}
        known |= {a[1].lstrip("$"): a[2] for a in self.actions if a[0] == "set" and D.is_constant(a[2])}
        return D.VARIABLE.sub(lambda m: known.get(m[1] or m[2], m[0]), text)

    # --------------------------------------------------------- the target

    def target(self):
        """What answers: the last content handler that the location names."""
        returns = [a[1:] for a in self.location.actions if a[0] == "return"]
        if not returns and any(a[0] == "return" for a in self.server.actions):
            raise Untranslatable("return for a whole server")
        if returns:
            # comes before every script of the location
            self.phases = {k: v for k, v in self.phases.items() if k.endswith("filter") or k == "log"}
            return self.content(self.m.write("return", D.answer(returns[0])))
        handler = None
        for name, *args in self.location.actions:
            if name == "lua" and self.location.phases[args[0]].phase == "content":
                handler = self.location.phases[args[0]]
            elif name == "proxy_pass":
                handler = args[0]
            elif name in D.ECHO:
                handler = D.ECHO
            elif name == "try_files":
                raise Untranslatable("directive try_files")
        if handler is None:
            return self.files()
        if handler is D.ECHO:
            self.echoes = True
            return self.content(self.m.write("echo", D.echo(self.location.actions)))
        if isinstance(handler, str):
            return self.proxy(handler)
        return self.content(self.m.script(handler))

    def content(self, script):
        self.phases["content"] = script
        return {}

    def files(self):
        root = os.path.join(self.m.plan.prefix, (self.option("root") or ["html"])[0])
        index = self.option("index") or ["index.html"]
        if "path" not in self.out.get("match", {}):
            return {"files": {"root": root, "index": index}}
        value = self.location.value
        below = os.path.join(root, value.lstrip("/"))
        if os.path.isfile(below) or self.location.kind == "exact":
            self.out["match"]["path"] = value       # a capture would be what is below the file
        elif os.path.isdir(below):
            root = below
        else:
            root = os.path.join(self.m.folder, "nothing")
            os.makedirs(root, exist_ok=True)
        return {"files": {"root": root, "index": index}}

    def proxy(self, url):
        whole = not D.is_constant(url)      # with a variable in it, the URI replaces the request's
        url = self.constants(url)
        m = PROXY.match(url)
        if not m or not D.is_constant(m[2]):
            raise Untranslatable("proxy_pass to a variable")
        scheme, host, uri = m[1], m[2].rstrip(":"), m[3]
        target = {"upstream": self.upstream(scheme, host)}
        headers = D.upstream_headers([[n, *a] for n, *a in self.own_or_server("proxy_set_header")])
        if uri and uri != "$request_uri":
            template = re.sub(r"\$(\d)", r"{\1}", uri).replace("$args", "{query}")
            if D.is_constant(uri) and "?" not in uri:
                tail = "" if whole or self.location.kind == "exact" else "{1}"
                target["rewrite"] = {"path": uri + tail}
            elif D.is_constant(template) and "?" not in uri:
                target["rewrite"] = {"path": template}
            else:
                path, _, query = uri.partition("?")
                headers += [f"ngx.req.set_uri({D.expression(path)})",
                            f"ngx.req.set_uri_args({D.expression(query)})"]
        if headers:
            code = "\n".join(headers) + "\n"
            self.late.append(("proxy", {"access": self.m.write("proxy", code)}))
        return target

    def own_or_server(self, name):
        own = [o for o in self.location.options if o[0] == name]
        return own or [o for o in self.server.options if o[0] == name]

    def upstream(self, scheme, host):
        ssl = {"proxy_ssl_trusted_certificate": "ca", "proxy_ssl_certificate": "certificate",
               "proxy_ssl_certificate_key": "key"}
        wait = {"proxy_connect_timeout": "connect", "proxy_read_timeout": "first_byte"}
        between = self.option("proxy_read_timeout")
        block = next((u for u in self.m.plan.upstreams if u.names == [host]), None)
        table = {"endpoints": [self.endpoint(scheme, host, [])]}
        if block:
            servers = [a for a in block.actions if a[0] == "server"]
            table["endpoints"] = [self.endpoint(scheme, a[1], a[2:]) for a in servers]
            self.phases |= self.m.scripts(block.phases)
        if scheme == "https":
            verify = self.option("proxy_ssl_verify")
            tls = {"verify": bool(verify) and units.flag(verify[0])}
            tls |= {key: keys.path(self.m.ctx, o[0]) for d, key in ssl.items() if (o := self.option(d))}
            if name := self.option("proxy_ssl_name"):
                tls["server_name"] = name[0]
            table["tls"] = tls
        timeouts = {key: units.time(o[0]) for d, key in wait.items() if (o := self.option(d))}
        if between:
            timeouts["idle"] = units.time(between[0])
        if timeouts:
            table["timeouts"] = timeouts
        return self.m.upstream(host, table)

    @staticmethod
    def endpoint(scheme, host, options):
        if any(o in ("backup", "down") for o in options):
            raise Untranslatable("a backup server")
        weight = next((int(o[7:]) for o in options if o.startswith("weight=")), None)
        if host.startswith("unix:"):
            url = {"url": host, "tls": True} if scheme == "https" else {"url": host}
        else:
            url = {"url": f"{scheme}://{host}"}
        return url | ({"weight": weight} if weight else {})

    def error_page(self, args):
        codes = [int(a) for a in args[:-1] if a.isdigit()]
        table = {"on": codes, "to": args[-1]}
        answer = next((a for a in args[:-1] if a.startswith("=")), None)
        if answer:
            table["status"] = int(answer[1:]) if answer[1:] else "own"
        return table

    # --------------------------------------------------------- the chain

    def chain(self):
        """nginx's own modules around the location's scripts. Response phases run in reverse, so
        what stands first here edits a response last, as nginx's header modules do."""
        m, location = self.m, self.location
        before, again = D.rewrite(self.actions)
        lines = D.request_headers(self.actions) + self.conditions()
        lines += [f"ngx.var.{a[1].lstrip('$')} = {D.expression(a[2])}" for a in self.actions
                  if a[0] == "set" and a[1].lstrip("$") in BUILT_IN]
        need_body = self.option("lua_need_request_body")
        if need_body and units.flag(need_body[0]):
            lines.append("ngx.req.read_body()")
        lines += [before] if before else []
        tokens = self.option("server_tokens")
        name = m.server if tokens and tokens[0] == "off" else m.version
        headers = D.response_headers(self.actions, [*self.server.options, *location.options], name)
        first = {"header_filter": m.write("headers", headers)}
        if lines:
            first["rewrite"] = m.write("before", "\n".join(lines) + "\n")
            whole = keys.settings(self.m.ctx, self.option)
            first |= {k: whole[k] for k in ("body_in_file", "body_buffer") if k in whole}
        links = [("first", first)]
        if around := D.echo_around(location.actions):
            links.insert(0, ("around", {k: m.write(f"around-{k}", v) for k, v in around.items()}))
        links += self.own(again)
        links += self.late
        return m.http + [m.filter(n, {"openresty": t, "limits": LIMITS}) for n, t in links]

    def own(self, again):
        """The location's own filter; two, where something of nginx's runs between its phases."""
        between = {}
        if again:
            between["rewrite"] = self.m.write("search-again", D.SEARCH_AGAIN)
        if denied := self.denied():
            between["access"] = self.m.write("deny", denied)
        options = keys.settings(self.m.ctx, self.option)
        if self.echoes:
            options["http10_buffering"] = False       # that is of Lua's own content
        phases = self.phases
        name = re.sub(r"[^\w.-]+", "_", self.location.value).strip("_") or "root"
        if not phases:
            return [("between", between)] if between else []
        no_postpone = self.option("access_by_lua_no_postpone")
        if between and no_postpone and units.flag(no_postpone[0]):
            return [(name, phases | options), ("between", between)]
        early = {k: v for k, v in phases.items() if k in EARLY}
        if not between or not early:
            return ([("between", between)] if between else []) + [(name, phases | options)]
        rest = {k: v for k, v in phases.items() if k not in EARLY}
        links = [(f"{name}-rewrite", early | options), ("between", between)]
        return links + ([(name, rest | options)] if rest else [])

    def denied(self):
        lines = []
        rules = [o for o in self.location.options if o[0] in ("deny", "allow")] or \
            [o for o in self.server.options if o[0] in ("deny", "allow")]
        for name, whom in rules:
            what = DENIED if name == "deny" else "return"
            if whom == "all":
                lines.append(f"do {what} end")
                break
            lines.append(f"if ngx.var.remote_addr == {D.literal(whom)} then {what} end")
        return "\n".join(lines) + "\n" if any(r[0] == "deny" for r in rules) else None

    def conditions(self):
        """`if` with nothing but directives of the rewrite module in it."""
        lines = []
        for name, *args in self.actions:
            if name != "if":
                continue
            inner = args[0]
            if not inner["actions"] and not inner["options"]:
                continue
            m = re.match(r"^\(\s*\$(\w+)\s*(?:(=|!=|~\*?|!~\*?)\s*(.*?))?\s*\)$", inner["value"])
            if not m or inner["phases"] or inner["options"]:
                raise Untranslatable("if with more than the rewrite module's directives")
            lines += [f"if {D.condition(*m.groups())} then", *map(self.consequence, inner["actions"]), "end"]
        return lines

    @staticmethod
    def consequence(action):
        name, *args = action
        if name == "set":
            return f"ngx.var[{D.literal(args[0].lstrip('$'))}] = {D.expression(args[1])}"
        if name == "return":
            return D.answer(args).rstrip() if "exit" in D.answer(args) or "redirect" in D.answer(args) \
                else D.answer(args) + "return ngx.exit(ngx.HTTP_OK)"
        raise Untranslatable(f"{name} within if")
