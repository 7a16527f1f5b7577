#include "proto/wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/vectors.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static uint64_t number(const cJSON *header, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(header, name);

    assert_true(cJSON_IsNumber(member));
    return (uint64_t)member->valuedouble;
}

/* cJSON keeps numbers as doubles, so the fields of 64 bits are compared through a double. */
static void assert_fields(const struct wire_header *h, const cJSON *want)
{
    assert_true((double)h->seq == cJSON_GetObjectItem(want, "seq")->valuedouble);
    assert_true((double)h->step == cJSON_GetObjectItem(want, "step")->valuedouble);
    assert_true((double)h->rows_before == cJSON_GetObjectItem(want, "rows_before")->valuedouble);
    assert_int_equal(h->kind, number(want, "kind"));
    assert_int_equal(h->n_rows, number(want, "n_rows"));
    assert_int_equal(h->n_features, number(want, "n_features"));
    assert_int_equal(h->n_outputs, number(want, "n_outputs"));
    assert_int_equal(h->n_targets, number(want, "n_targets"));
    assert_int_equal(h->features_dtype, number(want, "features_dtype"));
    assert_int_equal(h->outputs_dtype, number(want, "outputs_dtype"));
    assert_int_equal(h->targets_dtype, number(want, "targets_dtype"));
    assert_int_equal(h->weights_dtype, number(want, "weights_dtype"));
    assert_int_equal(h->first_row, h->kind == WIRE_HEAD ? number(want, "first_row") : 0);
}

static void check_header(const cJSON *vector)
{
    size_t size;
    unsigned char *bytes = vectors_bytes(vectors_text(vector, "hex"), &size);
    uint8_t again[WIRE_HEADER_SIZE];
    struct wire_header h;
    struct err e = {""};
    int rc = wire_header_decode(bytes, size, &h, &e);

    if (cJSON_IsTrue(cJSON_GetObjectItem(vector, "valid"))) {
        assert_int_equal(rc, 0);
        assert_fields(&h, cJSON_GetObjectItem(vector, "header"));
        wire_header_encode(&h, again);
        assert_memory_equal(again, bytes, WIRE_HEADER_SIZE);
    } else {
        assert_int_equal(rc, -EPROTO);
        assert_true(e.text[0] != '\0');
    }
    free(bytes);
}

static void headers_match_the_vectors(void **state)
{
    cJSON *vectors = vectors_read("wire");
    const cJSON *vector;

    (void)state;
    cJSON_ArrayForEach(vector, vectors)
    {
        print_message("  %s\n", vectors_text(vector, "name"));
        check_header(vector);
    }
    cJSON_Delete(vectors);
}

static void check_message(const cJSON *vector)
{
    struct wire_frame frames[16];
    unsigned char *bytes[16];
    size_t n = 0, n_batches;
    struct wire_batch batches[WIRE_LAYERS_MAX];
    struct err e = {""};
    const cJSON *frame;
    int rc;

    cJSON_ArrayForEach(frame, cJSON_GetObjectItem(vector, "frames"))
    {
        assert_true(n < COUNT(frames));
        bytes[n] = vectors_bytes(frame->valuestring, &frames[n].size);
        frames[n].data = bytes[n];
        n++;
    }
    rc = wire_message_decode(frames, n, batches, &n_batches, &e);
    if (cJSON_IsTrue(cJSON_GetObjectItem(vector, "valid"))) {
        assert_int_equal(rc, 0);
        assert_int_equal(wire_labels_check(&batches[0], &e), 0);
        assert_int_equal(n_batches, batches[0].header.n_more + 1);
        for (size_t i = 0; i < n_batches; i++)
            assert_ptr_equal(batches[i].layer, frames[3 * i + 1].data);
        for (size_t i = 1; i < n_batches; i++)
            assert_ptr_equal(batches[i].outputs.data, batches[0].outputs.data);
    } else {
        assert_int_equal(rc, -EPROTO);
        assert_true(e.text[0] != '\0');
    }
    while (n > 0)
        free(bytes[--n]);
}

static void messages_match_the_vectors(void **state)
{
    cJSON *vectors = vectors_read("messages");
    const cJSON *vector;

    (void)state;
    cJSON_ArrayForEach(vector, vectors)
    {
        print_message("  %s\n", vectors_text(vector, "name"));
        check_message(vector);
    }
    cJSON_Delete(vectors);
}

static struct wire_header tiny(void)
{
    return (struct wire_header){
        .kind = WIRE_ROWS,
        .seq = 1,
        .n_rows = 2,
        .n_features = 3,
        .n_outputs = 2,
        .features_dtype = DTYPE_F32,
        .outputs_dtype = DTYPE_F32,
    };
}

static void refusal_of_a_version_names_both(void **state)
{
    struct wire_header h = tiny();
    uint8_t bytes[WIRE_HEADER_SIZE];
    struct err e;

    (void)state;
    wire_header_encode(&h, bytes);
    bytes[4] = 9;
    assert_int_equal(wire_header_decode(bytes, sizeof bytes, &h, &e), -EPROTO);
    assert_non_null(strstr(e.text, "version 9"));
    assert_non_null(strstr(e.text, "version 1"));
}

static void reserved_bytes_are_ignored(void **state)
{
    struct wire_header h = tiny();
    uint8_t bytes[WIRE_HEADER_SIZE];

    (void)state;
    wire_header_encode(&h, bytes);
    memset(bytes + 52, 0xFF, 12);
    assert_int_equal(wire_header_decode(bytes, sizeof bytes, &h, NULL), 0);
}

