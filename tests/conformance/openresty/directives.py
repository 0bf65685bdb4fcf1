"""nginx directives that a manifest has no key for, written as scripts: `echo`, `return`, `rewrite`,
header directives. What a script can say needs no key of its own."""
from __future__ import annotations

import re

from adapters.base import Untranslatable

VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def literal(s):
    return '"' + re.sub(r'[^ !#-\[\]-~]', lambda m: f"\\{ord(m.group()):03d}", s) + '"'


def variable(name):
    special = {"echo_it": "it", "echo_request_method": "ngx.req.get_method()", "echo_client_request_headers": '(ngx.req.raw_header():gsub("\\r\\n$", ""))',
               "echo_request_body": '(ngx.req.get_body_data() or "")'}
    if name in special:
        return special[name]
    index = name if name.isdigit() else literal(name.lower())
    return f'(ngx.var[{index}] or "")'


def expression(s):
    """A Lua expression for a text with nginx's variables in it."""
    parts, at = [], 0
    for m in VARIABLE.finditer(s):
        if m.start() > at:
            parts.append(literal(s[at:m.start()]))
        parts.append(variable(m.group(1) or m.group(2)))
        at = m.end()
    if at < len(s) or not parts:
        parts.append(literal(s[at:]))
    return " .. ".join(parts)


def is_constant(s):
    return not VARIABLE.search(s)


# ---------------------------------------------------------------- echo

def capture(args, method=None):
    """`echo_location URI [ARGS]`, `echo_subrequest METHOD URI -q ARGS -b BODY`."""
    uri, options, rest = args[0], [], list(args[1:])
    if method:
        options.append(f"method = ngx.HTTP_{method}")
        while rest:
            flag, value = rest.pop(0), rest.pop(0) if rest else ""
            name = {"-q": "args", "-b": "body"}.get(flag)
            if name is None:
                raise Untranslatable(f"echo_subrequest {flag}")
            options.append(f"{name} = {expression(value)}")
    elif rest:
        options.append(f"args = {expression(rest[0])}")
    table = f", {{ {', '.join(options)} }}" if options else ""
    return f"ngx.print(ngx.location.capture({expression(uri)}{table}).body)"


def echo_line(args):
    args, end = list(args), ' .. "\\n"'
    while args and args[0] in ("-n", "--"):
        if args.pop(0) == "-n":
            end = ""
    text = ' .. " " .. '.join(expression(a) for a in args) or '""'
    return f"ngx.print({text}{end})"


BODY = """local data, name = ngx.req.get_body_data(), ngx.req.get_body_file()
if name then
  local file = assert(io.open(name))
  data = file:read("*a")
  file:close()
end
ngx.print(data or "")"""

ECHO = {
    "echo": echo_line,
    "echo_flush": lambda a: "ngx.flush(true)",
    "echo_sleep": lambda a: f"ngx.flush(true) ngx.sleep(tonumber({expression(a[0])}))",
    "echo_blocking_sleep": lambda a: f"ngx.sleep(tonumber({expression(a[0])}))",
    "echo_status": lambda a: f"ngx.status = {int(a[0])}",
    "echo_read_request_body": lambda a: "ngx.req.read_body()",
    "echo_request_body": lambda a: BODY,
    "echo_duplicate": lambda a: f"ngx.print(({expression(a[1])}):rep(tonumber({expression(a[0])})))",
    "echo_location": capture, "echo_location_async": capture,
    "echo_subrequest": lambda a: capture(a[1:], a[0]), "echo_subrequest_async": lambda a: capture(a[1:], a[0]),
    "echo_exec": lambda a: f"return ngx.exec({', '.join(map(expression, a))})",
    "echo_reset_timer": lambda a: "",
    "echo_foreach_split": lambda a: f"for it in (({expression(a[1])}) .. {literal(a[0])}):gmatch("
                                    f"'(.-)' .. ({literal(a[0])}):gsub('%p', '%%%0')) do",
    "echo_end": lambda a: "end",
}
ECHO_BODY = {"echo_before_body", "echo_after_body"}


def echo(actions):
    """The content script of a location's echo directives; None if it has none."""
    # an error's status stays where nothing else is said, and echo says 200
    lines = ["if not ngx.headers_sent then ngx.status = ngx.HTTP_OK end"]
    for name, *args in actions:
        if name in ECHO:
            lines.append(ECHO[name](args))
        elif name.startswith("echo") and name not in ECHO_BODY:
            raise Untranslatable(f"directive {name}")
    return "\n".join(lines) + "\n"


