/* Put before the C library of a gateway that is emulated, or that interprets its modules: CPU time counts as a
 * FACTORth. An emulator translates what runs for the first time, an interpreter takes a dozen instructions for one:
 * both take longer than the limits that filters have. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = syscall(SYS_clock_gettime, clock, time);
    /* Those of threads: this one's, and those that pthread_getcpuclockid names. */
    if (result == 0 && (clock == CLOCK_THREAD_CPUTIME_ID || clock < 0)) {
        long long part = (time->tv_sec * 1000000000LL + time->tv_nsec) / FACTOR;
        time->tv_sec = part / 1000000000;
        time->tv_nsec = part % 1000000000;
    }
    return result;
}

/* What the program starts is this machine's own: it can't load this. */
__attribute__((constructor)) static void alone(void)
{
    unsetenv("LD_PRELOAD");
}
