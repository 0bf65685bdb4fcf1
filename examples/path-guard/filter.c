// Turns away requests whose path, once decoded, begins with or holds what the manifest lists: one
// pattern a line, "/admin" for a beginning, "*.git" for anywhere. A path that hides what it means
// (a NUL, a control character, dots that lead out, a broken escape) is turned away, too.
#include "../../sdk/c/proxy_wasm.h"

enum { PATTERNS = 64, TEXT = 4096, PATH = 8192 };

PROXY_WASM(64 << 10)

static char text[TEXT];
static pw_text patterns[PATTERNS];
static size_t count;
static uint32_t refused;

static bool say(pw_text problem) {
  pw_log(PW_ERROR, problem);
  return false;
}

PW_EXPORT(proxy_on_configure) bool on_configure(uint32_t root, size_t size) {
  pw_begin();
  proxy_define_metric(PW_COUNTER, PW_ARGS(PW("path_guard_refused")), &refused);
  if (size > TEXT) return say(PW("the patterns are longer than 4 KiB"));
  pw_text config = pw_buffer(PW_PLUGIN_CONFIGURATION, size);
  size_t start = 0;
  for (size_t i = 0; i <= config.len; i++) {
    if (i < config.len) text[i] = config.at[i];
    if (i < config.len && config.at[i] != '\n') continue;
    if (i > start) {
      if (count == PATTERNS) return say(PW("there are more than 64 patterns"));
      if (text[start] != '/' && text[start] != '*') return say(PW("a pattern begins with / or *"));
      patterns[count++] = (pw_text){text + start, i - start};
    }
    start = i + 1;
  }
  return true;
}

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 32;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The path without its query, decoded and with its repeated slashes as one; NULL when it hides
// what it means.
static bool decode(pw_text path, char *out, size_t *len) {
  size_t n = 0;
  for (size_t i = 0; i < path.len && path.at[i] != '?'; i++) {
    unsigned char c = path.at[i];
    if (c == '%') {
      int high = i + 2 < path.len ? hex(path.at[i + 1]) : -1, low = i + 2 < path.len ? hex(path.at[i + 2]) : -1;
      if (high < 0 || low < 0) return false;
      c = high << 4 | low;
      i += 2;
    }
    if (c < ' ' || c == 127 || c == '\\') return false;
    if (n == PATH) return false;
    if (c == '/' && n && out[n - 1] == '/') continue;
    out[n++] = c;
  }
  *len = n;
  // "/.." as a segment leads out.
  for (size_t i = 0; i + 2 < n; i++)
    if (out[i] == '/' && out[i + 1] == '.' && out[i + 2] == '.' && (i + 3 == n || out[i + 3] == '/')) return false;
  return true;
}

static bool matches(pw_text path, pw_text pattern) {
  if (pattern.at[0] == '/') return pw_begins(path, pattern);
  pw_text part = {pattern.at + 1, pattern.len - 1};
  for (size_t i = 0; i + part.len <= path.len; i++)
    if (pw_same((pw_text){path.at + i, part.len}, part)) return true;
  return false;
}

PW_EXPORT(proxy_on_request_headers) uint32_t on_request(uint32_t context, uint32_t fields, bool end) {
  pw_begin();
  static char decoded[PATH];
  size_t len = 0;
  bool plain = decode(pw_field(PW_REQUEST_HEADERS, PW(":path")), decoded, &len);
  size_t at = 0;
  while (plain && at < count && !matches((pw_text){decoded, len}, patterns[at])) at++;
  if (plain && at == count) return PW_CONTINUE;
  proxy_increment_metric(refused, 1);
  pw_answer(plain ? 403 : 400, PW(""), plain ? PW("not here\n") : PW("that path hides what it means\n"));
  return PW_PAUSE;
}
