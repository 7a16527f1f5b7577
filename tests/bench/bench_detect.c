/* The calibration of the detector of transitions: how often it is wrong about series that have
 * none, and how often it finds one that is there. Prints the tables of
 * daemon/core/detect/transition.h. bench_detect [RUNS]: made-up series a figure, 1,000 unless said.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/core/series.h"

#define N_MAX 3000

static double values[N_MAX], errors[N_MAX];

static const double *all_errors(size_t n, double se)
{
    for (size_t i = 0; i < n; i++)
        errors[i] = se;
    return isnan(se) ? NULL : errors;
}

static double percent(size_t n, size_t runs)
{
    return 100.0 * (double)n / (double)runs;
}

/* ---- false alarms ---- */

/* Standard errors that come with the points; NaN: none. */
static const double given[] = {1, 0.1, NAN};
#define N_GIVEN (sizeof given / sizeof *given)

/* Counts the runs in which something is found, with each standard error. */
static void count_false_alarms(size_t runs, enum series_noise noise, size_t n,
                               size_t n_false[N_GIVEN])
{
    struct random random;

    random_seed(&random, 1);
    for (size_t run = 0; run < runs; run++) {
        series_noise(&random, noise, n, values);
        for (size_t s = 0; s < N_GIVEN; s++)
            n_false[s] += series_feed(n, values, all_errors(n, given[s])).n_found > 0;
    }
}

static void table_of_false_alarms(size_t runs)
{
    static const size_t lengths[] = {30, 100, 300, 1000, 3000};

    printf("\nfalse alarms, %% of runs, se 1, .1, not known\npoints ");
    for (enum series_noise noise = 0; noise < SERIES_NOISES; noise++)
        printf("%18s", series_noise_name(noise));
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        printf("\n%6zu ", lengths[l]);
        for (enum series_noise noise = 0; noise < SERIES_NOISES; noise++) {
            size_t n_false[N_GIVEN] = {0};

            count_false_alarms(runs, noise, lengths[l], n_false);
            for (size_t s = 0; s < N_GIVEN; s++)
                printf("%6.2f", percent(n_false[s], runs));
            fflush(stdout);
        }
    }
    printf("\n");
}

/* ---- power ---- */

struct power {
    size_t found;
    double delay; /* mean, points from the middle of the passage */
};

static struct power measure_power(size_t runs, double size, double length, size_t n, double se)
{
    struct random random;
    struct power power = {0};

    random_seed(&random, 2);
    for (size_t run = 0; run < runs; run++) {
        struct series_news news;

        for (size_t i = 0; i < n; i++)
            values[i] =
                random_gaussian(&random) + size * series_passage((double)i, (double)n / 2, length);
        news = series_feed(n, values, all_errors(n, se));
        if (news.n_found == 0 || news.found_at <= n / 2)
            continue;
        power.found++;
        power.delay += (double)news.found_at - (double)n / 2;
    }
    power.delay /= power.found ? (double)power.found : 1;
    return power;
}

static void table_of_power(size_t runs)
{
    static const double sizes[] = {3, 4, 5, 6, 8, 12};
    static const struct {
        size_t n;
        double length;
    } shapes[] = {{30, 0}, {60, 0}, {100, 0}, {300, 0}, {300, 10}, {300, 20}};

    printf("\npower: %% of passages found half way in white noise (points from the middle)\n"
           "points  length  se  ");
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        printf("%7g sigma", sizes[k]);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int known = 1; known >= 0; known--) {
            printf("\n%6zu %7g %4s ", shapes[s].n, shapes[s].length, known ? "1" : "-");
            for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
                struct power p = measure_power(runs, sizes[k], shapes[s].length, shapes[s].n,
                                               known ? 1 : (double)NAN);

                printf("%7.1f (%3.0f)", percent(p.found, runs), p.delay);
                fflush(stdout);
            }
        }
    }
    printf("\n");
}

/* ---- series of other kinds ---- */

