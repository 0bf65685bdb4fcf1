"""A block's nginx configuration -> a neutral Plan that knows nothing of the gateway.

    parse (ngxconf)  ->  classify()  ->  translate() : Plan
"""
from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, field

from adapters.base import Untranslatable
import ngxconf as N
import suite as S

# ---------------------------------------------------------------- vocabulary

PHASES = ("init", "init_worker", "exit_worker", "ssl_client_hello", "ssl_certificate",
          "ssl_session_store", "ssl_session_fetch", "proxy_ssl_certificate", "proxy_ssl_verify",
          "server_rewrite", "set", "rewrite", "access", "precontent", "content", "header_filter",
          "body_filter", "log", "balancer")
PHASE_DIRECTIVES = {f"{p}_by_lua{s}": (p, s) for p in PHASES for s in ("", "_block", "_file")}

# 1. what a Lua gateway has to express anyway
CORE = set(PHASE_DIRECTIVES) | set("""
location server listen server_name set return proxy_pass default_type resolver resolver_timeout
lua_shared_dict lua_package_path lua_package_cpath server_tokens
rewrite_by_lua_no_postpone access_by_lua_no_postpone precontent_by_lua_no_postpone
echo echo_sleep echo_flush echo_request_body echo_read_request_body echo_duplicate echo_status
echo_after_body echo_before_body echo_blocking_sleep echo_end echo_reset_timer
""".split())
# settings of the Lua module itself
CORE_PREFIX = ("lua_",)
# limits and logs: accepted, no change of meaning to translate
SETTINGS = set("""
access_log error_log log_format log_subrequest env keepalive_timeout keepalive_requests lingering_close
lingering_time lingering_timeout client_body_buffer_size client_max_body_size client_body_timeout
client_header_buffer_size large_client_header_buffers client_header_timeout send_timeout
client_body_temp_path client_body_in_file_only client_body_in_single_buffer tcp_nodelay tcp_nopush
sendfile sendfile_max_chunk aio directio output_buffers postpone_output reset_timedout_connection
ignore_invalid_headers underscores_in_headers merge_slashes worker_connections worker_processes
server_names_hash_bucket_size variables_hash_max_size variables_hash_bucket_size types_hash_max_size
master_process daemon pid worker_rlimit_core working_directory worker_shutdown_timeout events
debug_connection accept_mutex timer_resolution proxy_temp_path pcre_jit rewrite_log
uninitialized_variable_warn connection_pool_size request_pool_size max_ranges
thread_pool charset charset_types
""".split())
# the proxy-wasm host's own directives (the second suite)
WASM = set("""
wasm module proxy_wasm proxy_wasm_isolation proxy_wasm_request_headers_in_access
proxy_wasm_log_dispatch_errors proxy_wasm_lua_resolver shm_kv shm_queue metrics slab_size
max_metric_name_length resolver_add wasm_response_body_buffers wasm_socket_buffer_reuse
wasm_socket_buffer_size wasm_socket_large_buffers wasm_socket_connect_timeout wasm_socket_read_timeout
wasm_socket_send_timeout socket_connect_timeout tls_trusted_certificate tls_verify_cert tls_verify_host
tls_no_verify_warn backtraces compiler flag load_module
""".split())
CORE |= WASM
# `wasm_call` runs a function of a raw (not proxy-wasm) module: beyond.

# 2. nginx features with an evident counterpart in a general gateway
PLUS = set("""
if rewrite break error_page try_files internal root alias index upstream keepalive_pool least_conn ip_hash
add_header expires etag if_modified_since gzip gzip_types gzip_http_version gzip_min_length gzip_vary
gzip_proxied gzip_comp_level gunzip chunked_transfer_encoding include types map geo satisfy deny allow
auth_basic auth_basic_user_file limit_rate limit_rate_after limit_req limit_req_zone limit_conn
post_action recursive_error_pages port_in_redirect absolute_redirect server_name_in_redirect http2
more_set_headers more_clear_headers more_set_input_headers more_clear_input_headers msie_padding
echo_location echo_location_async echo_subrequest echo_subrequest_async echo_exec echo_foreach_split
echo_abort_parent random_index autoindex auth_request slice real_ip_header set_real_ip_from
allow_all dav_methods create_full_put_path mirror http quic
""".split())
PLUS_PREFIX = ("proxy_", "ssl_", "gzip_", "zone", "keepalive")
# anything else (other modules' directives) is beyond

