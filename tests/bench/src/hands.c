// An upstream of bounded capacity: so many hands, each busy for so long with a request; the others wait for one in the
// order in which they came, however long.  hands PORT HANDS MICROSECONDS      GET without bodies, one at a time on a connection.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#define MAXFD 32768
typedef struct { int fd; unsigned life; } Work; // a connection's number is used again when it has closed
static unsigned lives[MAXFD];
static char in[MAXFD][2048]; static int used[MAXFD];
static Work queue[1 << 20], busy[4096]; static long ends[4096];
static unsigned head, tail; static int hands, idle, timer; static long takes;
static long now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000L + t.tv_nsec; }
static void answer(Work w) {
  static char text[1200]; static int n;
  if (!n) n = sprintf(text, "HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n%1024s", "x");
  if (lives[w.fd] == w.life && write(w.fd, text, n) != n) shutdown(w.fd, SHUT_RDWR);
}
static void turn(void) { // ends what is over, begins what waits, and sets the timer for the next end
  long t = now(), next = 0;
  for (int i = 0; i < hands; i++) {
    if (ends[i] && ends[i] <= t) { answer(busy[i]); ends[i] = 0; idle++; }
    if (!ends[i] && head != tail) { busy[i] = queue[head++ % (1 << 20)]; ends[i] = t + takes; idle--; }
    if (ends[i] && (!next || ends[i] < next)) next = ends[i];
  }
  struct itimerspec at = {.it_value = {next / 1000000000L, next % 1000000000L}};
  timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, 0);
}
int main(int ac, char **av) {
  if (ac < 4) return 2;
  hands = idle = atoi(av[2]); takes = atol(av[3]) * 1000;
  int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1, ep = epoll_create1(0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(av[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(l, (void *)&a, sizeof a) || listen(l, 4096)) { perror("listen"); return 1; }
  timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct epoll_event ev = {.events = EPOLLIN, .data.fd = l}, evs[256];
  epoll_ctl(ep, EPOLL_CTL_ADD, l, &ev); ev.data.fd = timer; epoll_ctl(ep, EPOLL_CTL_ADD, timer, &ev);
  for (;;) {
    int n = epoll_wait(ep, evs, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = evs[i].data.fd, c; long count;
      if (fd == timer) { if (read(timer, &count, 8) < 0) continue; continue; }
      if (fd == l) {
        while ((c = accept4(l, 0, 0, SOCK_NONBLOCK)) >= 0) {
          if (c >= MAXFD) { close(c); continue; }
          setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          used[c] = 0; ev.events = EPOLLIN; ev.data.fd = c; epoll_ctl(ep, EPOLL_CTL_ADD, c, &ev);
        }
        continue;
      }
      ssize_t r = read(fd, in[fd] + used[fd], sizeof in[fd] - used[fd]);
      if (r <= 0) { lives[fd]++; close(fd); continue; }
      used[fd] += r;
      if (memmem(in[fd], used[fd], "\r\n\r\n", 4)) { used[fd] = 0; queue[tail++ % (1 << 20)] = (Work){fd, lives[fd]}; }
    }
    turn();
  }
}
