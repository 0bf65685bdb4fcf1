/* Functions that scripts call, in C without a libc.
 *
 *   [modules.words]
 *   wasm = "words.wasm"
 *   functions = { shout = "(string, i32) -> string" }
 *
 *   #include "module.h"
 *   PL_MODULE(1 << 20)
 *   PL_EXPORT(shout) uint64_t shout(const char *text, size_t len, int32_t times) {
 *     char *out = pl_take(len);
 *     ...
 *     return pl_string(out, len);
 *   }
 *
 * Arguments, results and what pl_take gives stand in an arena that is emptied after each call. A
 * function that fails ends in __builtin_trap(): the script gets nil and a message. */
#ifndef PILOTLIGHT_MODULE_H
#define PILOTLIGHT_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PL_EXPORT(name) __attribute__((export_name(#name)))

/* A result that is a string. */
static inline uint64_t pl_string(const void *at, size_t len) {
  return (uint64_t)(uintptr_t)at << 32 | len;
}

/* Once in a module: the arena's size is the most that one call needs. */
#define PL_MODULE(size)                                                      \
  static _Alignas(16) char pl_arena[size];                                   \
  static size_t pl_used;                                                     \
  PL_EXPORT(alloc) void *pl_alloc(size_t len) {                              \
    size_t start = (pl_used + 15) & ~(size_t)15;                             \
    if (len > sizeof pl_arena || start > sizeof pl_arena - len) return NULL; \
    pl_used = start + len;                                                   \
    return pl_arena + start;                                                 \
  }                                                                          \
  PL_EXPORT(reset) void pl_reset(void) { pl_used = 0; }                      \
  static inline void *pl_take(size_t len) {                                  \
    void *room = pl_alloc(len);                                              \
    if (!room) __builtin_trap();                                             \
    return room;                                                             \
  }

#endif