ECHO_CORE = {d for d in CORE if d.startswith("echo")}


def tier_of(name):
    if name in CORE or name.startswith(CORE_PREFIX) or name in SETTINGS:
        return "core"
    if name in PLUS or name.startswith(PLUS_PREFIX):
        return "plus"
    return "beyond"


# ---------------------------------------------------------------- classify

@dataclass
class Class:
    tier: str = "core"
    beyond: list = field(default_factory=list)
    plus: list = field(default_factory=list)
    obstacles: list = field(default_factory=list)
    backends: int = 0
    parse_error: str | None = None

    @property
    def translatable(self):
        return self.parse_error is None and self.tier != "beyond" and not self.obstacles


_LINE_RX = re.compile(r"nginx\\?\.conf:\d+|\(nginx\.conf")


def config_of(block):
    return {k: (block.get(k) if isinstance(block.get(k), str) else "")
            for k in ("main_config", "http_config", "config", "post_main_config")}


def asts(block):
    return {k: N.parse(v) for k, v in config_of(block).items()}


def lua_texts(block, trees=None):
    """Every piece of Lua a block carries: phases and user files."""
    trees = trees or asts(block)
    for t in trees.values():
        for n in N.walk(t):
            if n.lua is not None:
                yield n.lua
    v = block.get("user_files")
    if isinstance(v, str):
        for part in re.split(r"^>>> ", v, flags=re.M)[1:]:
            head, _, body = part.partition("\n")
            if head.split()[0].endswith(".lua"):
                yield body
    elif isinstance(v, list):
        for f in v:
            if isinstance(f, list) and len(f) > 1 and isinstance(f[1], str) and f[0].endswith(".lua"):
                yield f[1]


def expectation_texts(block):
    for k in ("error_log", "no_error_log", "grep_error_log", "grep_error_log_out", "response_body",
              "response_body_like"):
        v = block.get(k)
        for x in (v if isinstance(v, list) else [v]):
            if isinstance(x, str):
                yield k, x
            elif S.is_re(x):
                yield k, x["$re"]


def is_backend(server):
    """A server{} that only answers: no phase of it is what is tested."""
    for n in server.walk():
        if n.name in PHASE_DIRECTIVES and not n.name.startswith(("content_by_lua",)):
            return False
        if n.name in ("lua_need_request_body", "lua_check_client_abort"):
            return False
    return True


def shakes_hands(trees):
    """Scripts of handshakes that all servers inherit: those that speak TLS are what is tested."""
    return any(n.name in PHASE_DIRECTIVES and n.name.startswith("ssl_") for n in trees["http_config"])


def speaks_tls(server):
    return any(n.name == "listen" and "ssl" in n.args for n in server.children or [])


def extra_servers(trees):
    return [n for n in trees["http_config"] if n.name == "server"]


def classify(block, needs_debug=False):
    c = Class()
    try:
        trees = asts(block)
    except N.ConfError as e:
        c.parse_error = str(e)
        return c
    beyond, plus = set(), set()
    in_types = {"types", "map", "geo"}
    for k, t in trees.items():
        for n in N.walk(t):
            if n.name in in_types:
                plus.add(n.name)
                continue
            tr = tier_of(n.name)
            if tr == "beyond":
                beyond.add(n.name)
            elif tr == "plus":
                plus.add(n.name)
            if n.name == "location" and N.location_kind(n) == "named":
                plus.add("location @name")
    # `server` inside upstream is not a virtual server
    c.beyond, c.plus = sorted(beyond), sorted(plus)
    c.tier = "beyond" if beyond else "plus" if plus else "core"
    ob = c.obstacles
    if block.has("must_die"):
        ob.append("start must fail with nginx's own message")
    if block.settings.get("use_hup"):
        ob.append("reload")
    if any("ffi.C.ngx_http_lua" in x or "C.ngx_http_lua_ffi" in x or "ngx_http_lua_" in x
           for x in lua_texts(block, trees)):
        ob.append("calls the module's C symbols by FFI")
    if needs_debug:
        ob.append("expects nginx's own debug lines")
    c.backends = len(extra_servers(trees))
    return c


# ---------------------------------------------------------------- plan

@dataclass
class Chunk:
    phase: str
    code: str | None = None
    file: str | None = None
    chunkname: str = ""
    args: list = field(default_factory=list)
    form: str = ""               # "", "_block" or "_file": how it was written


