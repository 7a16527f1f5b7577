/* How fast rows come from librichd over ipc into a point that is acknowledged, beside what BLAS
 * alone needs for the same X'X: two threads of cblas_ssyrk over batches of the same shape. Trainer
 * and daemon share the machine's cores, as they do in use. Both sides take turns in one run.
 *
 *     bench_way [--p P]... [--dtype f32|bf16|f16] [--runs N] [--seconds S] [--json]
 *
 * With another format than f32 the other side is the same way with f32 rows; with N runs at once,
 * each with a window, it is the way of one with N windows of the same rows, one after the other. A
 * ratio is the median over turns, `low` and `high` are its quartiles. With
 * --json a line is one object: work, p, c, unit, value, peer, ratio, low, high, and the cores that
 * trainer and daemon kept busy while rows were on their way. */
#include <assert.h>
#include <cblas.h>
#include <getopt.h>
#include <pthread.h>
#include <richd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/host/blas.h"
#include "tests/bench/daemon.h"
#include "tests/lib/random.h"

#define BATCH_ROWS 512
#define OUTPUTS    100
/* Distinct batches, so that features do not lie in a cache for ever. */
#define N_BATCHES  8
#define N_SYRK     2
#define RUNS_MAX   1024
#define SHAPES_MAX 16
#define TURNS_MAX  64
#define TURNS_MIN  3
/* Of one turn, in multiplications of X'X: a third of a second of two cores; and rows of a window,
 * for each feature, so that they have more to do with it than its measurement. */
#define ROWS_A_FEATURE  4
#define TURN_WORK       3e10
#define TURN_ROWS_MAX   (256 * BATCH_ROWS)
#define CHECKPOINT_MS   60000
#define PAUSE_US        500
#define IN_FLIGHT_BYTES ((size_t)48 << 20)

struct options {
    size_t p[SHAPES_MAX];
    size_t n_shapes;
    enum richd_dtype dtype;
    size_t n_runs;
    double seconds;
    bool json;
};

struct rows {
    size_t p;
    enum richd_dtype dtype;
    void *features[N_BATCHES];
    float *outputs;
};

struct way {
    struct richd_run *run[RUNS_MAX];
    size_t n_runs;
    int64_t step;
};

/* Seconds that passed, and that processors worked. */
struct spent {
    double wall, trainer, daemon;
};

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- the rows ---------------------------------------------------------------------------------
 */

static size_t size_of(enum richd_dtype dtype)
{
    return dtype == RICHD_F32 ? 4 : 2;
}

/* Values in [1, 2): their formats differ in the exponent's bits before the digits. */
static void fill(struct random *rng, enum richd_dtype dtype, size_t n, void *out)
{
    for (size_t i = 0; i < n; i++) {
        if (dtype == RICHD_F32)
            ((float *)out)[i] = 1 + (float)random_uniform(rng) * 0.999f;
        else if (dtype == RICHD_BF16)
            ((uint16_t *)out)[i] = (uint16_t)(0x3F80u | (random_bits(rng) & 0x7F));
        else
            ((uint16_t *)out)[i] = (uint16_t)(0x3C00u | (random_bits(rng) & 0x3FF));
    }
}

static void make_rows(struct rows *rows, size_t p, enum richd_dtype dtype)
{
    struct random rng;

    random_seed(&rng, p);
    rows->p = p;
    rows->dtype = dtype;
    for (size_t i = 0; i < N_BATCHES; i++) {
        rows->features[i] = must(malloc(BATCH_ROWS * p * size_of(dtype)));
        fill(&rng, dtype, BATCH_ROWS * p, rows->features[i]);
    }
    rows->outputs = must(malloc(BATCH_ROWS * OUTPUTS * sizeof *rows->outputs));
    fill(&rng, RICHD_F32, BATCH_ROWS * OUTPUTS, rows->outputs);
}

static void free_rows(struct rows *rows)
{
    for (size_t i = 0; i < N_BATCHES; i++)
        free(rows->features[i]);
    free(rows->outputs);
}

