#include "daemon/host/files.h"

#include "tests/lib/child.h"
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int init_with(rlim_t soft, rlim_t hard, struct err *err)
{
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){soft, hard});
    return files_init(err);
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return __LINE__ % 256;                                                                 \
    } while (0)

static int check_raised(void)
{
    struct rlimit limit;
    struct err err;

    CHECK(init_with(200, 1000, &err) == 0);
    CHECK(files_limit() == 1000);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 1000);
    return 0;
}

static int check_too_low(void)
{
    struct err err;

    CHECK(init_with(100, 127, &err) == -EMFILE);
    CHECK(strstr(err.text, "may open 127 files and needs at least 128"));
    return 0;
}

/* 32 are the daemon's own. */
static int check_shares(void)
{
    struct err err;

    CHECK(init_with(800, 800, &err) == 0);
    CHECK(files_leaves_room(767) && !files_leaves_room(768) && !files_leaves_room(-1));
    CHECK(files_reserve(FILES_FEED, 1024) == 100);
    CHECK(files_reserve(FILES_HTTP, 20) == 20);
    CHECK(files_leaves_room(647) && !files_leaves_room(648));
    files_note(FILES_FEED, 60); /* which is open already */
    CHECK(files_leaves_room(707) && !files_leaves_room(708));
    files_note(FILES_FEED, 200);
    CHECK(files_leaves_room(747) && !files_leaves_room(748));
    return 0;
}

static void the_soft_limit_is_raised_as_far_as_it_may(void **state)
{
    (void)state;
    assert_holds_in_child(check_raised);
}

static void a_limit_that_is_too_low_is_refused(void **state)
{
    (void)state;
    assert_holds_in_child(check_too_low);
}

static void trainers_leave_what_readers_and_the_daemon_need(void **state)
{
    (void)state;
    assert_holds_in_child(check_shares);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_soft_limit_is_raised_as_far_as_it_may),
        cmocka_unit_test(a_limit_that_is_too_low_is_refused),
        cmocka_unit_test(trainers_leave_what_readers_and_the_daemon_need),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
