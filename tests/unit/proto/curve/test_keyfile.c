/* Files of keys: what is written is read again, and what others may read is refused. */
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

#include "proto/curve/keyfile.h"

#define KEY "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"

static char folder[] = "/tmp/test_keyfile-XXXXXX";
static char path[64];

static void write_text(const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");

    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void a_pair_is_kept_and_not_made_again(void **state)
{
    struct keyfile made, again;
    struct err err = {""};
    struct stat st;

    (void)state;
    assert_int_equal(keyfile_keep(path, &made, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(key_is_valid(made.public_key) && key_is_valid(made.secret_key));
    assert_int_equal(keyfile_keep(path, &again, &err), 0);
    assert_memory_equal(&made, &again, sizeof made);
    assert_int_equal(keyfile_write(path, &made, false, &err), -EEXIST);
    unlink(path);
}

static void what_is_replaced_is_read_whole(void **state)
{
    struct keyfile made = {.server_key = KEY, .endpoint = "tcp://hub:24105"}, read;
    struct err err = {""};

    (void)state;
    assert_int_equal(keyfile_make_pair(&made, &err), 0);
    write_text("old", 0600);
    assert_int_equal(keyfile_write(path, &made, true, &err), 0);
    assert_int_equal(keyfile_read(path, &read, &err), 0);
    assert_memory_equal(&made, &read, sizeof made);
    unlink(path);
}

static void a_file_that_others_may_read_is_refused(void **state)
{
    struct keyfile keys;
    struct err err = {""};

    (void)state;
    write_text("public " KEY "\nsecret " KEY "\n", 0640);
    assert_int_equal(keyfile_read(path, &keys, &err), -EPERM);
    assert_non_null(strstr(err.text, "others than its owner"));
    assert_int_equal(keyfile_keep(path, &keys, &err), -EPERM);
    unlink(path);
    assert_int_equal(symlink("/dev/null", path), 0);
    assert_int_equal(keyfile_read(path, &keys, &err), -ELOOP);
    unlink(path);
    assert_int_equal(keyfile_read(path, &keys, &err), -ENOENT);
}

static void a_line_that_makes_no_sense_is_named_without_its_key(void **state)
{
    static const char *const texts[] = {
        "public " KEY "\nsecret " KEY "x\n",  "public " KEY "\nsecret " KEY " more\n",
        "public " KEY "\nendpoint udp://x\n", "public " KEY "\nsecret\n",
        "public " KEY "\nwhat " KEY "\n",
    };
    struct keyfile keys;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct err err = {""};

        write_text(texts[i], 0600);
        assert_int_equal(keyfile_read(path, &keys, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "line 2"));
        assert_null(strstr(err.text, KEY));
    }
    write_text("# nothing\n\npublic " KEY "\n", 0600);
    assert_int_equal(keyfile_read(path, &keys, NULL), -EBADMSG);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_is_kept_and_not_made_again),
        cmocka_unit_test(what_is_replaced_is_read_whole),
        cmocka_unit_test(a_file_that_others_may_read_is_refused),
        cmocka_unit_test(a_line_that_makes_no_sense_is_named_without_its_key),
    };
    int failed;

    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/key", folder);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
