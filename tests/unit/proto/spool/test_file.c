#include "proto/spool/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/child.h"
#include "tests/lib/vectors.h"

static char path[] = "/tmp/richd-spool-XXXXXX";

static void write_file(const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static size_t size_of_file(void)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static struct spool_file *open_file(void)
{
    struct spool_file *file = NULL;
    struct err err = {""};

    assert_int_equal(spool_file_open(path, &file, &err), 0);
    return file;
}

static size_t count_records(struct spool_file *file)
{
    struct spool_record record;
    struct err err = {""};
    size_t n = 0;

    while (spool_file_read(file, &record, &err) == 1)
        n++;
    assert_string_equal(err.text, "");
    return n;
}

/* ---- the vectors, which the Python client reads as well -------------------------------------- */

static void check_record(struct spool_file *file, const cJSON *want)
{
    struct spool_record record;
    size_t i = 0, size;
    const cJSON *hex;

    assert_int_equal(spool_file_read(file, &record, NULL), 1);
    assert_int_equal(record.n_frames, cJSON_GetArraySize(want));
    cJSON_ArrayForEach(hex, want)
    {
        unsigned char *bytes = vectors_bytes(hex->valuestring, &size);

        assert_int_equal(record.frames[i].size, size);
        assert_memory_equal(record.frames[i].data, bytes, size);
        free(bytes);
        i++;
    }
}

static void check_vector(const cJSON *vector)
{
    const char *end = vectors_text(vector, "end");
    struct spool_file *file = NULL;
    struct err err = {""};
    const cJSON *record;
    size_t size;
    unsigned char *bytes = vectors_bytes(vectors_text(vector, "hex"), &size);

    write_file(bytes, size);
    free(bytes);
    if (strcmp(end, "foreign") == 0) {
        assert_int_equal(spool_file_open(path, &file, &err), -EPROTO);
        assert_non_null(strstr(err.text, "no spool of version 1"));
        return;
    }
    file = open_file();
    cJSON_ArrayForEach(record, cJSON_GetObjectItem(vector, "records")) check_record(file, record);
    assert_int_equal(count_records(file), 0);
    assert_int_equal(spool_file_attempt(file), cJSON_GetObjectItem(vector, "attempt")->valueint);
    assert_int_equal(spool_file_is_damaged(file), strcmp(end, "damaged") == 0);
    assert_int_equal(spool_file_size(file) == size, strcmp(end, "whole") == 0);
    spool_file_free(file);
}

static void files_are_read_as_the_vectors_say(void **state)
{
    cJSON *vectors = vectors_read("spool");
    const cJSON *vector;

    (void)state;
    cJSON_ArrayForEach(vector, vectors)
    {
        print_message("  %s\n", vectors_text(vector, "name"));
        check_vector(vector);
    }
    cJSON_Delete(vectors);
}

/* ---- torn and changed ------------------------------------------------------------------------ */

/* The first vector: five records. Free with free. */
static unsigned char *whole_file(size_t *size)
{
    cJSON *vectors = vectors_read("spool");
    unsigned char *bytes = vectors_bytes(vectors_text(vectors->child, "hex"), size);

    cJSON_Delete(vectors);
    return bytes;
}

/* Where each record ends; the first is where the version does. */
static size_t ends_of(const unsigned char *bytes, size_t size, size_t ends[16])
{
    size_t n = 0;

    write_file(bytes, size);
    ends[n++] = SPOOL_MAGIC_SIZE;
    for (struct spool_file *file = open_file(); file; file = NULL) {
        struct spool_record record;

        while (spool_file_read(file, &record, NULL) == 1)
            ends[n++] = record.end.at;
        spool_file_free(file);
    }
    return n;
}

static void a_torn_end_is_cut_at_every_byte_and_written_over(void **state)
{
    size_t size, ends[16], n_ends;
    unsigned char *bytes = whole_file(&size);

    (void)state;
    n_ends = ends_of(bytes, size, ends);
    for (size_t cut = SPOOL_MAGIC_SIZE; cut <= size; cut++) {
        struct spool_file *file;
        size_t n_whole = 0;

        while (n_whole + 1 < n_ends && ends[n_whole + 1] <= cut)
            n_whole++;
        write_file(bytes, cut);
        file = open_file();
        assert_false(spool_file_is_damaged(file));
        assert_int_equal(count_records(file), n_whole);
        assert_int_equal(spool_file_note(file, 1000 + (int64_t)cut, NULL), 0);
        spool_file_free(file);
        file = open_file();
        assert_int_equal(spool_file_attempt(file), 1000 + cut);
        assert_int_equal(count_records(file), n_whole + 1);
        assert_int_equal(spool_file_size(file), size_of_file());
        spool_file_free(file);
    }
    free(bytes);
}

/* Nothing behind the byte is believed, and nothing before it is lost. */
static void a_byte_that_changed_ends_the_file_there(void **state)
{
    size_t size, ends[16], n_ends;
    unsigned char *bytes = whole_file(&size);

    (void)state;
    n_ends = ends_of(bytes, size, ends);
    for (size_t at = SPOOL_MAGIC_SIZE; at < size; at++) {
        struct spool_file *file;
        size_t n_before = 0;

        while (n_before + 1 < n_ends && ends[n_before + 1] <= at)
            n_before++;
        bytes[at] ^= 0x40;
        write_file(bytes, size);
        bytes[at] ^= 0x40;
        file = open_file();
        assert_int_equal(count_records(file), n_before);
        spool_file_free(file);
    }
    free(bytes);
}

static void a_record_that_claims_more_than_the_file_has_takes_no_memory(void **state)
{
    uint8_t bytes[SPOOL_MAGIC_SIZE + SPOOL_HEAD_SIZE] = {0};
    struct spool_file *file;

    (void)state;
    memcpy(bytes, spool_magic, SPOOL_MAGIC_SIZE);
    bytes[SPOOL_MAGIC_SIZE + 3] = 0x10; /* 256 MiB */
    bytes[SPOOL_MAGIC_SIZE + 8] = 1;
    write_file(bytes, sizeof bytes);
    file = open_file();
    assert_int_equal(count_records(file), 0);
    assert_false(spool_file_is_damaged(file));
    spool_file_free(file);
}

/* ---- the file ----------------------------------------------------------------------------------
 */

static void noting_an_attempt_keeps_the_files_time(void **state)
{
    struct timespec old[2] = {{1000, 0}, {2000, 0}};
    size_t size;
    unsigned char *bytes = whole_file(&size);
    struct spool_file *file;
    struct stat st;

    (void)state;
    write_file(bytes, size);
    free(bytes);
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    file = open_file();
    assert_int_equal(spool_file_note(file, 7, NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mtim.tv_sec, 2000);
    spool_file_free(file);
}

static int cannot_be_opened(void)
{
    struct spool_file *file;
    struct err err = {""};

    return spool_file_open(path, &file, &err) == -EAGAIN && strstr(err.text, "writes it") ? 0 : 1;
}

static void a_file_that_is_open_is_held_for_other_processes(void **state)
{
    struct spool_file *file;

    (void)state;
    write_file(spool_magic, SPOOL_MAGIC_SIZE);
    file = open_file();
    assert_holds_in_child(cannot_be_opened);
    spool_file_free(file);
}

static void what_is_no_file_is_refused_at_once(void **state)
{
    static char link[] = "/tmp/richd-spool-link-XXXXXX";
    struct spool_file *file;
    struct err err = {""};

    (void)state;
    assert_int_equal(spool_file_open("/tmp", &file, &err), -EISDIR);
    assert_int_equal(spool_file_open("/nowhere/at.all", &file, &err), -ENOENT);
    close(mkstemp(link));
    unlink(link);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(spool_file_open(link, &file, &err), -ELOOP);
    unlink(link);
    assert_int_equal(mkfifo(link, 0600), 0);
    assert_int_equal(spool_file_open(link, &file, &err), -EPROTO);
    unlink(link);
}

static void a_removed_file_is_gone(void **state)
{
    struct spool_file *file;

    (void)state;
    write_file(spool_magic, SPOOL_MAGIC_SIZE);
    file = open_file();
    assert_int_equal(spool_file_remove(file, NULL), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(spool_file_remove(file, NULL), -ENOENT);
    spool_file_free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_as_the_vectors_say),
        cmocka_unit_test(a_torn_end_is_cut_at_every_byte_and_written_over),
        cmocka_unit_test(a_byte_that_changed_ends_the_file_there),
        cmocka_unit_test(a_record_that_claims_more_than_the_file_has_takes_no_memory),
        cmocka_unit_test(noting_an_attempt_keeps_the_files_time),
        cmocka_unit_test(a_file_that_is_open_is_held_for_other_processes),
        cmocka_unit_test(what_is_no_file_is_refused_at_once),
        cmocka_unit_test(a_removed_file_is_gone),
    };
    int rc;

    close(mkstemp(path));
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return rc;
}