/* Features of one distribution, their rows growing from n_from to n_to: the value is right on
 * average, its standard error c / sqrt(n). */
static size_t n_rows(int kind, double part)
{
    switch (kind) {
    case 0:
        return part < 0.5 ? 64 : 640;
    case 1:
        return part < 0.5 ? 1280 : 128;
    case 2:
        return (size_t)(32 * pow(1.1, 60 * part)); /* log-spaced, 32 rows a step */
    default:
        return part < 0.97 ? 1024 : 100; /* a short last epoch */
    }
}

static void table_of_sampling(size_t runs)
{
    static const char *const names[] = {"64 rows, then 640", "1280 rows, then 128",
                                        "log-spaced, 32 to 10,000", "short last windows"};

    printf("\none distribution, other numbers of rows: %% of runs of 100 and 300 points with an "
           "event\n");
    for (int kind = 0; kind < 4; kind++) {
        printf("%-26s", names[kind]);
        for (size_t n = 100; n <= 300; n += 200) {
            struct random random;
            size_t n_false = 0;

            random_seed(&random, 3);
            for (size_t run = 0; run < runs; run++) {
                for (size_t i = 0; i < n; i++) {
                    errors[i] = 0.3 / sqrt((double)n_rows(kind, (double)i / (double)n));
                    values[i] = 0.6 + errors[i] * random_gaussian(&random);
                }
                n_false += series_feed(n, values, errors).n_found > 0;
            }
            printf("%8.2f", percent(n_false, runs));
        }
        printf("\n");
    }
}

enum wave { SQUARE, RESTARTS, COSINE, DRIFT, EXCURSION, LAST_WAVE };

static double wave(enum wave kind, double i, double n, double period)
{
    double phase = fmod(i, period) / period;

    switch (kind) {
    case SQUARE:
        return phase < 0.5 ? 0 : 1;
    case RESTARTS: /* a jump that decays */
        return exp(-4 * phase);
    case COSINE:
        return 0.5 + 0.5 * cos(M_PI * phase);
    case DRIFT:
        return i / n;
    default:
        return i >= n / 2 && i < n / 2 + period;
    }
}

static void table_of_waves(size_t runs)
{
    static const struct {
        enum wave kind;
        const char *name;
        double periods[5];
    } rows[] = {{SQUARE, "square wave of period", {20, 40, 100, 200, 300}},
                {RESTARTS, "restarts that decay, every", {20, 40, 100, 200, 300}},
                {COSINE, "cosine restarts, every", {20, 40, 100, 200, 300}},
                {DRIFT, "drift", {1}},
                {EXCURSION, "excursion over", {5, 9, 13, 17, 60}}};

    printf(
        "\nheight 1, noise .05, 1,000 points: %% of runs with an event, events a run, returned\n");
    runs = runs / 10 + 1;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        for (int k = 0; k < 5 && rows[r].periods[k] > 0; k++) {
            struct random random;
            size_t n_with = 0, n_found = 0, n_returned = 0;

            random_seed(&random, 4);
            for (size_t run = 0; run < runs; run++) {
                struct series_news news;

                for (size_t i = 0; i < 1000; i++)
                    values[i] = wave(rows[r].kind, (double)i, 1000, rows[r].periods[k]) +
                                0.05 * random_gaussian(&random);
                news = series_feed(1000, values, NULL);
                n_with += news.n_found > 0;
                n_found += news.n_found;
                n_returned += news.n_returned;
            }
            printf("%-28s%5g %8.1f %6.2f %6.2f\n", rows[r].name, rows[r].periods[k],
                   percent(n_with, runs), (double)n_found / (double)runs,
                   (double)n_returned / (double)runs);
        }
    }
}

int main(int argc, char **argv)
{
    size_t runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;

    table_of_false_alarms(runs);
    table_of_power(runs);
    table_of_sampling(runs);
    table_of_waves(runs);
    return 0;
}
