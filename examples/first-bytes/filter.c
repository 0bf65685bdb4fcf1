// Lets connections through that begin as the manifest says, one beginning a line, and closes others before the
// upstream hears of them.
#include "../../sdk/c/proxy_wasm.h"

enum { BEGINNINGS = 32, TEXT = 1024 };

PROXY_WASM(16 << 10)

static char text[TEXT];
static pw_text beginnings[BEGINNINGS];
static size_t count, longest;
static uint32_t refused;

static bool say(pw_text problem) {
  pw_log(PW_ERROR, problem);
  return false;
}

PW_EXPORT(proxy_on_configure) bool on_configure(uint32_t root, size_t size) {
  pw_begin();
  proxy_define_metric(PW_COUNTER, PW_ARGS(PW("first_bytes_refused")), &refused);
  if (size > TEXT) return say(PW("the beginnings are longer than 1 KiB"));
  pw_text config = pw_buffer(PW_PLUGIN_CONFIGURATION, size);
  size_t start = 0;
  for (size_t i = 0; i <= config.len; i++) {
    if (i < config.len) text[i] = config.at[i];
    if (i < config.len && config.at[i] != '\n') continue;
    if (i > start) {
      if (count == BEGINNINGS) return say(PW("there are more than 32 beginnings"));
      beginnings[count++] = (pw_text){text + start, i - start};
      if (i - start > longest) longest = i - start;
    }
    start = i + 1;
  }
  return count > 0 || say(PW("there is no beginning: nothing could come through"));
}

// The upstream is connected to once all filters have let the connection through.
PW_EXPORT(proxy_on_new_connection) uint32_t on_connection(uint32_t context) { return PW_PAUSE; }

// What is known of a connection stands in a property of it: there is nothing to keep here, and to forget.
static const pw_text passed = {"first_bytes.passed", 18};

PW_EXPORT(proxy_on_downstream_data) uint32_t on_data(uint32_t context, size_t size, bool end) {
  pw_begin();
  char *value = 0;
  size_t len = 0;
  if (proxy_get_property(PW_ARGS(passed), &value, &len) == PW_OK) return PW_CONTINUE;
  pw_text data = pw_buffer(PW_DOWNSTREAM_DATA, longest);
  bool perhaps = false;
  for (size_t i = 0; i < count; i++) {
    if (pw_begins(data, beginnings[i])) {
      proxy_set_property(PW_ARGS(passed), "1", 1);
      return PW_CONTINUE;
    }
    perhaps |= pw_begins(beginnings[i], data);
  }
  if (perhaps && !end) return PW_PAUSE;
  proxy_increment_metric(refused, 1);
  proxy_set_property(PW_ARGS(PW("log.refused")), PW_ARGS(PW("first bytes")));
  proxy_close_stream(PW_STREAM_DOWNSTREAM);
  return PW_PAUSE;
}