@dataclass
class Location:
    kind: str
    value: str
    phases: list = field(default_factory=list)     # Chunk, in file order
    actions: list = field(default_factory=list)    # ["set", var, value] ["return", ...] ["echo", ...]
    options: list = field(default_factory=list)    # [directive, args...] as written
    locations: list = field(default_factory=list)


@dataclass
class Server:
    listen: list
    names: list
    phases: list = field(default_factory=list)
    actions: list = field(default_factory=list)
    options: list = field(default_factory=list)
    locations: list = field(default_factory=list)


@dataclass
class Plan:
    """What a gateway has to be told, in its own words or ours."""
    workers: int = 1
    log_level: str = "debug"
    error_log: str = ""
    access_log: str = ""
    html: str = ""
    prefix: str = ""
    phases: list = field(default_factory=list)      # init, init_worker, exit_worker
    shared_dicts: list = field(default_factory=list)     # [name, size], as written
    package_path: str | None = None
    package_cpath: str | None = None
    resolver: list = field(default_factory=list)
    env: list = field(default_factory=list)
    options: list = field(default_factory=list)
    upstreams: list = field(default_factory=list)
    servers: list = field(default_factory=list)
    # proxy-wasm: {"modules": {name: {"path","config"}}, "shm_kv": {..}, "shm_queue": {..},
    #              "metrics": {..}, "options": [..]}; a filter chain is the sequence of
    # ["proxy_wasm", module, config] actions of http/server/location, innermost wins
    wasm: dict = field(default_factory=dict)


