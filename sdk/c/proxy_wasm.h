/* The proxy-wasm ABI, version 0.2.1, for filters in C without a libc.
 *
 *   clang --target=wasm32 -O2 -mbulk-memory -nostdlib -Wl,--no-entry -o filter.wasm filter.c
 *
 * PROXY_WASM(arena) stands once in a filter: it declares the ABI and gives the host room for what it
 * hands over. That room is an arena, emptied by pw_begin(), which every callback begins with. */
#ifndef PROXY_WASM_H
#define PROXY_WASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PW_IMPORT(name) __attribute__((import_module("env"), import_name(#name))) pw_status name
/* A callback: PW_EXPORT(proxy_on_request_headers) uint32_t on_request(uint32_t context, ...) */
#define PW_EXPORT(name) __attribute__((export_name(#name)))

typedef enum {
  PW_OK = 0,
  PW_NOT_FOUND = 1,
  PW_BAD_ARGUMENT = 2,
  PW_SERIALIZATION_FAILURE = 3,
  PW_PARSE_FAILURE = 4,
  PW_INVALID_MEMORY_ACCESS = 6,
  PW_EMPTY = 7,
  PW_CAS_MISMATCH = 8,
  PW_INTERNAL_FAILURE = 10,
  PW_UNIMPLEMENTED = 12,
} pw_status;

enum { PW_CONTINUE = 0, PW_PAUSE = 1 };
enum { PW_TRACE, PW_DEBUG, PW_INFO, PW_WARN, PW_ERROR, PW_CRITICAL };
enum { PW_COUNTER, PW_GAUGE, PW_HISTOGRAM };
enum { PW_STREAM_REQUEST, PW_STREAM_RESPONSE, PW_STREAM_DOWNSTREAM, PW_STREAM_UPSTREAM };

enum {
  PW_REQUEST_BODY,
  PW_RESPONSE_BODY,
  PW_DOWNSTREAM_DATA,
  PW_UPSTREAM_DATA,
  PW_CALL_BODY,
  PW_GRPC_MESSAGE,
  PW_VM_CONFIGURATION,
  PW_PLUGIN_CONFIGURATION,
  PW_FOREIGN_ARGUMENTS,
};

enum {
  PW_REQUEST_HEADERS,
  PW_REQUEST_TRAILERS,
  PW_RESPONSE_HEADERS,
  PW_RESPONSE_TRAILERS,
  PW_GRPC_INITIAL_METADATA,
  PW_GRPC_TRAILING_METADATA,
  PW_CALL_HEADERS,
  PW_CALL_TRAILERS,
};

/* Host calls. What a host gives (char **, size_t *) stands in the filter's arena. */
PW_IMPORT(proxy_log)(int level, const char *text, size_t len);
PW_IMPORT(proxy_get_log_level)(int *level);
PW_IMPORT(proxy_get_current_time_nanoseconds)(uint64_t *time);
PW_IMPORT(proxy_set_tick_period_milliseconds)(uint32_t period);
PW_IMPORT(proxy_get_buffer_bytes)(int buffer, size_t start, size_t max, char **data, size_t *len);
PW_IMPORT(proxy_set_buffer_bytes)(int buffer, size_t start, size_t size, const char *data, size_t len);
PW_IMPORT(proxy_get_buffer_status)(int buffer, size_t *len, uint32_t *flags);
PW_IMPORT(proxy_get_header_map_size)(int map, size_t *size);
PW_IMPORT(proxy_get_header_map_pairs)(int map, char **data, size_t *len);
PW_IMPORT(proxy_set_header_map_pairs)(int map, const char *data, size_t len);
PW_IMPORT(proxy_get_header_map_value)(int map, const char *key, size_t klen, char **value, size_t *vlen);
PW_IMPORT(proxy_add_header_map_value)(int map, const char *key, size_t klen, const char *value, size_t vlen);
PW_IMPORT(proxy_replace_header_map_value)(int map, const char *key, size_t klen, const char *value, size_t vlen);
PW_IMPORT(proxy_remove_header_map_value)(int map, const char *key, size_t klen);
PW_IMPORT(proxy_get_property)(const char *path, size_t plen, char **value, size_t *vlen);
PW_IMPORT(proxy_set_property)(const char *path, size_t plen, const char *value, size_t vlen);
PW_IMPORT(proxy_continue_stream)(int stream);
PW_IMPORT(proxy_close_stream)(int stream);
PW_IMPORT(proxy_send_local_response)(uint32_t status, const char *details, size_t dlen, const char *body,
                                     size_t blen, const char *headers, size_t hlen, int grpc_status);
PW_IMPORT(proxy_http_call)(const char *upstream, size_t ulen, const char *headers, size_t hlen,
                           const char *body, size_t blen, const char *trailers, size_t tlen,
                           uint32_t timeout, uint32_t *token);
