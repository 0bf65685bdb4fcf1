// A filter in C: greets in a header, and turns away who says too little of itself.
#include "proxy_wasm.h"

PROXY_WASM(64 << 10)

static char greeting[64];
static size_t greeting_len;

// The manifest's `config`, a string here; false refuses the manifest.
PW_EXPORT(proxy_on_configure) bool on_configure(uint32_t root, size_t size) {
  pw_begin();
  pw_text config = size ? pw_buffer(PW_PLUGIN_CONFIGURATION, size) : PW("hello");
  if (config.len > sizeof greeting) {
    pw_log(PW_ERROR, PW("the greeting is too long"));
    return false;
  }
  for (greeting_len = 0; greeting_len < config.len; greeting_len++)
    greeting[greeting_len] = config.at[greeting_len];
  return true;
}

PW_EXPORT(proxy_on_request_headers) uint32_t on_request(uint32_t context, uint32_t count, bool end) {
  pw_begin();
  if (!pw_field(PW_REQUEST_HEADERS, PW("user-agent")).at) {
    pw_answer(403, PW(""), PW("who are you?\n"));
    return PW_PAUSE;
  }
  return PW_CONTINUE;
}

PW_EXPORT(proxy_on_response_headers) uint32_t on_response(uint32_t context, uint32_t count, bool end) {
  pw_begin();
  pw_set_field(PW_RESPONSE_HEADERS, PW("x-greeting"), (pw_text){greeting, greeting_len});
  return PW_CONTINUE;
}
