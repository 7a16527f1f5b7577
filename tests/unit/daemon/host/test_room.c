#include "daemon/host/room.h"

#include "tests/lib/child.h"
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NOBODY 54321 /* root may have any number of threads */
#define GIB    (UINT64_C(1) << 30)

static int check_threads(void)
{
    struct err err;

    if (geteuid() == 0 && setuid(NOBODY) < 0)
        return 1;
    if (setrlimit(RLIMIT_NPROC, &(struct rlimit){3, 3}) < 0)
        return 2;
    if (room_check_threads(8, &err) != -EAGAIN)
        return 3;
    return strstr(err.text, "richd needs 8 more threads and could start ") ? 0 : 4;
}

/* Sanitizers map terabytes. */
static rlim_t mapped_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    if (!file || fscanf(file, "%lu", &pages) != 1)
        abort();
    fclose(file);
    return pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static int check_memory(void)
{
    rlim_t limit = mapped_bytes() + GIB;
    struct err err;

    if (setrlimit(RLIMIT_AS, &(struct rlimit){limit, limit}) < 0)
        return 1;
    if (room_limit_bytes() != limit || room_check_memory(GIB / 4, &err) != 0)
        return 2;
    if (room_check_memory(2 * GIB, &err) != -ENOMEM)
        return 3;
    return strstr(err.text, "needs 2048 MiB more memory, and the limit of ") ? 0 : 4;
}

static void threads_that_may_not_be_are_said_before_they_are_needed(void **state)
{
    (void)state;
    assert_holds_in_child(check_threads);
}

static void memory_that_may_not_be_is_said_before_it_is_needed(void **state)
{
    (void)state;
    assert_holds_in_child(check_memory);
}

static void what_there_is_room_for_is_left_as_it_was(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(room_check_threads(8, &err), 0);
    assert_int_equal(room_check_threads(8, &err), 0);
    assert_int_equal(room_check_memory(1 << 20, &err), 0);
    assert_true(room_stack_bytes() >= 1 << 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_that_may_not_be_are_said_before_they_are_needed),
        cmocka_unit_test(memory_that_may_not_be_is_said_before_it_is_needed),
        cmocka_unit_test(what_there_is_room_for_is_left_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