static double cpu_of_trainer(void)
{
    struct rusage use;

    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

/* ---- the way ----------------------------------------------------------------------------------
 */

static struct richd_stats stats_of(struct richd_run *run)
{
    struct richd_stats stats;

    if (richd_stats(run, &stats, sizeof stats) < 0)
        abort();
    return stats;
}

static void open_way(struct way *way, const struct bench_daemon *daemon, size_t n_runs)
{
    struct richd_options options = RICHD_OPTIONS;
    char error[256];

    options.name = "way";
    options.runtime_dir = daemon->folder;
    way->n_runs = n_runs;
    way->step = 0;
    for (size_t i = 0; i < n_runs; i++) {
        way->run[i] = richd_connect(&options, error, sizeof error);
        if (!way->run[i]) {
            fprintf(stderr, "bench_way: %s\n", error);
            exit(1);
        }
    }
    for (size_t i = 0; i < n_runs; i++) {
        while (!stats_of(way->run[i]).connected) {
            if (waitpid(daemon->pid, NULL, WNOHANG) != 0)
                exit(1);
            usleep(PAUSE_US);
        }
    }
}

static void close_way(struct way *way)
{
    for (size_t i = 0; i < way->n_runs; i++)
        richd_close(way->run[i], RICHD_FINISHED, CHECKPOINT_MS);
}

/* A training computes between two batches. This one waits for room instead, as it has nothing to
 * compute. */
static void submit(struct way *way, size_t i, const struct rows *rows, size_t batch)
{
    struct richd_batch b = RICHD_BATCH;

    while (stats_of(way->run[i]).bytes_held > IN_FLIGHT_BYTES / way->n_runs)
        usleep(PAUSE_US);
    b.layer = "head";
    b.step = way->step;
    b.n_rows = BATCH_ROWS;
    b.n_features = (uint32_t)rows->p;
    b.n_outputs = OUTPUTS;
    b.features = rows->features[batch % N_BATCHES];
    b.outputs = rows->outputs;
    b.features_dtype = rows->dtype;
    if (richd_submit(way->run[i], &b) < 0)
        abort();
}

static void wait_for_marks(struct way *way)
{
    for (size_t i = 0; i < way->n_runs; i++) {
        while (stats_of(way->run[i]).marks_waiting > 0)
            usleep(PAUSE_US);
    }
}

static void wait_for_points(struct way *way)
{
    struct richd_points *points = NULL;

    if (way->n_runs == 1) {
        if (richd_checkpoint(way->run[0], way->step, CHECKPOINT_MS, &points) < 0 ||
            richd_points_count(points) != 1 || richd_points_at(points, 0)->rows_missing > 0)
            abort();
        richd_points_free(points);
        return;
    }
    for (size_t i = 0; i < way->n_runs; i++)
        richd_checkpoint(way->run[i], way->step, 0, NULL);
    wait_for_marks(way);
}

/* The only run's windows, one after the other. */
static void send_windows(struct way *way, const struct rows *rows, size_t n_rows, size_t n_windows)
{
    for (size_t window = 0; window < n_windows; window++) {
        for (size_t batch = 0; batch * BATCH_ROWS * n_windows < n_rows; batch++)
            submit(way, 0, rows, batch);
        richd_checkpoint(way->run[0], way->step++, 0, NULL);
    }
}

/* Rows of one window of each run, until their points are here. */
static void go(struct way *way, const struct bench_daemon *daemon, const struct rows *rows,
               size_t n_rows, struct spent *spent)
{
    double wall = now_s(), trainer = cpu_of_trainer(), served = bench_daemon_cpu_s(daemon);

    way->step++;
    for (size_t batch = 0; batch * BATCH_ROWS < n_rows; batch++)
        submit(way, batch % way->n_runs, rows, batch);
    wait_for_points(way);
    spent->wall += now_s() - wall;
    spent->trainer += cpu_of_trainer() - trainer;
    spent->daemon += bench_daemon_cpu_s(daemon) - served;
}

/* ---- the other side ---------------------------------------------------------------------------
 */

struct syrk {
    const struct rows *rows;
    size_t n_batches;
    float *gram;
};

static void *run_syrk(void *argument)
{
    struct syrk *syrk = argument;
    int p = (int)syrk->rows->p;

    for (size_t i = 0; i < syrk->n_batches; i++)
        cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, p, BATCH_ROWS, 1,
                    syrk->rows->features[i % N_BATCHES], p, i > 0, syrk->gram, p);
    return NULL;
}

