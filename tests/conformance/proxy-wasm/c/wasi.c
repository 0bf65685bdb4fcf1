// What run-time libraries import of WASI preview 1 (TinyGo, C++, AssemblyScript): each name links and
// answers. Built by tools/build-guests.

typedef unsigned int u32;
typedef unsigned long long u64;
#define EXPORT(name) __attribute__((export_name(name)))
#define WASI(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) u32 name

__attribute__((import_module("env"), import_name("proxy_log"))) u32
proxy_log(u32 level, const char *text, u32 length);

WASI(args_get)(u32, u32);
WASI(args_sizes_get)(u32 *, u32 *);
WASI(environ_get)(u32, u32);
WASI(environ_sizes_get)(u32 *, u32 *);
WASI(clock_res_get)(u32, u64 *);
WASI(clock_time_get)(u32, u64, u64 *);
WASI(random_get)(void *, u32);
WASI(sched_yield)(void);
WASI(fd_write)(u32, const void *, u32, u32 *);
WASI(fd_read)(u32, const void *, u32, u32 *);
WASI(fd_close)(u32);
WASI(fd_seek)(u32, u64, u32, u64 *);
WASI(fd_fdstat_get)(u32, void *);
WASI(fd_fdstat_set_flags)(u32, u32);
WASI(fd_prestat_get)(u32, void *);
WASI(fd_prestat_dir_name)(u32, void *, u32);
WASI(fd_filestat_get)(u32, void *);
WASI(path_open)(u32, u32, const char *, u32, u32, u64, u64, u32, u32 *);
WASI(path_filestat_get)(u32, u32, const char *, u32, void *);
WASI(poll_oneoff)(const void *, void *, u32, u32 *);
WASI(sock_shutdown)(u32, u32);
__attribute__((import_module("wasi_snapshot_preview1"), import_name("proc_exit"))) void proc_exit(u32);

static char room[256];
static u32 number, other;
static u64 large;
/* A subscription to a clock, and the event that it becomes. */
static u64 clock[6] = {42}, struck[4];

static void say(const char *name, u32 status) {
  char line[64];
  u32 at = 0;
  for (u32 i = 0; name[i]; i++) line[at++] = name[i];
  line[at++] = ' ';
  if (status >= 10) line[at++] = (char)('0' + status / 10);
  line[at++] = (char)('0' + status % 10);
  proxy_log(2, line, at);
}

EXPORT("proxy_abi_version_0_2_0") void version(void) {}
EXPORT("proxy_on_memory_allocate") void *allocate(u32 size) { return room; }

EXPORT("proxy_on_request_headers") u32 request_headers(u32 context, u32 count, u32 end) {
  struct { const char *text; u32 length; } parts[] = {{"from ", 5}, {"wasi\n", 5}};
  say("args_sizes_get", args_sizes_get(&number, &other) | number | other);
  say("args_get", args_get(0, 0));
  say("environ_sizes_get", environ_sizes_get(&number, &other) | number | other);
  say("environ_get", environ_get(0, 0));
  say("clock_res_get", clock_res_get(0, &large));
  say("clock_time_get", clock_time_get(0, 0, &large) || !large);
  say("clock_time_get", clock_time_get(9, 0, &large));
  say("random_get", random_get(room, 16));
  say("sched_yield", sched_yield());
  say("fd_write", fd_write(1, parts, 2, &number) || number != 10);
  say("fd_write", fd_write(5, parts, 2, &number));
  say("fd_read", fd_read(0, parts, 1, &number));
  say("fd_close", fd_close(1));
  say("fd_seek", fd_seek(1, 0, 0, &large));
  say("fd_fdstat_get", fd_fdstat_get(1, room));
  say("fd_fdstat_set_flags", fd_fdstat_set_flags(1, 0));
  say("fd_prestat_get", fd_prestat_get(3, room));
  say("fd_prestat_dir_name", fd_prestat_dir_name(3, room, 1));
  say("fd_filestat_get", fd_filestat_get(1, room));
  say("path_open", path_open(3, 0, "x", 1, 0, 0, 0, 0, &number));
  say("path_filestat_get", path_filestat_get(3, 0, "x", 1, room));
  say("poll_oneoff", poll_oneoff(room, room, 0, &number));
  say("poll_oneoff", poll_oneoff(clock, struck, 1, &number) || number != 1 || struck[0] != 42);
  say("sock_shutdown", sock_shutdown(3, 0));
  proc_exit(3);
  return 0;
}