static void wrong_length_names_what_came_and_what_was_expected(void **state)
{
    struct wire_header h = tiny();
    uint8_t bytes[WIRE_HEADER_SIZE], data[24] = {0};
    struct wire_frame frames[] = {{bytes, sizeof bytes}, {"head", 4}, {data, 23}, {data, 16}};
    struct wire_batch batches[WIRE_LAYERS_MAX];
    struct err e;
    size_t n;

    (void)state;
    wire_header_encode(&h, bytes);
    assert_int_equal(wire_message_decode(frames, COUNT(frames), batches, &n, &e), -EPROTO);
    assert_non_null(strstr(e.text, "features"));
    assert_non_null(strstr(e.text, "23 bytes"));
    assert_non_null(strstr(e.text, "expected 24"));
    assert_int_equal(batches[0].header.seq, 1);
    assert_int_equal(batches[0].layer_size, 4);
}

/* Every combination of a bad dtype code in the four roles, so that no code reads out of a table. */
static void no_dtype_code_is_taken_for_another(void **state)
{
    uint8_t bytes[WIRE_HEADER_SIZE];
    struct wire_header h;

    (void)state;
    for (int role = 0; role < 4; role++) {
        for (int code = DTYPE_COUNT; code < 256; code++) {
            h = tiny();
            wire_header_encode(&h, bytes);
            bytes[48 + role] = (uint8_t)code;
            assert_int_equal(wire_header_decode(bytes, sizeof bytes, &h, NULL), -EPROTO);
        }
    }
    assert_int_equal(dtype_size((enum dtype)200), 0);
    assert_string_equal(dtype_name((enum dtype)200), "unknown");
}

static int check_labels(enum dtype dtype, const void *labels, uint32_t n, uint32_t classes,
                        struct err *e)
{
    struct wire_batch b = {.header = tiny()};

    b.header.n_rows = n;
    b.header.n_targets = classes;
    b.header.targets_dtype = dtype;
    b.targets = (struct wire_frame){labels, n * dtype_size(dtype)};
    return wire_labels_check(&b, e);
}

/* The text has to say what to do instead. */
static void too_many_columns_are_told_of_the_head(void **state)
{
    struct wire_header h = tiny();
    uint8_t bytes[WIRE_HEADER_SIZE];
    struct err e;

    (void)state;
    h.n_outputs = 50257;
    wire_header_encode(&h, bytes);
    assert_int_equal(wire_header_decode(bytes, sizeof bytes, &h, &e), -EPROTO);
    assert_non_null(strstr(e.text, "50257"));
    assert_non_null(strstr(e.text, "head"));
}

static void a_slice_of_a_head_counts_the_values_of_its_rows(void **state)
{
    struct wire_header h = {.kind = WIRE_HEAD, .n_features = 65536};

    (void)state;
    h.n_rows = 65536;
    assert_true(wire_head_values(&h) == UINT64_C(65536) * 65537 / 2);
    h.first_row = 65530;
    h.n_rows = 2;
    assert_true(wire_head_values(&h) == 6 + 5);
}

static void label_out_of_range_is_refused_with_its_row(void **state)
{
    int32_t narrow[] = {0, 4, 5, 1}, none[] = {0, -1, -100, INT32_MIN};
    int64_t wide[] = {0, 4, INT64_MAX}, wrapped[] = {(int64_t)1 << 32};
    float values[] = {9, 9};
    struct err e;

    (void)state;
    assert_int_equal(check_labels(DTYPE_I32, narrow, 2, 5, &e), 0);
    assert_int_equal(check_labels(DTYPE_I32, narrow, 4, 5, &e), -EPROTO);
    assert_non_null(strstr(e.text, "row 2"));
    assert_non_null(strstr(e.text, "0 to 4"));
    assert_int_equal(check_labels(DTYPE_I32, none, 4, 5, &e), 0);
    assert_int_equal(check_labels(DTYPE_I64, wide, 2, 5, &e), 0);
    assert_int_equal(check_labels(DTYPE_I64, wide, 3, 5, &e), -EPROTO);
    assert_int_equal(check_labels(DTYPE_I64, wrapped, 1, 5, &e), -EPROTO);
    assert_int_equal(check_labels(DTYPE_F32, values, 2, 5, &e), 0);
}

static void labels_need_no_alignment(void **state)
{
    unsigned char bytes[1 + 16] = {0};
    int64_t label = 3;

    (void)state;
    memcpy(bytes + 9, &label, 8);
    assert_int_equal(check_labels(DTYPE_I64, bytes + 1, 2, 4, NULL), 0);
    assert_int_equal(check_labels(DTYPE_I64, bytes + 1, 2, 3, NULL), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_match_the_vectors),
        cmocka_unit_test(messages_match_the_vectors),
        cmocka_unit_test(too_many_columns_are_told_of_the_head),
        cmocka_unit_test(a_slice_of_a_head_counts_the_values_of_its_rows),
        cmocka_unit_test(refusal_of_a_version_names_both),
        cmocka_unit_test(reserved_bytes_are_ignored),
        cmocka_unit_test(wrong_length_names_what_came_and_what_was_expected),
        cmocka_unit_test(no_dtype_code_is_taken_for_another),
        cmocka_unit_test(label_out_of_range_is_refused_with_its_row),
        cmocka_unit_test(labels_need_no_alignment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
