/* A small training program that shows itself to richd: a network of two layers learns to tell
 * clusters apart, by plain gradient descent in C, and streams what goes into its last layer and
 * what comes out of it. Run it beside a daemon:
 *
 *     build/example --runtime-dir "$XDG_RUNTIME_DIR/richd" --steps 2000
 *
 * Tested by test_example.c. */
#include <richd.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_INPUTS   16
#define N_HIDDEN   32 /* p: features of the last layer */
#define N_CLASSES  4  /* C: its outputs */
#define N_CLUSTERS 12
#define N_ROWS     64 /* of a batch */

struct network {
    double in[N_INPUTS][N_HIDDEN];
    double out[N_HIDDEN][N_CLASSES];
};

/* One batch on its way through the network; float, as a training program would have it. */
struct pass {
    double inputs[N_ROWS][N_INPUTS];
    int32_t labels[N_ROWS];
    float features[N_ROWS][N_HIDDEN];
    float logits[N_ROWS][N_CLASSES];
};

static uint64_t seed = 1;

static double uniform(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(2 * M_PI * uniform());
}

static void init_network(struct network *net)
{
    for (int i = 0; i < N_INPUTS; i++) {
        for (int j = 0; j < N_HIDDEN; j++)
            net->in[i][j] = normal() / sqrt(N_INPUTS);
    }
    for (int j = 0; j < N_HIDDEN; j++) {
        for (int k = 0; k < N_CLASSES; k++)
            net->out[j][k] = normal() / sqrt(N_HIDDEN);
    }
}

static void draw_rows(struct pass *pass, double centres[N_CLUSTERS][N_INPUTS])
{
    for (int row = 0; row < N_ROWS; row++) {
        int cluster = (int)(uniform() * N_CLUSTERS);

        pass->labels[row] = cluster % N_CLASSES;
        for (int i = 0; i < N_INPUTS; i++)
            pass->inputs[row][i] = centres[cluster][i] + 0.3 * normal();
    }
}

static void forward(const struct network *net, struct pass *pass)
{
    for (int row = 0; row < N_ROWS; row++) {
        for (int j = 0; j < N_HIDDEN; j++) {
            double sum = 0;

            for (int i = 0; i < N_INPUTS; i++)
                sum += pass->inputs[row][i] * net->in[i][j];
            pass->features[row][j] = (float)tanh(sum);
        }
        for (int k = 0; k < N_CLASSES; k++) {
            double sum = 0;

            for (int j = 0; j < N_HIDDEN; j++)
                sum += (double)pass->features[row][j] * net->out[j][k];
            pass->logits[row][k] = (float)sum;
        }
    }
}

/* Softmax of one row in place of its gradient; returns its cross-entropy. */
static double slope_of_row(const struct pass *pass, int row, double slope[N_CLASSES])
{
    double largest = -INFINITY, sum = 0;

    for (int k = 0; k < N_CLASSES; k++)
        largest = fmax(largest, (double)pass->logits[row][k]);
    for (int k = 0; k < N_CLASSES; k++)
        sum += slope[k] = exp((double)pass->logits[row][k] - largest);
    for (int k = 0; k < N_CLASSES; k++)
        slope[k] = slope[k] / sum - (k == pass->labels[row]);
    return -log(slope[pass->labels[row]] + 1);
}

/* One step of gradient descent, row by row; returns the mean loss. */
static double descend(struct network *net, const struct pass *pass, double rate)
{
    double loss = 0, slope[N_CLASSES];

    for (int row = 0; row < N_ROWS; row++) {
        loss += slope_of_row(pass, row, slope);
        for (int j = 0; j < N_HIDDEN; j++) {
            double feature = (double)pass->features[row][j], back = 0;

            for (int k = 0; k < N_CLASSES; k++) {
                back += slope[k] * net->out[j][k];
                net->out[j][k] -= rate * slope[k] * feature;
            }
            back *= 1 - feature * feature;
            for (int i = 0; i < N_INPUTS; i++)
                net->in[i][j] -= rate * back * pass->inputs[row][i];
        }
    }
    return loss / N_ROWS;
}

