// A filter of ABI 0.1.0: names that later versions dropped, heads without end_of_stream, a field that
// is not there is empty. Built by tools/build-guests.

typedef unsigned int u32;
#define IMPORT(name) __attribute__((import_module("env"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

IMPORT("proxy_log") u32 proxy_log(u32 level, const char *text, u32 length);
IMPORT("proxy_get_configuration") u32 proxy_get_configuration(char **text, u32 *length);
IMPORT("proxy_get_header_map_value")
u32 proxy_get_header_map_value(u32 map, const char *key, u32 key_length, char **value, u32 *length);
IMPORT("proxy_replace_header_map_value")
u32 proxy_replace_header_map_value(u32 map, const char *key, u32 key_length, const char *value, u32 length);
IMPORT("proxy_http_call")
u32 proxy_http_call(const char *upstream, u32 upstream_length, const char *headers, u32 headers_length,
                    const char *body, u32 body_length, const char *trailers, u32 trailers_length,
                    u32 timeout, u32 *token);
IMPORT("proxy_set_effective_context") u32 proxy_set_effective_context(u32 context);
IMPORT("proxy_continue_request") u32 proxy_continue_request(void);
IMPORT("proxy_continue_response") u32 proxy_continue_response(void);
IMPORT("proxy_clear_route_cache") u32 proxy_clear_route_cache(void);

static char heap[65536];
static u32 top, stream;

EXPORT("malloc") void *allocate(u32 size) {
  top = (top + 7) & ~7u;
  if (size > sizeof heap - top) top = 0;
  void *place = heap + top;
  top += size;
  return place;
}

static u32 length(const char *text) {
  u32 count = 0;
  while (text[count]) count++;
  return count;
}

static void say(const char *what, u32 status, const char *value, u32 size) {
  char line[256];
  u32 at = 0;
  for (u32 i = 0; what[i]; i++) line[at++] = what[i];
  line[at++] = ' ';
  line[at++] = (char)('0' + status);
  line[at++] = ' ';
  for (u32 i = 0; i < size && at < sizeof line; i++) line[at++] = value[i];
  proxy_log(2, line, at);
}

EXPORT("proxy_abi_version_0_1_0") void version(void) {}
EXPORT("proxy_on_context_create") void create(u32 context, u32 parent) {
  if (parent) stream = context;
}

EXPORT("proxy_on_configure") u32 configure(u32 context, u32 size) {
  char *text = 0;
  u32 count = 0;
  u32 status = proxy_get_configuration(&text, &count);
  say("configuration", status, text, count);
  return 1;
}

// :method GET, :path /called, :authority old.test
static const char CALL[] =
    "\3\0\0\0" "\7\0\0\0\3\0\0\0" "\5\0\0\0\7\0\0\0" "\12\0\0\0\10\0\0\0"
    ":method\0GET\0" ":path\0/called\0" ":authority\0old.test";

EXPORT("proxy_on_request_headers") u32 request_headers(u32 context, u32 count) {
  const char *names[] = {"x-name", "x-absent"};
  for (u32 i = 0; i < 2; i++) {
    char *value = 0;
    u32 size = 0;
    u32 status = proxy_get_header_map_value(0, names[i], length(names[i]), &value, &size);
    say(names[i], status, value, size);
  }
  u32 token = 0;
  say("clear_route_cache", proxy_clear_route_cache(), "", 0);
  say("http_call", proxy_http_call("peer", 4, CALL, sizeof CALL, "", 0, "", 0, 1000, &token), "", 0);
  return 1;
}

EXPORT("proxy_on_http_call_response")
void answered(u32 context, u32 token, u32 headers, u32 size, u32 trailers) {
  proxy_set_effective_context(stream);
  proxy_replace_header_map_value(0, "x-called", 8, headers ? "yes" : "no", headers ? 3 : 2);
  say("continue_request", proxy_continue_request(), "", 0);
}

EXPORT("proxy_on_response_headers") u32 response_headers(u32 context, u32 count) {
  say("continue_response", proxy_continue_response(), "", 0);
  return 1;
}
