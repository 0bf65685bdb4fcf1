// The body transforms without a proxy, as machine code: microseconds for 64 KiB, the best of many.
#include <stdio.h>
#include <time.h>
#include "scan.h"
static u8 body[65536];
static double best(int (*work)(const u8 *, u32, char *)) {
  double least = 1e9; char out[96]; struct timespec a, b;
  for (int i = 0; i < 2000; i++) {
    clock_gettime(CLOCK_MONOTONIC, &a); work(body, sizeof body, out); clock_gettime(CLOCK_MONOTONIC, &b);
    double us = (b.tv_sec - a.tv_sec) * 1e6 + (b.tv_nsec - a.tv_nsec) / 1e3;
    if (us < least) least = us;
    __asm__ volatile("" : : "r"(out) : "memory");
  }
  return least;
}
int main(void) {
  static const char unit[] = "{\"id\":12345,\"name\":\"al\\\"pha beta\",\"tags\":[\"x\",\"yy\",\"zzz\"],\"ok\":true,\"v\":3.14159},\n";
  for (u32 i = 0; i < sizeof body; i++) body[i] = unit[i % (sizeof unit - 1)];
  printf("{\"scan\": %.1f, \"sha\": %.1f}\n", best(do_scan), best(do_sha));
  return 0;
}