class Translator:
    # line of the first config line in the layout the expectations assume
    LINE0 = {"main_config": 16, "http_config": 25, "config": 39}

    def __init__(self, ctx):
        self.ctx, self.b = ctx, ctx.block
        self.text = {k: S.expand_env(v, ctx.env, ctx.ports)
                     for k, v in config_of(self.b).items()}
        nl = lambda k: self.text[k].count("\n")  # noqa: E731
        self.base = {"main_config": 16, "http_config": 25 + nl("main_config"),
                     "config": 39 + nl("main_config") + nl("http_config"), "post_main_config": 60}
        self.where = "config"
        self.included = None         # the file that directives are read from, below an `include`

    def chunk(self, n):
        phase, form = PHASE_DIRECTIVES[n.name]
        # nginx takes the line that it has read to: of a quoted script, that is its last
        quoted = (n.lua or "").count("\n") if form == "" else 0
        line = self.base[self.where] + n.line - 1 + quoted
        place = f"{self.included}:{n.line + quoted}" if self.included else f"nginx.conf:{line}"
        c = Chunk(phase, chunkname=f"{phase}_by_lua({place})", form=form)
        args = list(n.args)
        if phase == "set":
            c.args = [args.pop(0)] if args else []
        if form == "_file":
            c.file = args.pop(0) if args else None
            c.args += args
        elif form == "_block":
            c.code = n.lua
            c.args += args
        else:
            c.code = n.lua
            c.args += args[1:]
        return c

    def into(self, node_list, dst):
        """Directives of one server{} / location{} / if{}."""
        for n in node_list:
            if n.name in PHASE_DIRECTIVES:
                dst.phases.append(self.chunk(n))
                dst.actions.append(["lua", len(dst.phases) - 1])
            elif n.name == "location":
                kind = N.location_kind(n)
                val = n.args[-1] if n.args else ""
                if len(n.args) == 1:
                    val = re.sub(r"^(=|~\*|~)", "", val)
                loc = Location(kind + ("-nocase" if n.args and n.args[0] == "~*" else ""), val)
                self.into(n.children or [], loc)
                dst.locations.append(loc)
            elif n.name in ("proxy_wasm", "proxy_wasm_isolation",
                            "proxy_wasm_request_headers_in_access"):
                dst.actions.append([n.name, *n.args])
            elif n.name in ("set", "return", "proxy_pass", "rewrite", "break", "error_page",
                            "try_files", "internal") or n.name.startswith(("echo", "more_")):
                dst.actions.append([n.name, *n.args])
            elif n.name == "if":
                inner = Location("if", " ".join(n.args))
                self.into(n.children or [], inner)
                dst.actions.append(["if", asdict(inner)])
            elif n.name == "include":
                self.into(self.read(n.args[0]), dst)
                self.included = None
            elif n.name == "listen" and isinstance(dst, Server):
                dst.listen.append(n.args)
            elif n.name == "server_name" and isinstance(dst, Server):
                dst.names += n.args
            elif tier_of(n.name) == "beyond":
                raise Untranslatable(f"directive {n.name}")
            else:
                dst.options.append([n.name, *n.args])

    def read(self, name):
        self.included = os.path.normpath(os.path.join(self.ctx.root, "conf", name))
        try:
            with open(self.included, encoding="latin-1") as f:
                return N.parse(S.expand_env(f.read(), self.ctx.env, self.ctx.ports))
        except OSError as e:
            raise Untranslatable(f"include: {e.strerror}")

    def http_level(self, nodes, plan, serve_elsewhere):
        for n in nodes:
            if n.name == "server":
                if n in serve_elsewhere:
                    continue
                s = Server([], [])
                self.into(n.children or [], s)
                plan.servers.append(s)
            elif n.name == "upstream":
                up = Server([], [n.args[0] if n.args else ""])
                for k in n.children or []:
                    if k.name in PHASE_DIRECTIVES:
                        up.phases.append(self.chunk(k))
                    elif k.name == "server":
                        up.actions.append(["server", *k.args])
                    elif tier_of(k.name) == "beyond":
                        raise Untranslatable(f"directive {k.name}")
                    else:
                        up.options.append([k.name, *k.args])
                plan.upstreams.append(up)
            elif n.name in PHASE_DIRECTIVES:
                plan.phases.append(self.chunk(n))
            elif n.name == "lua_shared_dict" and len(n.args) == 2:
                plan.shared_dicts.append(list(n.args))
            elif n.name == "lua_package_path":
                plan.package_path = n.args[0]
            elif n.name == "lua_package_cpath":
                plan.package_cpath = n.args[0]
            elif n.name == "resolver":
                plan.resolver = n.args
            elif n.name == "env":
                plan.env += n.args
            elif n.name == "load_module":
                pass
            elif n.name == "wasm":
                self.wasm(n.children or [], plan)
            elif tier_of(n.name) == "beyond":
                raise Untranslatable(f"directive {n.name}")
            else:
                plan.options.append([n.name, *n.args])

    def wasm(self, nodes, plan):
        w = plan.wasm
        for n in nodes:
            a = n.args
            if n.name == "module" and len(a) >= 2:
                w.setdefault("modules", {})[a[0]] = {"path": a[1], "config": a[2] if len(a) > 2 else None}
            elif n.name in ("shm_kv", "shm_queue") and a:
                w.setdefault(n.name, {})[a[0]] = a[1:]
            elif n.name == "metrics":
                w["metrics"] = {k.name: k.args for k in n.children or []}
            else:
                w.setdefault("options", []).append([n.name, *a])

    def plan(self, backends_elsewhere=True):
        ctx, st = self.ctx, self.b.settings
        trees = {k: N.parse(v) for k, v in self.text.items()}
        self.trees = trees
        p = Plan(workers=int(st.get("workers") or 1),
                 log_level=(self.b.text("log_level") or st.get("log_level") or "debug").strip(),
                 error_log=ctx.error_log, access_log=ctx.access_log, html=ctx.html, prefix=ctx.root)
        self.backends = [n for n in extra_servers(trees)
                         if backends_elsewhere and is_backend(n)
                         and not (shakes_hands(trees) and speaks_tls(n))]
        self.where = "main_config"
        self.http_level(trees["main_config"], p, ())
        self.where = "http_config"
        self.http_level(trees["http_config"], p, self.backends)
        main = Server([[str(ctx.port)]], [st.get("server_name", "localhost")])
        self.where = "config"
        self.into(trees["config"], main)
        if not st.get("no_root_location"):
            main.locations.append(Location("prefix", "/", options=[
                ["root", ctx.html], ["index", "index.html", "index.htm"]]))
        p.servers.insert(0, main)
        return p


def translate(ctx, backends_elsewhere=True):
    t = Translator(ctx)
    try:
        return t.plan(backends_elsewhere), t
    except N.ConfError as e:
        raise Untranslatable(f"config: {e}")


def quote(a):
    if a == "" or re.search(r"[\s;{}'\"\\#]", a):
        return "'" + a.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return a


def unparse(n, ind=""):
    if n.lua is not None and n.name.endswith("_block"):
        return f"{ind}{n.name} {' '.join(map(quote, n.args))} {{{n.lua}}}"
    head = " ".join([n.name, *map(quote, n.args)])
    if n.children is None:
        return f"{ind}{head};"
    return f"{ind}{head} {{\n" + "\n".join(unparse(c, ind + '    ') for c in n.children) + f"\n{ind}}}"
