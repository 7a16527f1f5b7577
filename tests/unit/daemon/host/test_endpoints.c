/* Another group is let through in tests/e2e/service/test_a_group_may_connect.py. */
#include "daemon/host/endpoints.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void read_file(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "r");
    size_t n;

    assert_non_null(file);
    n = fread(out, 1, size - 1, file);
    out[n] = '\0';
    fclose(file);
}

static void the_file_is_written_for_us_alone_and_removed(void **state)
{
    struct endpoints_content content = {.ingest = "ipc://i", .feed = "unix:f"};
    char dir[] = "/tmp/test_endpoints-XXXXXX", path[64], text[256];
    struct stat st;
    struct err e = {""};

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/endpoints.json", dir);
    assert_int_equal(endpoints_write(dir, &content, &e), 0);
    read_file(path, text, sizeof text);
    assert_string_equal(text, "{\"ingest\":\"ipc://i\",\"feed\":\"unix:f\"}\n");
    content.http = "http://h";
    content.page = "http://h/#token=t";
    content.idle_exit_s = 600;
    assert_int_equal(endpoints_write(dir, &content, &e), 0);
    read_file(path, text, sizeof text);
    assert_non_null(
        strstr(text, "\"http\":\"http://h\",\"page\":\"http://h/#token=t\",\"idle_exit_s\":600"));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    endpoints_remove(dir);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(rmdir(dir), 0); /* nothing else was left in it */
    assert_int_equal(endpoints_write(dir, &content, &e), -ENOENT);
    assert_non_null(strstr(e.text, path));
}

static void a_group_has_a_name_or_a_number(void **state)
{
    struct err e = {""};

    (void)state;
    assert_int_equal(endpoints_check_group("root", &e), 0);
    assert_int_equal(endpoints_check_group("12345", &e), 0);
    assert_int_equal(endpoints_check_group("no-such-group", &e), -EINVAL);
    assert_int_equal(endpoints_check_group("12x", &e), -EINVAL);
    assert_int_equal(endpoints_check_group("-1", &e), -EINVAL);
    assert_int_equal(endpoints_check_group("4294967295", &e), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_is_written_for_us_alone_and_removed),
        cmocka_unit_test(a_group_has_a_name_or_a_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
