/* Put before the C library of an emulated gateway: CPU time counts as a tenth. The emulator translates what runs
 * for the first time, which takes longer than the limits that scripts have for all of it. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = syscall(SYS_clock_gettime, clock, time);
    /* Those of threads: this one's, and those that pthread_getcpuclockid names. */
    if (result == 0 && (clock == CLOCK_THREAD_CPUTIME_ID || clock < 0)) {
        long long tenth = (time->tv_sec * 1000000000LL + time->tv_nsec) / 10;
        time->tv_sec = tenth / 1000000000;
        time->tv_nsec = tenth % 1000000000;
    }
    return result;
}
