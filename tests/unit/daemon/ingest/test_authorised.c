/* The file of those who may connect: its lines, and what becomes of it while the daemon runs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/ingest/authorised.h"

#define KEY   "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define OTHER "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4@wOTJ@JR@cs"

static char folder[] = "/tmp/test_authorised-XXXXXX";
static char path[64];

static void write_text(const char *text)
{
    FILE *file = fopen(path, "w");

    fputs(text, file);
    fclose(file);
}

static void a_line_without_its_end_is_not_there_yet(void **state)
{
    struct authorised *authorised = authorised_new(path);
    struct err err;

    (void)state;
    write_text(KEY " gpu3 write\n" OTHER " gpu4 write");
    assert_int_equal(authorised_refresh(authorised, true, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "line 2: it has no end yet"));
    assert_non_null(authorised_find(authorised, KEY));
    assert_null(authorised_find(authorised, OTHER));
    write_text(KEY " gpu3 write\n" OTHER " gpu4 write project=mine\n");
    assert_int_equal(authorised_refresh(authorised, true, &err), 1);
    assert_string_equal(authorised_find(authorised, OTHER)->projects, "mine");
    authorised_free(authorised);
}

static void a_line_has_a_key_a_name_rights_and_projects(void **state)
{
    struct authorised *authorised = authorised_new(path);
    const struct authorised_key *key;
    struct err err;

    (void)state;
    write_text("# ours\n\n" KEY " gpu3 write project=a,b # a host\r\n" OTHER " page write\n");
    assert_int_equal(authorised_refresh(authorised, false, &err), 1);
    assert_int_equal(authorised_count(authorised), 2);
    key = authorised_find(authorised, KEY);
    assert_string_equal(key->name, "gpu3");
    assert_true(key->writes);
    assert_string_equal(key->projects, "a,b");
    key = authorised_find(authorised, OTHER);
    assert_true(key->writes && !key->projects);
    authorised_free(authorised);
}

static void a_line_that_makes_no_sense_is_named_and_grants_nothing(void **state)
{
    static const char *const lines[] = {
        "short gpu write",
        KEY,
        KEY " a/b write",
        KEY " gpu",
        KEY " gpu admin",
        KEY " gpu read",
        KEY " gpu read,write",
        KEY " gpu write project=",
        KEY " gpu write project=a project=b",
        OTHER " twice write",
    };
    struct authorised *authorised = authorised_new(path);

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[256];
        struct err err;

        snprintf(text, sizeof text, OTHER " good write\n%s\n", lines[i]);
        write_text(text);
        if (authorised_refresh(authorised, true, &err) != -EBADMSG)
            fail_msg("%s is taken", lines[i]);
        assert_non_null(strstr(err.text, "authorised_keys: line 2: "));
        assert_int_equal(authorised_count(authorised), 1);
    }
    authorised_free(authorised);
}

static void a_long_line_hides_none(void **state)
{
    struct authorised *authorised = authorised_new(path);
    FILE *file = fopen(path, "w");
    struct err err;

    (void)state;
    for (int i = 0; i < 5000; i++)
        fputc('x', file);
    fputs("\n" KEY " gpu write\n", file);
    fclose(file);
    assert_int_equal(authorised_refresh(authorised, true, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "line 1: it is too long"));
    assert_non_null(authorised_find(authorised, KEY));
    authorised_free(authorised);
}

static void a_file_that_goes_or_that_others_may_write_has_no_keys(void **state)
{
    struct authorised *authorised = authorised_new(path);
    struct err err;

    (void)state;
    write_text(KEY " gpu write\n");
    assert_int_equal(authorised_refresh(authorised, false, &err), 1);
    assert_int_equal(authorised_refresh(authorised, false, &err), 0);
    assert_int_equal(chmod(path, 0662), 0);
    assert_int_equal(authorised_refresh(authorised, false, &err), -EPERM);
    assert_int_equal(authorised_count(authorised), 0);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(authorised_refresh(authorised, false, &err), 1);
    assert_int_equal(authorised_count(authorised), 1);
    unlink(path);
    assert_int_equal(authorised_refresh(authorised, false, &err), -ENOENT);
    assert_int_equal(authorised_count(authorised), 0);
    assert_int_equal(authorised_refresh(authorised, false, &err), 0);
    authorised_free(authorised);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_a_key_a_name_rights_and_projects),
        cmocka_unit_test(a_line_without_its_end_is_not_there_yet),
        cmocka_unit_test(a_line_that_makes_no_sense_is_named_and_grants_nothing),
        cmocka_unit_test(a_long_line_hides_none),
        cmocka_unit_test(a_file_that_goes_or_that_others_may_write_has_no_keys),
    };
    int failed;

    umask(022);
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/authorised_keys", folder);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed;
}
