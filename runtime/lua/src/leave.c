/* Work in C that a signal's handler may leave in the middle; leave.rs says when. */
#include <setjmp.h>
#include <stddef.h>

/* `here` lives as long as the work does, and so does what `place` points to it. */
int pl_may_leave(void *volatile *place, int (*work)(void *), void *argument, int left)
{
    sigjmp_buf here;

    if (sigsetjmp(here, 0) != 0)
        return left;
    *place = &here;
    int result = work(argument);
    *place = NULL;
    return result;
}

void pl_leave(void *place)
{
    siglongjmp(*(sigjmp_buf *) place, 1);
}
