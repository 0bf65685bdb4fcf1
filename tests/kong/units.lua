-- What Kong's modules do here, one by one. Answers the names of those that do not, with why.
local Schema = require "kong.db.schema"
local typedefs = require "kong.db.schema.typedefs"
local deepcompare = require("pl.tablex").deepcompare
local inspect = require "inspect"

local tests, names = {}, {}
local function test(name, fn)
  names[#names + 1] = name
  tests[name] = fn
end

local function eq(got, wanted)
  if not deepcompare(got, wanted, true) then
    error("got " .. inspect(got) .. ", wanted " .. inspect(wanted), 2)
  end
end

-- The errors of a field that holds a value.
local function errors_of(field, value)
  local schema = assert(Schema.new { fields = { { f = field } } })
  local row, why = schema:process_auto_fields({ f = value }, "insert")
  if not row then return why.f end
  local ok, errors = schema:validate(row)
  return not ok and errors.f or nil
end

local rules = {
  { { type = "string" }, 1, "expected a string" },
  { { type = "string" }, "", "length must be at least 1" },
  { { type = "string", len_min = 0 }, "", nil },
  { { type = "string", len_max = 2 }, "abc", "length must be at most 2" },
  { { type = "string", len_eq = 2 }, "abc", "length must be 2" },
  { { type = "string", one_of = { "a", "b" } }, "c", "expected one of: a, b" },
  { { type = "string", not_one_of = { "a" } }, "a", "must not be one of: a" },
  { { type = "string", match = "^%d+$" }, "a", "invalid value: a" },
  { { type = "string", not_match = "%d" }, "a1", "invalid value: a1" },
  { { type = "string", match_all = { { pattern = "a", err = "no a" } } }, "b", "no a" },
  { { type = "string", match_none = { { pattern = "a", err = "an a" } } }, "a", "an a" },
  { { type = "string", match_any = { patterns = { "a", "b" }, err = "neither" } }, "c", "neither" },
  { { type = "string", starts_with = "/" }, "a", "should start with: /" },
  { { type = "string", is_regex = true }, "(", "not a valid regex: (" },
  { { type = "string", uuid = true }, "x", "expected a valid UUID" },
  { { type = "string", eq = "a" }, "b", "value must be a" },
  { { type = "string", ne = "a" }, "a", "value must not be a" },
  { { type = "string", custom_validator = function() return nil, "never" end }, "a", "never" },
  { { type = "string", match = "a", err = "in own words" }, "b", "in own words" },
  { { type = "number" }, "1", "expected a number" },
  { { type = "number", gt = 1 }, 1, "value must be greater than 1" },
  { { type = "number", between = { 1, 2 } }, 3, "value should be between 1 and 2" },
  { { type = "integer" }, 1.5, "expected an integer" },
  { { type = "integer" }, 1 / 0, "expected an integer" },
  { { type = "integer", timestamp = true }, 0, "expected a valid timestamp" },
  { { type = "boolean" }, "true", "expected a boolean" },
  { { type = "array", elements = { type = "string" } }, { a = 1 }, "expected an array" },
  { { type = "array", elements = { type = "string" } }, { "a", 1 }, { [2] = "expected a string" } },
  { { type = "array", elements = { type = "string" }, len_min = 1 }, {}, "length must be at least 1" },
  { { type = "array", elements = { type = "string" }, contains = "a" }, { "b" }, "expected to contain: a" },
  { { type = "set", elements = { type = "string" } }, "a", "expected a set" },
  { { type = "map", keys = { type = "string" }, values = { type = "integer" } }, { a = "b" }, "expected an integer" },
  { { type = "map", keys = { type = "string" }, values = { type = "integer" }, len_max = 1 }, { a = 1, b = 2 }, "length must be at most 1" },
  { { type = "record", fields = { { a = { type = "string", required = true } } } }, {}, { a = "required field missing" } },
  { { type = "record", fields = { { a = { type = "string" } } } }, { b = 1 }, { b = "unknown field" } },
  { { type = "function" }, 1, "expected a function" },
  { { type = "string", required = true }, ngx.null, "required field missing" },
  { { type = "string", required = true }, nil, "required field missing" },
  { { type = "string", referenceable = true, len_max = 3 }, "{vault://env/x}", nil },
  { { type = "json", json_schema = { inline = { type = "object", required = { "a" } } } }, {}, "property a is required" },
  { typedefs.port, 70000, "value should be between 0 and 65535" },
  { typedefs.host, "a.b:80", "must not have a port" },
  { typedefs.host, "a b", "invalid value: a b" },
  { typedefs.ip, "1.2.3", "not an ip address: 1.2.3" },
  { typedefs.ip_or_cidr, "1.2.3.4/33", "invalid ip or cidr range: '1.2.3.4/33'" },
  { typedefs.ip_or_cidr, "fe80::/10", nil },
  { typedefs.path, "a", "should start with: /" },
  { typedefs.path, "/a//b", "must not have empty segments" },
  { typedefs.path, "/%zz", "invalid url-encoded value: '%zz'" },
  { typedefs.url, "a", "missing host in url" },
  { typedefs.header_name, "a b", "bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'" },
  { typedefs.http_method, "get", "invalid value: get" },
  { typedefs.sni, "1.2.3.4", "must not be an IP" },
  { typedefs.wildcard_host, "a.*.b", "wildcard must be leftmost or rightmost character" },
  { typedefs.tag, "a,b", "invalid tag 'a,b': expected printable ascii (except `,` and `/`) or valid utf-8 sequences" },
  { typedefs.no_consumer, { id = "x" }, "value must be null" },
  { typedefs.lua_code, { a = "return (" }, "Error parsing function: [string \"return (\"]:1: unexpected symbol near '<eof>'" },
  { typedefs.semantic_version, "1..2", "must not have empty version segments" },
}
for index, rule in ipairs(rules) do
  test("rule " .. index, function() eq(errors_of(rule[1], rule[2]), rule[3]) end)
end

-- What entity checks say of a record.
local function checked(check, row)
  local string = { type = "string", len_min = 0 }
  local schema = assert(Schema.new {
    fields = { { a = string }, { b = string }, { c = { type = "record", fields = { { d = string } } } } },
    entity_checks = { check },
  })
  local ok, errors = schema:validate(schema:process_auto_fields(row, "insert"))
  return not ok and errors or nil
end

local entity = {
  { { at_least_one_of = { "a", "b" } }, {}, "at least one of these fields must be non-empty: 'a', 'b'" },
  { { at_least_one_of = { "a", "b" } }, { b = "x" } },
  { { only_one_of = { "a", "b" } }, { a = "x", b = "x" }, "exactly one of these fields must be non-empty: 'a', 'b'" },
  { { distinct = { "a", "b" } }, { a = "x", b = "x" }, "values of these fields must be distinct: 'a', 'b'" },
  { { mutually_required = { "a", "b" } }, { a = "x" }, "all or none of these fields must be set: 'a', 'b'" },
  { { mutually_exclusive = { "a", "c.d" } }, { a = "x", c = { d = "y" } }, "only one or none of these fields must be set: 'a', 'c.d'" },
  { { mutually_exclusive_sets = { set1 = { "a" }, set2 = { "b" } } }, { a = "x", b = "y" }, "these sets are mutually exclusive: ('a'), ('b')" },
  { { conditional_at_least_one_of = { if_field = "a", if_match = { eq = "x" }, then_at_least_one_of = { "b" } } }, { a = "x" }, "at least one of these fields must be non-empty: 'b'" },
  { { custom_entity_check = { field_sources = { "a" }, fn = function(row) return nil, "no " .. row.a end } }, { a = "x" }, "no x" },
}
for index, case in ipairs(entity) do
  test("entity check " .. index, function()
    local errors = checked(case[1], case[2])
    eq(errors and errors["@entity"], case[3] and { case[3] })
  end)
end

test("a conditional names both fields", function()
  local errors = checked({ conditional = {
    if_field = "a", if_match = { eq = "x" }, then_field = "c.d", then_match = { required = true },
  } }, { a = "x" })
  eq(errors, {
    ["@entity"] = { "failed conditional validation given value of field 'a'" },
    c = { d = "required field missing" },
  })
end)

test("defaults fill nested records, and select takes nulls away", function()
  local schema = assert(require("kong.db.schema.entity").new { fields = {
    { a = { type = "record", fields = {
      { b = { type = "string", default = "x" } }, { c = { type = "string" } },
      { d = { type = "array", elements = { type = "string" }, default = {} } },
    } } },
  } })
  local row = schema:process_auto_fields({}, "insert")
  eq(row, { a = { b = "x", c = ngx.null, d = {} } })
  eq(schema:process_auto_fields(row, "select"), { a = { b = "x", d = {} } })
end)

test("a set holds each value once and knows what it holds", function()
  local schema = Schema.new { fields = { { s = { type = "set", elements = { type = "string" } } } } }
  local row = schema:process_auto_fields({ s = { "b", "a", "b" } }, "insert")
  eq({ row.s[1], row.s[2], #row.s, row.s.a, row.s.c }, { "b", "a", 2, true })
end)

local function with_old_name()
  return Schema.new {
    fields = { { redis = { type = "record", fields = { { host = { type = "string" } } } } } },
    shorthand_fields = { { redis_host = {
      type = "string",
      deprecation = {
        replaced_with = { { path = { "redis", "host" } } }, message = "old", removal_in_version = "4.0",
      },
      func = function(value) return { redis = { host = value } } end,
    } } },
  }
end

test("an old name becomes the new one, and is there when it is read", function()
  local schema = with_old_name()
  local row = schema:process_auto_fields({ redis_host = "h" }, "insert")
  eq(row, { redis = { host = "h" } })
  eq(schema:process_auto_fields(row, "select"), { redis = { host = "h" }, redis_host = "h" })
end)

test("an old and a new name must agree", function()
  local row, why = with_old_name():process_auto_fields({ redis_host = "h", redis = { host = "i" } }, "insert")
  eq(row, nil)
  eq(why, { redis_host = "both deprecated and new field are used but their values mismatch: "
    .. "redis_host = h vs redis.host = i" })
end)

test("automatic fields", function()
  local schema = Schema.new { fields = {
    { id = typedefs.uuid }, { key = { type = "string", auto = true } }, { created_at = typedefs.auto_timestamp_s },
  } }
  local row = schema:process_auto_fields({}, "insert")
  eq({ #row.id, #row.key, row.created_at > 0 }, { 36, 32, true })
end)

test("definitions with changes", function()
  local field = typedefs.port { default = 80 }
  eq({ field.type, field.default, typedefs.port.default }, { "integer", 80 })
  local ok, why = pcall(function() return typedefs.nonsense end)
  eq({ ok, why:match("schema typedef error: .*") }, { false, "schema typedef error: definition nonsense does not exist" })
end)

test("errors as a line", function()
  eq(Schema:errors_to_string { ["@entity"] = { "e" }, a = { b = "c" } }, "Validation error: e; a: Validation error: b: c")
  eq(Schema.lines { a = { [2] = "x", b = { "y" } } }, { "a[2]: x", "a.b[1]: y" })
end)

-- Tools.

local strings = require "kong.tools.string"
test("strings", function()
  eq({ strings.split_once("a=b=c", "=") }, { "a", "b=c" })
  eq({ strings.splitn("a,b,c", ",", 2) }, { { "a", "b,c" }, 2 })
  eq({ strings.splitn("ab", "") }, { { "", "a", "b", "" }, 4 })
  eq(strings.strip " \t a b\n", "a b")
  eq({ strings.validate_utf8 "a\xff" }, { false, 2 })
  eq(strings.bytes_to_str(1536, "k"), "1.50 KiB")
  eq(strings.replace_dashes_lower "X-A", "x_a")
  local parts = {}
  for part in strings.isplitn("a b", " ") do parts[#parts + 1] = part end
  eq(parts, { "a", "b" })
end)

local tables = require "kong.tools.table"
test("tables", function()
  local loop = { a = { 1 } }
  loop.self = loop
  local copy = tables.cycle_aware_deep_copy(loop)
  eq({ copy.self == copy, copy.a ~= loop.a, copy.a[1] }, { true, true, 1 })
  eq(tables.deep_merge({ a = { b = 1, c = 1 } }, { a = { b = 2 } }), { a = { b = 2, c = 1 } })
  eq({ tables.is_array { 1, 2 }, tables.is_array { 1, nil, 3, n = 1 }, tables.is_array({ ["1"] = 1 }, "lapis") }, { true, false, true })
  eq(tables.table_path({ a = { b = 1 } }, { "a", "b" }), 1)
  eq(pcall(function() tables.EMPTY.a = 1 end), false)
end)

test("paths", function()
  local uri = require "kong.tools.uri"
  for given, wanted in pairs {
    ["/a/./b/../c"] = "/a/c", ["/a//b"] = "/a/b", ["/%41%2f"] = "/A%2F", ["/a/.."] = "/", ["/a/."] = "/a/",
    ["/../a"] = "/a", ["/"] = "/", ["/a/%2e%2e/b"] = "/b",
  } do
    eq(uri.normalize(given, true), wanted)
  end
  eq(uri.escape "/a b/%20", "/a%20b/%20")
end)

test("http", function()
  local http = require "kong.tools.http"
  eq(http.encode_args { a = 1, b = { 2, c = "x y" } }, "a=1&b%5b1%5d=2&b%2ec=x%20y")
  eq(http.get_response_type "text/html;q=0.5, application/xml", "application/xml; charset=utf-8")
  eq(http.get_response_type "image/png", "application/json; charset=utf-8")
  eq(http.get_mime_type "text/*", "text/plain; charset=utf-8")
  eq(http.parse_directive_header "max-age=5, Private", { ["max-age"] = 5, private = true })
  eq(http.get_default_exit_body(404), { message = "Not found" })
end)

test("addresses", function()
  local ip = require "kong.tools.ip"
  eq(ip.normalize_ip "::1", { type = "ipv6", host = "0000:0000:0000:0000:0000:0000:0000:0001" })
  eq(ip.normalize_ip "001.2.3.4:80", { type = "ipv4", host = "1.2.3.4", port = 80 })
  eq(ip.format_host("::1", 80), "[0000:0000:0000:0000:0000:0000:0000:0001]:80")
  eq({ ip.check_hostname "a-.b" }, { nil, "invalid hostname: a-.b" })
  local matcher = require("resty.ipmatcher").new { "10.0.0.0/8", "192.168.1.7", "fe80::/10", "::1" }
  for address, wanted in pairs {
    ["10.200.0.1"] = true, ["11.0.0.1"] = false, ["192.168.1.7"] = true, ["192.168.1.8"] = false,
    ["fe80::1"] = true, ["fec0::1"] = false, ["::1"] = true, ["0:0:0:0:0:0:0:1"] = true,
  } do
    eq(matcher:match(address), wanted)
  end
  eq({ require("resty.ipmatcher").new { "x" } }, { nil, "invalid ip address: x" })
end)

test("media types", function()
  local mime = require "kong.tools.mime_type"
  eq({ mime.parse_mime_type "Text/HTML; Charset=\"a b\"" }, { "text", "html", { charset = "a b" } })
  eq(mime.parse_mime_type "text", nil)
  eq(mime.includes({ type = "application", subtype = "json" }, { type = "application", subtype = "problem+json" }), true)
end)

test("times", function()
  local timestamp = require "kong.tools.timestamp"
  eq(timestamp.get_timestamps(1583020799000), {
    second = 1583020799000, minute = 1583020740000, hour = 1583017200000, day = 1582934400000,
    month = 1580515200000, year = 1577836800000,
  })
  eq(require("kong.tools.time").nginx_conf_time_to_seconds "1h 30m", 5400)
end)

test("ids", function()
  local uuid = require "kong.tools.uuid"
  eq({ uuid.is_valid_uuid(uuid.uuid()), uuid.of_name "a" == uuid.of_name "a", uuid.is_valid_uuid "x" }, { true, true, false })
  eq(#require("kong.tools.sha256").sha256_hex "a", 64)
end)

-- Libraries.

test("stringx", function()
  local stringx = require "pl.stringx"
  eq({ stringx.split("a,b,,c", ","), stringx.split " a  b ", stringx.split("a,", ",") }, { { "a", "b", "", "c" }, { "a", "b" }, { "a", "" } })
  eq({ stringx.strip " a ", stringx.startswith("abc", "ab"), stringx.endswith("abc", { "x", "bc" }) }, { "a", true, true })
  eq({ stringx.replace("a.a", ".", "-"), stringx.count("aXbX", "X"), stringx.partition("a=b", "=") }, { "a-a", 2, "a", "=", "b" })
end)

test("templates", function()
  local template = require "pl.template"
  eq(template.substitute("# for i = 1, 2 do\n<$(i)$(x)>\n# end\n", { x = "y" }), "<1y>\n<2y>\n")
  local made = template.compile("#$(a .. '!')", { escape = "\xff" })
  eq({ made:render { a = "1" }, made:render { a = "2" } }, { "#1!", "#2!" })
  eq((select(2, template.compile "$(")) ~= nil or (made:render {}) == nil, true)
end)

test("pretty and inspect", function()
  eq(require("pl.pretty").write({ 1, a = "b" }, ""), '{1,a = "b"}')
  eq(require("pl.pretty").read "{ a = { 1 } }", { a = { 1 } })
  eq(inspect { 1, "a", b = { c = true } }, '{ 1, "a",\n  b = {\n    c = true\n  }\n}')
end)

test("urls", function()
  local url = require "socket.url"
  eq(url.parse "http://u:p@[::1]:80/a;b?c#d", {
    scheme = "http", authority = "u:p@[::1]:80", userinfo = "u:p", user = "u", password = "p", host = "::1",
    port = "80", path = "/a", params = "b", query = "c", fragment = "d",
  })
  eq(url.build(url.parse "http://u:p@[::1]:80/a;b?c#d"), "http://u:p@[::1]:80/a;b?c#d")
  eq(url.absolute("http://a/b/c/d;p?q", "../g"), "http://a/b/g")
  eq(url.unescape(url.escape "a b/ü"), "a b/ü")
end)

test("multipart", function()
  local body = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\n"
    .. "Content-Disposition: form-data; name=\"a\"\r\n\r\n2\r\n--x--\r\n"
  local parts = require "multipart"(body, "multipart/form-data; boundary=x")
  eq({ parts:get("a").value, parts:get_all_with_arrays() }, { "1", { a = { "1", "2" } } })
  parts:set_simple("b", 3)
  parts:delete "a"
  eq(parts:tostring(), "--x\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n3\r\n--x--\r\n")
end)

test("gzip", function()
  local gzip = require "kong.tools.gzip"
  local text = ("pilotlight "):rep(20000)
  local packed = gzip.deflate_gzip(text)
  eq({ #packed < 2000, packed:sub(1, 2), gzip.inflate_gzip(packed) == text }, { true, "\31\139", true })
  eq({ gzip.inflate_gzip("no gzip") }, { nil, select(2, gzip.inflate_gzip("no gzip")) })
end)

test("lrucache", function()
  local cache = require("resty.lrucache").new(2)
  cache:set("a", 1)
  cache:set("b", 2)
  cache:get "a"
  cache:set("c", 3)
  eq({ cache:get "a", cache:get "c", cache:get "b" == nil, cache:count() }, { 1, 3, true, 2 })
end)

test("json schemas", function()
  local validate = require("kong.db.schema.json").validate
  local schema = { type = "object", additionalProperties = false, properties = {
    a = { type = "array", items = { type = "integer", minimum = 1 }, uniqueItems = true }, b = { ["$ref"] = "#/definitions/b" },
  }, definitions = { b = { enum = { "x", "y" } } } }
  eq(validate({ a = { 1, 2 }, b = "x" }, schema), true)
  eq({ validate({ a = { 0 } }, schema) }, { nil, "property a validation failed: failed to validate item 1: expected 0 to be at least 1" })
  eq({ validate({ b = "z" }, schema) }, { nil, "property b validation failed: matches none of the enum values" })
  eq({ validate({ c = 1 }, schema) }, { nil, "additional properties forbidden, found c" })
end)

test("a queue batches, retries and drops", function()
  local Queue = require "kong.tools.queue"
  local seen, failed = {}, false
  local conf = {
    name = "unit", log_tag = "t", max_batch_size = 2, max_coalescing_delay = 0.06, max_entries = 3,
    max_retry_time = 5, initial_retry_delay = 0.01, max_retry_delay = 0.02, concurrency_limit = 1,
  }
  local function handler(_, batch)
    if not failed then
      failed = true
      return false, "once"
    end
    seen[#seen + 1] = table.concat(batch, "+")
    return true
  end
  for index = 1, 4 do assert(Queue.enqueue(conf, handler, nil, "e" .. index)) end
  for _ = 1, 200 do
    if Queue.exists "unit" then ngx.sleep(0.01) end
  end
  eq(seen, { "e2+e3", "e4" })
end)

local failures = {}
for _, name in ipairs(names) do
  local ok, why = pcall(tests[name])
  if not ok then failures[#failures + 1] = name .. ": " .. tostring(why) end
end
ngx.print(#names, " tests\n", table.concat(failures, "\n"))
