/* The hot paths, each run once under valgrind's callgrind, for tests/bench/counts.py to count their
 * instructions. All inputs are made up here and the same each time. What a path does a first time
 * only (symbols that are bound, buffers that grow) is done before it is counted. Without valgrind
 * it runs through and counts nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

#include "daemon/core/matrix/convert.h"
#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "daemon/core/moments/fold.h"
#include "daemon/format/model_json.h"
#include "daemon/store/store.h"
#include "proto/control.h"
#include "proto/json.h"
#include "proto/wire.h"
#include "tests/bench/bench.h"
#include "tests/lib/random.h"
#include "tests/lib/records.h"

#define N         256
#define P         128
#define C         10
#define N_REPEATS 100
#define N_VALUES  (N * P)

struct paths {
    float *x, *y;
    struct fold *fold;
    struct moments moments, without; /* the second has no rows, hence no error bars */
    char *directory;
    struct store *store;
    struct record *opened;
    uint64_t seq;
};

static void fold_block(struct paths *t)
{
    struct rows rows = {.n = N,
                        .features = t->x,
                        .outputs = t->y,
                        .features_dtype = DTYPE_F32,
                        .outputs_dtype = DTYPE_F32};

    moments_reset(&t->moments);
    fold_begin(t->fold, &t->moments, 0);
    fold_add(t->fold, &rows, 0, N);
    fold_run(t->fold);
}

static void check_finite(struct paths *t)
{
    if (convert_find_nonfinite(DTYPE_F32, t->x, N_VALUES) != N_VALUES)
        abort();
}

static void measure(const struct moments *m)
{
    struct measure_plan plan = {.precision = {DTYPE_F32, DTYPE_F32},
                                .projector.kind = PROJECTOR_SPAN};
    struct spectrum *none;
    struct point point;

    if (measure_point(m, &plan, &point, &none) < 0)
        abort();
}

static void measure_without_errors(struct paths *t)
{
    measure(&t->without);
}

static void measure_with_errors(struct paths *t)
{
    measure(&t->moments);
}

static void parse_control(struct paths *t)
{
    static const char checkpoint[] =
        "{\"type\":\"checkpoint\",\"seq\":12,\"step\":1200,\"time\":1764000000.25,\"layers\":"
        "{\"head\":{\"seq\":120,\"rows\":61440},\"body\":{\"seq\":120,\"rows\":61440}},"
        "\"metrics\":{\"param_norm\":12.5}}";

    (void)t;
    for (size_t i = 0; i < N_REPEATS; i++) {
        struct control control;
        struct err why;

        if (control_parse(checkpoint, sizeof checkpoint - 1, &control, &why) < 0)
            abort();
        control_release(&control);
    }
}

static void decode_wire(struct paths *t)
{
    struct wire_header header = {.kind = WIRE_ROWS,
                                 .seq = 1,
                                 .n_rows = N,
                                 .n_features = P,
                                 .n_outputs = C,
                                 .features_dtype = DTYPE_F32,
                                 .outputs_dtype = DTYPE_F32};
    uint8_t head[WIRE_HEADER_SIZE];
    struct wire_frame frames[] = {{head, sizeof head},
                                  {"head", 4},
                                  {t->x, N * P * sizeof(float)},
                                  {t->y, N * C * sizeof(float)}};

    wire_header_encode(&header, head);
    for (size_t i = 0; i < N_REPEATS; i++) {
        struct wire_batch batches[WIRE_LAYERS_MAX];
        struct err why;
        size_t n;

        if (wire_message_decode(frames, 4, batches, &n, &why) < 0 || n != 1)
            abort();
    }
}

static void commit_point(struct paths *t)
{
    struct record *record;

    t->seq++;
    record = record_of(t->opened, RECORD_CHECKPOINT, t->seq, (int64_t)t->seq);
    record_add_point(record, "head", 0.5);
    if (apply(t->store, record) < 0)
        abort();
    record_free(record);
}

static void write_feed_line(struct paths *t)
{
    struct point point = {.step = 1200, .time = 1760000000.5, .n = 4096, .p = P, .c = C};

    (void)t;
    for (size_t i = 0; i < METRIC_COUNT; i++)
        point.value[i] = 1 / (double)(i + 3);
    for (size_t i = 0; i < N_REPEATS; i++) {
        cJSON *tree = point_to_json("mod97-wd1", "head", 1, &point);
        char *text = json_print(tree);

        if (!text)
            abort();
        cJSON_free(text);
        cJSON_Delete(tree);
    }
}

static void set_up(struct paths *t)
{
    struct random random;
    struct err why;

    random_seed(&random, 1);
    t->x = bench_alloc(N * P * sizeof *t->x);
    t->y = bench_alloc(N * C * sizeof *t->y);
    for (size_t i = 0; i < N * P; i++)
        t->x[i] = (float)random_uniform(&random);
    for (size_t i = 0; i < N * C; i++)
        t->y[i] = t->x[i / C * P + i % C] + (float)random_uniform(&random);
    t->fold = fold_new(P, C, 1);
    if (!t->fold || moments_init(&t->moments, P, C, 0) < 0)
        abort();
    t->moments.reservoir = reservoir_new(P, C, 0);
    fold_block(t);
    t->without = t->moments;
    t->without.reservoir = NULL;
    t->directory = scratch_new();
    if (store_open(scratch_path(t->directory, "history.db"), &t->store, &why) < 0)
        abort();
    t->opened = record_open("run", "writer", 0, RESUME_ALLOW);
    if (apply(t->store, t->opened) < 0)
        abort();
}

static void tear_down(struct paths *t)
{
    record_free(t->opened);
    store_close(t->store);
    scratch_free(t->directory);
    reservoir_free(t->moments.reservoir);
    moments_release(&t->moments);
    fold_free(t->fold);
    free(t->x);
    free(t->y);
}

static void count(struct paths *t, const char *name, void (*path)(struct paths *))
{
    path(t);
    CALLGRIND_START_INSTRUMENTATION;
    path(t);
    CALLGRIND_STOP_INSTRUMENTATION;
    CALLGRIND_DUMP_STATS_AT(name);
}

int main(void)
{
    struct paths t = {0};

    linalg_init();
    set_up(&t);
    count(&t, "fold of a block", fold_block);
    count(&t, "finite check", check_finite);
    count(&t, "point without errors", measure_without_errors);
    count(&t, "point with errors", measure_with_errors);
    count(&t, "control message", parse_control);
    count(&t, "data message", decode_wire);
    count(&t, "commit of a point", commit_point);
    count(&t, "feed line", write_feed_line);
    tear_down(&t);
    return 0;
}