def echo_around(actions):
    """The phases that put texts before and after a body; empty if none does."""
    before = [echo_text(a) for n, *a in actions if n == "echo_before_body"]
    after = [echo_text(a) for n, *a in actions if n == "echo_after_body"]
    if not before and not after:
        return {}
    lines = []
    if before:
        lines.append("if not ngx.ctx.echoed then ngx.ctx.echoed = true "
                     f"ngx.arg[1] = {' .. '.join(before)} .. ngx.arg[1] end")
    if after:
        lines.append(f"if ngx.arg[2] then ngx.arg[1] = ngx.arg[1] .. {' .. '.join(after)} end")
    return {"header_filter": "ngx.header.content_length = nil\n", "body_filter": "\n".join(lines) + "\n"}


def echo_text(args):
    return echo_line(args)[len("ngx.print("):-1]


# ------------------------------------------------------- the rewrite module

def answer(args):
    """`return CODE [TEXT]`, `return [CODE] URL`, as content."""
    code, text = (int(args[0]), args[1] if len(args) > 1 else None) if args[0].isdigit() else (302, args[0])
    if text is None:
        return f"return ngx.exit({code})\n"
    if code in (301, 302, 303, 307, 308):
        return f"return ngx.redirect({expression(text)}, {code})\n"
    return f"ngx.status = {code}\nngx.print({expression(text)})\n"


def rewrite(actions):
    """-> (script that changes the URI, whether locations are searched again after the phase).
    `last` leaves the phase at once; without a flag the location's own script still runs."""
    lines, again = [], False
    for name, *args in actions:
        if name == "rewrite":
            pattern, to, flag = args[0], args[1], args[2] if len(args) > 2 else ""
            target = re.sub(r"\(ngx\.var\[(\d)\] or \"\"\)", r'(m[\1] or "")', expression(to))
            lines.append(f"local m = ngx.re.match(ngx.var.uri, {literal(pattern)})")
            if flag in ("redirect", "permanent") or to.startswith(("http://", "https://")):
                code = 301 if flag == "permanent" else 302
                lines.append(f"if m then return ngx.redirect({target}, {code}) end")
                continue
            move = f"ngx.req.set_uri({target}"
            if flag == "last":
                lines.append(f"if m then return {move}, true) end")
            elif flag == "break":
                lines.append(f"if m then {move}) return end")
            else:
                lines.append(f"if m then {move}) ngx.ctx.moved = true end")
                again = True
        elif name == "break":
            lines.append("do return end")
    return "\n".join(lines) + "\n" if lines else None, again


SEARCH_AGAIN = "if ngx.ctx.moved then ngx.ctx.moved = nil ngx.req.set_uri(ngx.var.uri, true) end\n"


# ---------------------------------------------------------------- headers

def fields(args):
    """`-s`, `-t` of headers-more are conditions that no block needs here."""
    if any(a in ("-s", "-t", "-r", "-a") for a in args):
        raise Untranslatable("more_* with conditions")
    return args


def clear(name):
    if "*" in name:
        raise Untranslatable("more_clear_headers with a wildcard")
    return f"ngx.header[{literal(name)}] = nil"


def split(header):
    name, _, value = header.partition(":")
    return literal(name.strip()), expression(value.strip())


def response_headers(actions, options, server):
    lines = []
    for name, *args in actions:
        if name == "more_clear_headers":
            lines += [clear(f) for f in fields(args)]
        elif name == "more_set_headers":
            lines += [f"ngx.header[{n}] = {v}" for n, v in map(split, fields(args))]
    for name, *args in options:
        if name == "add_header":
            value = f"ngx.header[{literal(args[0])}] = {expression(args[1])}"
            always = len(args) > 2 and args[2] == "always"
            lines.append(value if always else "if ngx.status < 400 then " + value + " end")
    # nginx's own fields stand in its order: Server, then Content-Type
    lines.insert(0, f"if not ngx.header.server then local kind = ngx.header.content_type ngx.header.content_type = nil "
                    f"ngx.header.Server = {literal(server)} ngx.header['Content-Type'] = kind end")
    return "\n".join(lines) + "\n"


def request_headers(actions):
    lines = []
    for name, *args in actions:
        if name == "more_set_input_headers":
            lines += [f"ngx.req.set_header({n}, {v})" for n, v in map(split, fields(args))]
        elif name == "more_clear_input_headers":
            lines += [f"ngx.req.clear_header({literal(f)})" for f in fields(args)]
    return lines


def upstream_headers(options):
    """`proxy_set_header`: what the upstream sees, after all other phases of the request."""
    lines = []
    for name, *args in options:
        if name == "proxy_set_header":
            value = expression(args[1]) if args[1] else "nil"
            lines.append(f"ngx.req.set_header({literal(args[0])}, {value})")
    return lines


def condition(name, operator, value):
    """nginx's condition of `if` as Lua's."""
    left = variable(name)
    if operator is None:
        return f'{left} ~= "" and {left} ~= "0"'
    if operator in ("=", "!="):
        return f"{left} {'==' if operator == '=' else '~='} {expression(value)}"
    flags = '"i"' if operator.endswith("*") else '""'
    return f"{'not ' if operator[0] == '!' else ''}ngx.re.find({left}, {literal(value)}, {flags})"