/* Seconds of two threads, each with half of the rows. */
static double time_syrk(const struct rows *rows, size_t n_rows, float *const gram[N_SYRK])
{
    struct syrk syrk[N_SYRK];
    pthread_t thread[N_SYRK];
    double began = now_s();

    for (size_t i = 0; i < N_SYRK; i++) {
        syrk[i] = (struct syrk){rows, n_rows / BATCH_ROWS / N_SYRK, gram[i]};
        pthread_create(&thread[i], NULL, run_syrk, &syrk[i]);
    }
    for (size_t i = 0; i < N_SYRK; i++)
        pthread_join(thread[i], NULL);
    return now_s() - began;
}

/* ---- both, in turns ---------------------------------------------------------------------------
 */

struct result {
    double value[TURNS_MAX], peer[TURNS_MAX], ratio[TURNS_MAX]; /* rows/s */
    size_t n;
    struct spent spent;
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of sorted values. */
static double quantile(const double *values, size_t n, double share)
{
    return values[(size_t)(share * (double)(n - 1) + 0.5)];
}

static size_t rows_of_a_turn(size_t p)
{
    size_t unit = N_SYRK * BATCH_ROWS;
    size_t rows = (size_t)(TURN_WORK / (double)(p * p)) / unit * unit;

    if (rows < ROWS_A_FEATURE * p)
        rows = (ROWS_A_FEATURE * p + unit - 1) / unit * unit;
    return rows < TURN_ROWS_MAX ? rows : TURN_ROWS_MAX;
}

struct sides {
    const struct options *options;
    struct bench_daemon daemon;
    struct rows f32, rows;
    struct way way, one;
    float *gram[N_SYRK];
};

static bool is_beside_syrk(const struct options *options)
{
    return options->n_runs == 1 && options->dtype == RICHD_F32;
}

/* Every run gets the same number of batches in each turn, two at least. */
static size_t rows_for(const struct sides *sides)
{
    size_t n = rows_of_a_turn(sides->rows.p), unit = 2 * sides->options->n_runs * BATCH_ROWS;

    return n > unit ? n / unit * unit : unit;
}

static double time_peer(struct sides *sides, size_t n)
{
    struct spent spent = {0};
    double began = now_s();

    if (is_beside_syrk(sides->options))
        return time_syrk(&sides->f32, n, sides->gram);
    if (sides->options->n_runs > 1) {
        send_windows(&sides->one, &sides->f32, n, sides->options->n_runs);
        wait_for_marks(&sides->one);
        return now_s() - began;
    }
    go(&sides->one, &sides->daemon, &sides->f32, n, &spent);
    return spent.wall;
}

static void take_turns(struct sides *sides, struct result *result)
{
    size_t n = rows_for(sides);
    double began = now_s();
    struct spent warm = {0};

    go(&sides->way, &sides->daemon, &sides->rows, n, &warm);
    time_peer(sides, n);
    while (result->n < TURNS_MAX &&
           (result->n < TURNS_MIN || now_s() - began < sides->options->seconds)) {
        double before = result->spent.wall, rows = (double)n;

        go(&sides->way, &sides->daemon, &sides->rows, n, &result->spent);
        result->value[result->n] = rows / (result->spent.wall - before);
        result->peer[result->n] = rows / time_peer(sides, n);
        result->ratio[result->n] = result->value[result->n] / result->peer[result->n];
        result->n++;
    }
}

static const char *name_of(const struct options *options)
{
    if (options->n_runs > 1)
        return "way_runs";
    return options->dtype == RICHD_F32    ? "way"
           : options->dtype == RICHD_BF16 ? "way_bf16"
                                          : "way_f16";
}

static void report(const struct options *options, size_t p, struct result *result)
{
    const struct spent *spent = &result->spent;
    double value, peer;

    qsort(result->value, result->n, sizeof(double), compare);
    qsort(result->peer, result->n, sizeof(double), compare);
    qsort(result->ratio, result->n, sizeof(double), compare);
    value = quantile(result->value, result->n, 0.5);
    peer = quantile(result->peer, result->n, 0.5);
    if (options->json)
        printf(
            "{\"work\":\"%s\",\"p\":%zu,\"c\":%d,\"runs\":%zu,\"unit\":\"rows/s\",\"value\":%.0f,"
            "\"peer\":%.0f,\"ratio\":%.3f,\"low\":%.3f,\"high\":%.3f,\"trainer_cores\":%.2f,"
            "\"daemon_cores\":%.2f}\n",
            name_of(options), p, OUTPUTS, options->n_runs, value, peer,
            quantile(result->ratio, result->n, 0.5), quantile(result->ratio, result->n, 0.25),
            quantile(result->ratio, result->n, 0.75), spent->trainer / spent->wall,
            spent->daemon / spent->wall);
    else
        printf("%-9s %6zu %6zu %10.0f %8.2f %10.0f %7.2f %6.2f %6.2f %8.2f %8.2f\n",
               name_of(options), p, options->n_runs, value,
               value * (double)(p * size_of(options->dtype) + OUTPUTS * sizeof(float)) * 1e-9, peer,
               quantile(result->ratio, result->n, 0.5), quantile(result->ratio, result->n, 0.25),
               quantile(result->ratio, result->n, 0.75), spent->trainer / spent->wall,
               spent->daemon / spent->wall);
    fflush(stdout);
}

static void measure(const struct options *options, size_t p)
{
    struct sides sides = {.options = options};
    struct result result = {.n = 0};

    bench_daemon_start(&sides.daemon);
    make_rows(&sides.f32, p, RICHD_F32);
    make_rows(&sides.rows, p, options->dtype);
    for (size_t i = 0; i < N_SYRK; i++)
        sides.gram[i] = must(calloc(p * p, sizeof(float)));
    open_way(&sides.way, &sides.daemon, options->n_runs);
    bench_daemon_lift(&sides.daemon);
    if (!is_beside_syrk(options))
        open_way(&sides.one, &sides.daemon, 1);
    take_turns(&sides, &result);
    close_way(&sides.way);
    close_way(&sides.one);
    bench_daemon_stop(&sides.daemon);
    for (size_t i = 0; i < N_SYRK; i++)
        free(sides.gram[i]);
    free_rows(&sides.f32);
    free_rows(&sides.rows);
    report(options, p, &result);
}

/* ---- options ----------------------------------------------------------------------------------
 */

static void usage(void)
{
    fprintf(stderr, "usage: bench_way [--p P]... [--dtype f32|bf16|f16] [--runs N] [--seconds S] "
                    "[--json]\n");
    exit(64);
}

static enum richd_dtype read_dtype(const char *name)
{
    if (strcmp(name, "f32") == 0)
        return RICHD_F32;
    if (strcmp(name, "bf16") == 0)
        return RICHD_BF16;
    if (strcmp(name, "f16") != 0)
        usage();
    return RICHD_F16;
}

static void read_options(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {{"p", 1, NULL, 'p'},    {"dtype", 1, NULL, 'd'},
                                          {"runs", 1, NULL, 'r'}, {"seconds", 1, NULL, 's'},
                                          {"json", 0, NULL, 'j'}, {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'p' && options->n_shapes < SHAPES_MAX)
            options->p[options->n_shapes++] = strtoul(optarg, NULL, 10);
        else if (option == 'd')
            options->dtype = read_dtype(optarg);
        else if (option == 'r')
            options->n_runs = strtoul(optarg, NULL, 10);
        else if (option == 's')
            options->seconds = strtod(optarg, NULL);
        else if (option == 'j')
            options->json = true;
        else
            usage();
    }
    if (optind < argc || options->n_runs == 0 || options->n_runs > RUNS_MAX)
        usage();
}

int main(int argc, char **argv)
{
    static const size_t usual[] = {256, 1024, 2048, 4096};
    struct options options = {.dtype = RICHD_F32, .n_runs = 1, .seconds = 4};

    blas_start_again(argv);
    read_options(&options, argc, argv);
    if (options.n_shapes == 0) {
        memcpy(options.p, usual, sizeof usual);
        options.n_shapes = sizeof usual / sizeof usual[0];
    }
    linalg_init();
    if (!options.json)
        printf("%-9s %6s %6s %10s %8s %10s %7s %6s %6s %8s %8s\n", "work", "p", "runs", "rows/s",
               "GB/s", "peer", "ratio", "low", "high", "trainer", "daemon");
    for (size_t i = 0; i < options.n_shapes; i++)
        measure(&options, options.p[i]);
    return 0;
}
