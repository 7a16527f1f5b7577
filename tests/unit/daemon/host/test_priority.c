#include "daemon/host/priority.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_niceness_is_0_to_19(void **state)
{
    static const char *const wrong[] = {"", "-1", "20", "ten", "1e1", "5 ", "99999999999999999999"};
    struct err err;

    (void)state;
    assert_int_equal(priority_read("0", &err), 0);
    assert_int_equal(priority_read("19", &err), 19);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(priority_read(wrong[i], &err), -EBADMSG);
        assert_non_null(strstr(err.text, "is no niceness from 0 to 19"));
    }
}

/* The niceness and the policy that a process has that began with `before` and asked for `nice`. */
static void lower(int before, int nice, int *becomes, int *policy)
{
    struct err err;
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
        setpriority(PRIO_PROCESS, 0, before);
        if (priority_lower(nice, &err) < 0)
            _exit(255);
        _exit(getpriority(PRIO_PROCESS, 0) * 8 + sched_getscheduler(0));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 255);
    *becomes = WEXITSTATUS(status) / 8;
    *policy = WEXITSTATUS(status) % 8;
}

static void a_niceness_only_rises(void **state)
{
    int own = getpriority(PRIO_PROCESS, 0), policy, nice;

    (void)state;
    lower(own, 10, &nice, &policy);
    assert_int_equal(nice, own > 10 ? own : 10);
    assert_int_equal(policy, SCHED_BATCH);
    lower(19, 10, &nice, &policy);
    assert_int_equal(nice, 19);
    assert_int_equal(policy, SCHED_BATCH);
    lower(own, 0, &nice, &policy);
    assert_int_equal(nice, own > 0 ? own : 0);
    assert_int_equal(policy, SCHED_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_niceness_is_0_to_19),
        cmocka_unit_test(a_niceness_only_rises),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
