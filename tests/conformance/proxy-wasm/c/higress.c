// A filter of ABI 0.2.100, Higress's own: callbacks answer as filters of Envoy's do, and there are more host
// calls. Its configuration is six digits, what callbacks answer: request's head, body, its end; the
// response's. A 5 for the request's head: it asks Redis, and answers 3. Built by tools/build-guests.

typedef unsigned int u32;
#define IMPORT(name) __attribute__((import_module("env"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("proxy_log") u32 proxy_log(u32 level, const char *text, u32 length);
IMPORT("proxy_get_buffer_bytes") u32 proxy_get_buffer_bytes(u32 kind, u32 start, u32 max, char **text, u32 *length);
IMPORT("proxy_set_buffer_bytes") u32 proxy_set_buffer_bytes(u32 kind, u32 start, u32 size, const char *text, u32 length);
IMPORT("proxy_add_header_map_value")
u32 proxy_add_header_map_value(u32 map, const char *key, u32 key_length, const char *value, u32 length);
IMPORT("proxy_http_call")
u32 proxy_http_call(const char *upstream, u32 upstream_length, const char *headers, u32 headers_length,
                    const char *body, u32 body_length, const char *trailers, u32 trailers_length,
                    u32 timeout, u32 *token);
IMPORT("proxy_set_effective_context") u32 proxy_set_effective_context(u32 context);
IMPORT("proxy_continue_stream") u32 proxy_continue_stream(u32 direction);
IMPORT("proxy_redis_init")
u32 proxy_redis_init(const char *upstream, u32 upstream_length, const char *user, u32 user_length,
                     const char *password, u32 password_length, u32 timeout);
IMPORT("proxy_redis_call")
u32 proxy_redis_call(const char *upstream, u32 upstream_length, const char *command, u32 length, u32 *token);

static char heap[65536], answers[6];
static u32 top, stream;

EXPORT("malloc") void *allocate(u32 size) {
  top = (top + 7) & ~7u;
  if (size > sizeof heap - top) top = 0;
  void *place = heap + top;
  top += size;
  return place;
}

static void say(const char *what, u32 number) {
  char line[64];
  u32 at = 0;
  for (u32 i = 0; what[i]; i++) line[at++] = what[i];
  line[at++] = ' ';
  if (number >= 10) line[at++] = (char)('0' + number / 10);
  line[at++] = (char)('0' + number % 10);
  proxy_log(2, line, at);
}

EXPORT("proxy_abi_version_0_2_100") void version(void) {}
EXPORT("proxy_on_context_create") void create(u32 context, u32 parent) {
  if (parent) stream = context;
}

EXPORT("proxy_on_configure") u32 configure(u32 context, u32 size) {
  char *text = 0;
  u32 count = 0;
  if (proxy_get_buffer_bytes(7, 0, sizeof answers, &text, &count) || count != sizeof answers) return 0;
  for (u32 i = 0; i < count; i++) answers[i] = (char)(text[i] - '0');
  return 1;
}

// :method GET, :path /called, :authority higress.test
static const char CALL[] =
    "\3\0\0\0" "\7\0\0\0\3\0\0\0" "\5\0\0\0\7\0\0\0" "\12\0\0\0\14\0\0\0"
    ":method\0GET\0" ":path\0/called\0" ":authority\0higress.test";

static const char REDIS[] = "outbound|6379||kit?db=3", GET[] = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";

EXPORT("proxy_on_request_headers") u32 request_headers(u32 context, u32 count, u32 end) {
  u32 token = 0;
  if (answers[0] == 5) {
    say("redis_init", proxy_redis_init(REDIS, sizeof REDIS - 1, "", 0, "secret", 6, 1000));
    say("redis_call", proxy_redis_call(REDIS, sizeof REDIS - 1, GET, sizeof GET - 1, &token));
    return 3;
  }
  say("redis_init", proxy_redis_init("peer", 4, "", 0, "", 0, 1000));
  // Nothing else would end these.
  if (answers[0] > 2) proxy_http_call("peer", 4, CALL, sizeof CALL, "", 0, "", 0, 1000, &token);
  return (u32)answers[0];
}

EXPORT("proxy_on_http_call_response")
void answered(u32 context, u32 token, u32 headers, u32 size, u32 trailers) {
  proxy_set_effective_context(stream);
  say("continue_stream", proxy_continue_stream(0));
}

EXPORT("proxy_on_redis_call_response") void replied(u32 context, u32 token, u32 status, u32 size) {
  char *text = 0;
  u32 count = 0;
  say("redis_call_response", status);
  proxy_get_buffer_bytes(9, 0, size, &text, &count);
  proxy_log(2, text, count);
  proxy_set_effective_context(stream);
  say("continue_stream", proxy_continue_stream(0));
}

// What a filter does that keeps a body for itself: it says at the end what goes on.
static u32 body(u32 side, u32 size, u32 end) {
  say(side ? "response_body" : "request_body", size);
  proxy_add_header_map_value(side * 2, "x-seen", 6, "yes", 3);
  if (end && answers[side * 3 + 1] == 3) proxy_set_buffer_bytes(side, 0, size, "kept", 4);
  return (u32)answers[side * 3 + 1 + end];
}

EXPORT("proxy_on_request_body") u32 request_body(u32 context, u32 size, u32 end) { return body(0, size, end); }
EXPORT("proxy_on_response_headers") u32 response_headers(u32 context, u32 count, u32 end) { return (u32)answers[3]; }
EXPORT("proxy_on_response_body") u32 response_body(u32 context, u32 size, u32 end) { return body(1, size, end); }
