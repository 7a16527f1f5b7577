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

/* A message of two layers of no rows whose headers are these. */
static int decode_two(const struct wire_header headers[2], struct err *err)
{
    static struct wire_batch out[WIRE_LAYERS_MAX];
    uint8_t bytes[2][WIRE_HEADER_SIZE];
    struct wire_frame frames[9] = {{bytes[0], sizeof bytes[0]},
                                   {"a", 1},
                                   {"", 0},
                                   {bytes[1], sizeof bytes[1]},
                                   {"b", 1},
                                   {"", 0},
                                   {"", 0},
                                   {"", 0},
                                   {"", 0}};
    size_t n_out;
    int rc;

    wire_header_encode(&headers[0], bytes[0]);
    wire_header_encode(&headers[1], bytes[1]);
    memset(out, 0x5a, sizeof out); /* all of what is not there has to be cleared */
    rc = wire_message_decode(frames, COUNT(frames), out, &n_out, err);
    if (rc == 0) {
        assert_ptr_equal(out[1].outputs.data, frames[6].data);
        assert_ptr_equal(out[1].targets.data, frames[7].data);
        assert_ptr_equal(out[1].weights.data, frames[8].data);
        assert_null(out[1].head.data);
        assert_null(out[1].xx.data);
    }
    return rc;
}

/* Layers of one message are the same rows: no header may say otherwise. */
static void headers_of_one_message_agree(void **state)
{
    const struct wire_header good = {.kind = WIRE_ROWS,
                                     .seq = 1,
                                     .n_features = 4,
                                     .n_outputs = 2,
                                     .n_targets = 3,
                                     .features_dtype = DTYPE_F32,
                                     .outputs_dtype = DTYPE_F32,
                                     .targets_dtype = DTYPE_I32,
                                     .weights_dtype = DTYPE_F32};
    struct wire_header other[10];
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(other); i++)
        other[i] = good;
    other[0].seq = 9;
    other[1].n_features = 7; /* these two are each layer's own */
    other[2].kind = WIRE_HEAD;
    other[2].n_rows = 1;
    other[2].outputs_dtype = DTYPE_NONE;
    other[3].n_more = 1;
    other[4].step = 1;
    other[5].n_rows = 1;
    other[6].n_outputs = 3;
    other[7].n_targets = 4;
    other[8].outputs_dtype = DTYPE_F64;
    other[9].weights_dtype = DTYPE_F64;
    for (size_t i = 0; i < COUNT(other); i++) {
        struct wire_header headers[2] = {good, other[i]};

        headers[0].n_more = 1;
        err.text[0] = '\0';
        assert_int_equal(decode_two(headers, &err), i < 2 ? 0 : -EPROTO);
        if (i >= 2 && !strstr(err.text, "layer 2 does not agree"))
            fail_msg("%zu: %s", i, err.text);
    }
    other[0].targets_dtype = DTYPE_I64;
    struct wire_header headers[2] = {good, other[0]};

    headers[0].n_more = 1;
    assert_int_equal(decode_two(headers, &err), -EPROTO);
}

static void a_message_without_its_frames_is_refused(void **state)
{
    static struct wire_batch out[WIRE_LAYERS_MAX];
    const struct wire_header moments = {.kind = WIRE_MOMENTS,
                                        .seq = 1,
                                        .n_features = 1,
                                        .n_outputs = 1,
                                        .features_dtype = DTYPE_F64,
                                        .outputs_dtype = DTYPE_F64};
    uint8_t bytes[WIRE_HEADER_SIZE];
    double zero[2] = {0, 0};
    struct wire_frame frames[] = {{bytes, sizeof bytes},
                                  {"a", 1},
                                  {zero, 8},
                                  {zero, 8},
                                  {zero, 8},
                                  {zero, 8},
                                  {zero, 8},
                                  {zero, 16}};
    struct err err = {""};
    size_t n_out;

    (void)state;
    wire_header_encode(&moments, bytes);
    assert_int_equal(wire_message_decode(frames, 0, out, &n_out, &err), -EPROTO);
    assert_non_null(strstr(err.text, "header of a layer is missing"));
    assert_int_equal(wire_message_decode(frames, 2, out, &n_out, &err), -EPROTO);
    assert_non_null(strstr(err.text, "2 frames, expected 8"));
    assert_int_equal(wire_message_decode(frames, COUNT(frames), out, &n_out, &err), 0);
    assert_false(out[0].xx_is_packed); /* of one feature both forms are the same bytes */
}

static void letters_beyond_ascii_name_a_layer(void **state)
{
    struct err err = {""};

    (void)state;
    assert_int_equal(wire_layer_check("\xC2\xA1", 2, &err), 0);
    assert_int_equal(wire_layer_check("\xC2\x9F", 2, &err), -EPROTO);
    assert_int_equal(wire_layer_check("\x7F", 1, &err), -EPROTO);
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
        cmocka_unit_test(headers_of_one_message_agree),
        cmocka_unit_test(a_message_without_its_frames_is_refused),
        cmocka_unit_test(letters_beyond_ascii_name_a_layer),
        cmocka_unit_test(label_out_of_range_is_refused_with_its_row),
        cmocka_unit_test(labels_need_no_alignment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
