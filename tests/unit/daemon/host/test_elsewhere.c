#include "daemon/host/elsewhere.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/records.h"

static void expect(const char *dir, int rc)
{
    struct err err;

    assert_int_equal(elsewhere_make(dir, &err), rc);
    if (rc < 0)
        assert_non_null(strstr(err.text, dir));
}

static void a_directory_is_made_for_us_alone(void **state)
{
    char dir[256];
    struct stat st;

    snprintf(dir, sizeof dir, "%s", scratch_path(*state, "made"));
    expect(dir, 0);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    expect(dir, 0);
    rmdir(dir);
}

/* Who puts a link there chooses where we write. */
static void a_link_is_refused_wherever_it_leads(void **state)
{
    char link[256];

    snprintf(link, sizeof link, "%s", scratch_path(*state, "link"));
    assert_int_equal(symlink(*state, link), 0);
    expect(link, -EPERM);
    unlink(link);
    assert_int_equal(symlink("/nonexistent", link), 0);
    expect(link, -EPERM);
}

static void others_may_look_in_and_not_write(void **state)
{
    char dir[256];

    snprintf(dir, sizeof dir, "%s", scratch_path(*state, "open"));
    expect(dir, 0);
    assert_int_equal(chmod(dir, 0750), 0);
    expect(dir, 0);
    assert_int_equal(chmod(dir, 0770), 0);
    expect(dir, -EPERM);
    assert_int_equal(chmod(dir, 0702), 0);
    expect(dir, -EPERM);
    rmdir(dir);
}

static int set_up(void **state)
{
    *state = scratch_new();
    return 0;
}

static int tear_down(void **state)
{
    scratch_free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_directory_is_made_for_us_alone),
        TEST(a_link_is_refused_wherever_it_leads),
        TEST(others_may_look_in_and_not_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