PW_IMPORT(proxy_grpc_call)(const char *upstream, size_t ulen, const char *service, size_t slen,
                           const char *method, size_t mlen, const char *metadata, size_t dlen,
                           const char *message, size_t len, uint32_t timeout, uint32_t *token);
PW_IMPORT(proxy_grpc_stream)(const char *upstream, size_t ulen, const char *service, size_t slen,
                             const char *method, size_t mlen, const char *metadata, size_t dlen,
                             uint32_t *token);
PW_IMPORT(proxy_grpc_send)(uint32_t token, const char *message, size_t len, bool end);
PW_IMPORT(proxy_grpc_cancel)(uint32_t token);
PW_IMPORT(proxy_grpc_close)(uint32_t token);
PW_IMPORT(proxy_get_status)(uint32_t *code, char **message, size_t *len);
PW_IMPORT(proxy_get_shared_data)(const char *key, size_t klen, char **value, size_t *vlen, uint32_t *cas);
PW_IMPORT(proxy_set_shared_data)(const char *key, size_t klen, const char *value, size_t vlen, uint32_t cas);
PW_IMPORT(proxy_register_shared_queue)(const char *name, size_t nlen, uint32_t *id);
PW_IMPORT(proxy_resolve_shared_queue)(const char *vm, size_t vlen, const char *name, size_t nlen, uint32_t *id);
PW_IMPORT(proxy_enqueue_shared_queue)(uint32_t id, const char *value, size_t len);
PW_IMPORT(proxy_dequeue_shared_queue)(uint32_t id, char **value, size_t *len);
PW_IMPORT(proxy_define_metric)(int kind, const char *name, size_t nlen, uint32_t *id);
PW_IMPORT(proxy_increment_metric)(uint32_t id, int64_t offset);
PW_IMPORT(proxy_record_metric)(uint32_t id, uint64_t value);
PW_IMPORT(proxy_get_metric)(uint32_t id, uint64_t *value);
PW_IMPORT(proxy_call_foreign_function)(const char *name, size_t nlen, const char *arguments, size_t alen,
                                       char **results, size_t *rlen);
PW_IMPORT(proxy_set_effective_context)(uint32_t context);
PW_IMPORT(proxy_done)(void);

/* A piece of text: not ended by a zero. */
typedef struct {
  const char *at;
  size_t len;
} pw_text;

/* A literal. */
#define PW(literal) ((pw_text){(literal), sizeof(literal) - 1})
/* The two arguments that a host call takes for a text. */
#define PW_ARGS(text) (text).at, (text).len

static inline bool pw_same(pw_text a, pw_text b) {
  if (a.len != b.len) return false;
  for (size_t i = 0; i < a.len; i++)
    if (a.at[i] != b.at[i]) return false;
  return true;
}

static inline bool pw_begins(pw_text text, pw_text with) {
  return text.len >= with.len && pw_same((pw_text){text.at, with.len}, with);
}

/* A field's value; {0, 0} when there is none. */
static inline pw_text pw_field(int map, pw_text name) {
  char *at = 0;
  size_t len = 0;
  if (proxy_get_header_map_value(map, PW_ARGS(name), &at, &len) != PW_OK) return (pw_text){0, 0};
  return (pw_text){at ? at : "", len};
}

static inline void pw_set_field(int map, pw_text name, pw_text value) {
  proxy_replace_header_map_value(map, PW_ARGS(name), PW_ARGS(value));
}

/* A buffer from its start; {0, 0} when it is empty. */
static inline pw_text pw_buffer(int buffer, size_t size) {
  char *at = 0;
  size_t len = 0;
  if (proxy_get_buffer_bytes(buffer, 0, size, &at, &len) != PW_OK) return (pw_text){0, 0};
  return (pw_text){at, len};
}

static inline void pw_log(int level, pw_text text) { proxy_log(level, PW_ARGS(text)); }

/* Answers; `headers` is a serialized map, or nothing. */
static inline void pw_answer(uint32_t status, pw_text headers, pw_text body) {
  proxy_send_local_response(status, 0, 0, PW_ARGS(body), PW_ARGS(headers), -1);
}

/* Once in a filter: the arena's size is the most that the host can hand over within one callback. */
#define PROXY_WASM(size)                                                     \
  static _Alignas(16) char pw_arena[size];                                   \
  static size_t pw_used;                                                     \
  PW_EXPORT(proxy_abi_version_0_2_1) void pw_abi(void) {}                    \
  PW_EXPORT(proxy_on_memory_allocate) void *pw_allocate(size_t len) {        \
    size_t start = (pw_used + 15) & ~(size_t)15;                             \
    if (len > sizeof pw_arena || start > sizeof pw_arena - len) return NULL; \
    pw_used = start + len;                                                   \
    return pw_arena + start;                                                 \
  }                                                                          \
  static inline void pw_begin(void) { pw_used = 0; }

#endif
