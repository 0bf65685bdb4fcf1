// An application that takes its time to start, and tells each client when it began, when it listened, when the request
// was there and when it was answered, in nanoseconds of CLOCK_MONOTONIC.  late PORT MILLISECONDS      One client at a time.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
static long now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000L + t.tv_nsec; }
int main(int ac, char **av) {
  long began = now();
  if (ac < 3) return 2;
  usleep(atoi(av[2]) * 1000);
  int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(av[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(l, (void *)&a, sizeof a) || listen(l, 4096)) { perror("listen"); return 1; }
  long listened = now();
  for (;;) {
    int c = accept(l, 0, 0), used = 0; ssize_t n; char in[4096], body[128], out[512];
    while ((n = read(c, in + used, sizeof in - used)) > 0 && !memmem(in, used += n, "\r\n\r\n", 4));
    if (n > 0) {
      long came = now();
      int length = snprintf(body, sizeof body, "%ld %ld %ld %ld\n", began, listened, came, now());
      length = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", length, body);
      if (write(c, out, length) != length) perror("write");
    }
    close(c);
  }
}
