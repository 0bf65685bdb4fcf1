-- kong.constants: names that Kong's parts and plugins share.
local pairs, sort = pairs, table.sort

local function set(text)
  local names = {}
  for name in text:gmatch("%S+") do names[name] = true end
  return names
end

local subsystems = {
  http = "http", https = "http", grpc = "http", grpcs = "http",
  tcp = "stream", tls = "stream", udp = "stream", tls_passthrough = "stream",
}
local protocols = {}
for name in pairs(subsystems) do protocols[#protocols + 1] = name end
sort(protocols)

local levels = {
  debug = ngx.DEBUG, info = ngx.INFO, notice = ngx.NOTICE, warn = ngx.WARN, error = ngx.ERR,
  crit = ngx.CRIT, alert = ngx.ALERT, emerg = ngx.EMERG,
}
local named = {}
for name, level in pairs(levels) do named[name], named[level] = level, name end

return {
  CJSON_MAX_PRECISION = 16,
  BUNDLED_PLUGINS = set [[
    jwt acl correlation-id cors oauth2 tcp-log udp-log file-log http-log key-auth hmac-auth
    basic-auth ip-restriction request-transformer response-transformer request-size-limiting
    rate-limiting response-ratelimiting syslog loggly datadog ldap-auth statsd bot-detection
    aws-lambda request-termination prometheus proxy-cache session acme grpc-gateway grpc-web
    pre-function post-function azure-functions zipkin opentelemetry ai-proxy ai-prompt-decorator
    ai-prompt-template ai-prompt-guard ai-request-transformer ai-response-transformer
    standard-webhooks redirect
  ]],
  DEPRECATED_PLUGINS = {},
  BUNDLED_VAULTS = { env = true },
  DEPRECATED_VAULTS = {},
  HEADERS = {
    HOST_OVERRIDE = "X-Host-Override",
    PROXY_LATENCY = "X-Kong-Proxy-Latency",
    RESPONSE_LATENCY = "X-Kong-Response-Latency",
    ADMIN_LATENCY = "X-Kong-Admin-Latency",
    UPSTREAM_LATENCY = "X-Kong-Upstream-Latency",
    UPSTREAM_STATUS = "X-Kong-Upstream-Status",
    CONSUMER_ID = "X-Consumer-ID",
    CONSUMER_CUSTOM_ID = "X-Consumer-Custom-ID",
    CONSUMER_USERNAME = "X-Consumer-Username",
    CREDENTIAL_IDENTIFIER = "X-Credential-Identifier",
    RATELIMIT_LIMIT = "X-RateLimit-Limit",
    RATELIMIT_REMAINING = "X-RateLimit-Remaining",
    CONSUMER_GROUPS = "X-Consumer-Groups",
    AUTHENTICATED_GROUPS = "X-Authenticated-Groups",
    FORWARDED_HOST = "X-Forwarded-Host",
    FORWARDED_PATH = "X-Forwarded-Path",
    FORWARDED_PREFIX = "X-Forwarded-Prefix",
    ANONYMOUS = "X-Anonymous-Consumer",
    REQUEST_ID = "X-Kong-Request-Id",
    VIA = "Via",
    SERVER = "Server",
  },
  RATELIMIT = { PERIODS = { "second", "minute", "hour", "day", "month", "year" } },
  DICTS = {
    "kong", "kong_locks", "kong_db_cache", "kong_db_cache_miss", "kong_cluster_events",
    "kong_healthchecks", "kong_rate_limiting_counters", "kong_secrets",
  },
  DATABASE = { POSTGRES = { MIN = "9.5" }, DAO_MAX_TTL = 1e8 },
  PROTOCOLS = protocols,
  PROTOCOLS_WITH_SUBSYSTEM = subsystems,
  CLUSTER_ID_PARAM_KEY = "cluster_id",
  CLUSTERING_SYNC_STATUS = {
    { UNKNOWN = "unknown" }, { NORMAL = "normal" }, UNKNOWN = "unknown", NORMAL = "normal",
  },
  KEY_FORMATS_MAP = { jwk = true, pem = true },
  KEY_FORMATS = { "jwk", "pem" },
  LOG_LEVELS = named,
  SCHEMA_NAMESPACES = { PROXY_WASM_FILTERS = "proxy-wasm-filters" },
  RESPONSE_SOURCE = {
    TYPES = { ERROR = "error", EXIT = "exit", SERVICE = "service" },
    NAMES = { error = "kong", exit = "kong", service = "upstream" },
  },
}