static void observe(struct richd_run *run, const struct pass *pass, long step)
{
    struct richd_batch batch = RICHD_BATCH;

    batch.layer = "head";
    batch.step = step;
    batch.n_rows = N_ROWS;
    batch.n_features = N_HIDDEN;
    batch.n_outputs = N_CLASSES;
    batch.n_targets = N_CLASSES;
    batch.features = pass->features;
    batch.outputs = pass->logits;
    batch.targets = pass->labels;
    batch.targets_dtype = RICHD_I32;
    richd_submit(run, &batch);
}

static void print_points(const struct richd_points *points, double loss)
{
    for (size_t i = 0; i < richd_points_count(points); i++) {
        const struct richd_point *point = richd_points_at(points, i);

        printf("%-8s step %6lld  loss %.4f  n %5.0f  d_lr %.4f  u %.4f  pr %.2f", point->layer,
               (long long)point->step, loss, point->n, point->d_lr, point->u, point->pr);
        for (const char *const *flag = point->flags; *flag; flag++)
            printf("  %s", *flag);
        printf("\n");
    }
}

static void checkpoint(struct richd_run *run, long step, double loss)
{
    struct richd_scalar scalar = {"loss", loss};
    struct richd_points *points;
    char error[256];
    int rc;

    richd_log(run, step, &scalar, 1);
    rc = richd_checkpoint(run, step, 10000, &points);
    if (rc == 0) {
        print_points(points, loss);
    } else {
        richd_last_error(run, error, sizeof error);
        printf("no point at step %ld: %s (%s)\n", step, strerror(-rc), error);
    }
    richd_points_free(points);
}

/* A point at 1, 2, 4, 8...: what happens early is not to be missed. */
static void train(struct richd_run *run, long n_steps)
{
    static struct network net;
    static struct pass pass;
    double centres[N_CLUSTERS][N_INPUTS];

    for (int cluster = 0; cluster < N_CLUSTERS; cluster++) {
        for (int i = 0; i < N_INPUTS; i++)
            centres[cluster][i] = normal();
    }
    init_network(&net);
    for (long step = 1, next = 1; step <= n_steps; step++) {
        double loss;

        draw_rows(&pass, centres);
        forward(&net, &pass);
        loss = descend(&net, &pass, 0.001);
        observe(run, &pass, step);
        if (step == next || step == n_steps) {
            checkpoint(run, step, loss);
            next *= 2;
        }
    }
}

static void usage(void)
{
    fprintf(stderr, "usage: example [--runtime-dir DIR] [--endpoint ADDRESS] [--run ID] "
                    "[--steps N]\n");
    exit(64);
}

int main(int argc, char **argv)
{
    struct richd_options options = RICHD_OPTIONS;
    struct richd_run *run;
    char error[256];
    long n_steps = 1024;
    int rc;

    options.name = "clusters";
    options.project = "example";
    options.config_json = "{\"rate\":0.001,\"hidden\":32}";
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            usage();
        if (strcmp(argv[i], "--runtime-dir") == 0)
            options.runtime_dir = argv[i + 1];
        else if (strcmp(argv[i], "--endpoint") == 0)
            options.endpoint = argv[i + 1];
        else if (strcmp(argv[i], "--run") == 0)
            options.run_id = argv[i + 1];
        else if (strcmp(argv[i], "--steps") == 0)
            n_steps = atol(argv[i + 1]);
        else
            usage();
    }
    run = richd_connect(&options, error, sizeof error);
    if (!run) {
        fprintf(stderr, "example: %s\n", error);
        return 1;
    }
    printf("run %s\n", richd_run_id(run));
    train(run, n_steps);
    rc = richd_close(run, RICHD_FINISHED, 10000);
    if (rc < 0)
        fprintf(stderr, "example: not all of it reached the daemon: %s\n", strerror(-rc));
    return rc < 0;
}
