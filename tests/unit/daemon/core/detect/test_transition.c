#include "daemon/core/detect/transition.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/lib/core/series.h"
#include "tests/lib/random.h"

#define MAX_FOUND  64
#define MAX_POINTS 128 /* of a real series */

/* How much is made up: TRANSITION_SERIES short series of noise, hundred times as many points of
 * long ones, and every drift with one noise in 200 of them. */
static size_t n_series(void)
{
    const char *given = getenv("TRANSITION_SERIES");

    return given ? strtoul(given, NULL, 10) : 2000;
}

/* A series, and what was found in it. */
struct fed_series {
    struct transition_detector detector;
    struct random random;
    size_t n_points;
    struct transition found[MAX_FOUND];
    size_t found_at[MAX_FOUND]; /* points fed until then */
    int64_t found_step[MAX_FOUND];
    size_t n_found; /* ever; those beyond MAX_FOUND are only counted */
    size_t n_returned;
    struct transition returned; /* the last that did */
};

static void begin(struct fed_series *r)
{
    transition_init(&r->detector);
    random_seed(&r->random, 7);
    r->n_points = r->n_found = r->n_returned = 0;
}

static void feed(struct fed_series *r, int64_t step, double value)
{
    struct transition t;

    r->n_points++;
    switch (
        transition_feed(&r->detector, &(struct transition_point){step, value, (double)NAN}, &t)) {
    case TRANSITION_NONE:
        return;
    case TRANSITION_RETURNED:
        assert_int_equal(t.returned, step);
        r->returned = t;
        r->n_returned++;
        return;
    case TRANSITION_FOUND:
        break;
    }
    assert_true(t.start <= t.end && t.end < step);
    assert_true(t.size > 0 && fabs(fabs(t.to - t.from) - t.size) <= 1e-12 * fabs(t.from));
    assert_int_equal(t.returned, -1);
    assert_int_equal(t.direction, t.to < t.from ? TRANSITION_FALL : TRANSITION_RISE);
    if (r->n_found < MAX_FOUND) {
        r->found[r->n_found] = t;
        r->found_at[r->n_found] = r->n_points;
        r->found_step[r->n_found] = step;
    }
    r->n_found++;
}

/* ---- noise --------------------------------------------------------------------------------- */

static double gaussian(struct random *r)
{
    return random_gaussian(r);
}

/* Student's t of three degrees of freedom: its fourth moment does not exist. */
static double student3(struct random *r)
{
    double sum = 0;

    for (int i = 0; i < 3; i++) {
        double g = random_gaussian(r);

        sum += g * g;
    }
    return random_gaussian(r) / sqrt(sum / 3);
}

/* Not even its mean exists. */
static double cauchy(struct random *r)
{
    return random_gaussian(r) / random_gaussian(r);
}

static double laplace(struct random *r)
{
    return (random_uniform(r) < 0.5 ? -1 : 1) * -log(1 - random_uniform(r));
}

static double uniform(struct random *r)
{
    return random_uniform(r) - 0.5;
}

struct noise {
    const char *name;
    double (*draw)(struct random *);
    double level, scale;
    double correlation; /* of a point with the one before */
    double bound;       /* false alarms per 10,000 points, at most */
};

static double false_alarms(const struct noise *noise, size_t n)
{
    struct fed_series *r = malloc(sizeof *r);
    double value = 0, rate;

    begin(r);
    for (size_t i = 0; i < n; i++) {
        value = noise->correlation * value + noise->draw(&r->random);
        feed(r, (int64_t)i, noise->level + noise->scale * value);
    }
    rate = 1e4 * (double)r->n_found / (double)n;
    printf("false alarms per 10,000 points, %-32s %.3f (%zu in %zu)\n", noise->name, rate,
           r->n_found, n);
    free(r);
    return rate;
}

static void noise_about_a_constant_is_rarely_a_transition(void **state)
{
    static const struct noise noises[] = {
        {"Gaussian, 1e-6", gaussian, 0.5, 1e-6, 0, 0.1},
        {"Gaussian, 0.01", gaussian, 0.5, 0.01, 0, 0.1},
        {"Gaussian, 1 about 0", gaussian, 0, 1, 0, 0.1},
        {"uniform", uniform, 0.5, 0.01, 0, 0.1},
        {"Laplace", laplace, 0.5, 0.01, 0, 0.1},
        {"Student's t, 3 degrees", student3, 0.5, 0.01, 0, 0.1},
        {"Cauchy", cauchy, 0.5, 0.01, 0, 0.1},
        {"Gaussian, correlation 0.5", gaussian, 0.5, 0.01, 0.5, 0.1},
        /* its level does move, for 20 points at a time */
        {"Gaussian, correlation 0.9", gaussian, 0.5, 0.01, 0.9, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof noises / sizeof *noises; i++)
        assert_true(false_alarms(&noises[i], 100 * n_series()) <= noises[i].bound);
}

/* What a user meets is the beginning of many short series, where least is known. */
static void short_series_of_noise_are_no_worse(void **state)
{
    struct fed_series *r = malloc(sizeof *r);
    struct random random;
    size_t n_found = 0, n = n_series();

    (void)state;
    random_seed(&random, 11);
    for (size_t series = 0; series < n; series++) {
        begin(r);
        for (int i = 0; i < 100; i++)
            feed(r, i, 0.5 + 0.01 * random_gaussian(&random));
        n_found += r->n_found;
    }
    printf("false alarms per 10,000 points, %zu series of 100 points: %.3f\n", n,
           100 * (double)n_found / (double)n);
    assert_true(100 * (double)n_found / (double)n <= 0.1);
    free(r);
}

/* Share of 200 series of 300 points in which something is found, seed by seed the same. With 1 %, 7
 * of 200 come once in 200 seeds. The long form is bench_detect. */
static void hardly_a_whole_series_has_a_false_alarm(void **state)
{
    double values[300], se[300];

    (void)state;
    for (enum series_noise noise = 0; noise < SERIES_NOISES; noise++) {
        for (int known = 0; known < 2; known++) {
            struct random random;
            size_t n_false = 0;

            random_seed(&random, 21);
            for (size_t i = 0; i < 300; i++)
                se[i] = 1;
            for (size_t series = 0; series < 200; series++) {
                series_noise(&random, noise, 300, values);
                n_false += series_feed(300, values, known ? se : NULL).n_found > 0;
            }
            printf("%s, standard error %s: events in %zu of 200 series\n", series_noise_name(noise),
                   known ? "1" : "not known", n_false);
            assert_true(n_false <= 6);
        }
    }
}

/* Of 200 steps half way in 300 points, as many as this; three binomial deviations below the long
 * form's figures. */
static void a_step_of_five_errors_is_found(void **state)
{
    static const struct {
        double size;
        bool known;
        size_t at_least;
    } steps[] = {{4, true, 100}, {5, true, 180}, {6, true, 190}, {5, false, 160}};
    double values[300], se[300];

    (void)state;
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        struct random random;
        size_t n_found = 0;

        random_seed(&random, 22);
        for (size_t series = 0; series < 200; series++) {
            for (size_t i = 0; i < 300; i++) {
                se[i] = 1;
                values[i] = random_gaussian(&random) + (i < 150 ? 0 : steps[k].size);
            }
            n_found += series_feed(300, values, steps[k].known ? se : NULL).found_at > 150;
        }
        printf("a step of %g, standard error %s: found in %zu of 200 series\n", steps[k].size,
               steps[k].known ? "1" : "not known", n_found);
        assert_true(n_found >= steps[k].at_least);
    }
}

/* The value is right at any number of rows, its standard error is not: 64 rows then 640, 1280 then
 * 128, and a growing number. */
static void another_number_of_rows_is_none(void **state)
{
    double values[200], se[200];
    size_t n_false = 0;
    struct random random;

    (void)state;
    random_seed(&random, 23);
    for (size_t series = 0; series < 300; series++) {
        for (size_t i = 0; i < 200; i++) {
            const double rows[] = {i < 100 ? 64 : 640, i < 100 ? 1280 : 128, 32 + 50 * (double)i};

            se[i] = 0.3 / sqrt(rows[series % 3]);
            values[i] = 0.6 + se[i] * random_gaussian(&random);
        }
        n_false += series_feed(200, values, se).n_found;
    }
    assert_true(n_false <= 3);
}

/* ---- made-up transitions ------------------------------------------------------------------- */

/* A step down at point 100, with noise. */
static void feed_step(struct fed_series *r, double noise, size_t n)
{
    for (size_t i = 0; i < n; i++)
        feed(r, (int64_t)i, (i < 100 ? 0.5 : 0.1) + noise * random_gaussian(&r->random));
}

static void a_step_is_found_within_twenty_points(void **state)
{
    static const double noises[] = {0, 0.001, 0.01, 0.03};
    struct fed_series r;

    (void)state;
    for (size_t i = 0; i < sizeof noises / sizeof *noises; i++) {
        begin(&r);
        feed_step(&r, noises[i], 400);
        assert_int_equal(r.n_found, 1);
        printf("a step of 0.4 in noise of %-5g is found after %zu points\n", noises[i],
               r.found_at[0] - 100);
        assert_in_range(r.found_at[0] - 100, 1, 20);
        assert_in_range(r.found[0].start, 97, 100);
        assert_in_range(r.found[0].end, 99, 103);
        assert_true(fabs(r.found[0].from - 0.5) <= 2 * noises[i]);
        assert_true(fabs(r.found[0].to - 0.1) <= 2 * noises[i]);
    }
}

static void a_passage_of_any_length_is_found_once(void **state)
{
    static const double lengths[] = {1, 10, 30, 100, 300, 1000, 3000};
    struct fed_series r;

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        double middle = 100 + 3 * lengths[i];

        begin(&r);
        for (size_t k = 0; k < (size_t)(middle + 8 * lengths[i] + 100); k++)
            feed(&r, (int64_t)k,
                 0.5 - 0.4 * series_passage((double)k, middle, lengths[i]) +
                     0.01 * random_gaussian(&r.random));
        assert_int_equal(r.n_found, 1);
        printf("a fall over %4g points: start %+.2f, end %+.2f, told %+.2f of its length from its "
               "middle; %.3f -> %.3f\n",
               lengths[i], ((double)r.found[0].start - middle) / lengths[i],
               ((double)r.found[0].end - middle) / lengths[i],
               ((double)r.found_at[0] - middle) / lengths[i], r.found[0].from, r.found[0].to);
        assert_int_equal(r.found[0].direction, TRANSITION_FALL);
        assert_true(fabs((double)r.found[0].start - (middle - lengths[i] / 2)) <=
                    3 + 0.35 * lengths[i]);
        assert_true(fabs((double)r.found[0].end - (middle + lengths[i] / 2)) <=
                    3 + 0.35 * lengths[i]);
        assert_true(fabs(r.found[0].from - 0.5) < 0.05 && fabs(r.found[0].to - 0.1) < 0.06);
    }
}

/* A fall between steps 10,000 and 30,000 at log-spaced steps, between 40,000 and 60,000 at even
 * ones: it needs as many points before it as it takes. Dense points show its slow start as a
 * passage of its own, which is not told. */
static void feed_spaced(struct fed_series *r, bool is_even, double ratio, double noise)
{
    int64_t last = -1;

    for (double at = 20; at < 100000; at = is_even ? at + 2000 * (ratio - 1) : at * ratio) {
        double way = is_even ? series_passage(at, 50000, 20000)
                             : series_passage(log(at), log(17320), log(3));

        if ((int64_t)at > last)
            feed(r, (int64_t)at, 0.5 - 0.4 * way + noise * random_gaussian(&r->random));
        last = (int64_t)at;
    }
}

static void the_spacing_of_the_steps_does_not_matter(void **state)
{
    static const double ratios[] = {1.05, 1.03, 1.02, 1.01, 1.003, 1.001};
    static const double noises[] = {0.0005, 0.002, 0.01};
    struct fed_series r;

    (void)state;
    for (size_t i = 0; i < 2 * sizeof ratios / sizeof *ratios; i++) {
        for (size_t k = 0; k < sizeof noises / sizeof *noises; k++) {
            bool is_even = i % 2;

            begin(&r);
            feed_spaced(&r, is_even, ratios[i / 2], noises[k]);
            assert_int_equal(r.n_found, 1);
            printf("%5zu %s points, noise %-6g: %lld to %lld\n", r.n_points,
                   is_even ? "even" : "log-spaced", noises[k], (long long)r.found[0].start,
                   (long long)r.found[0].end);
            assert_in_range(r.found[0].start, is_even ? 37000 : 7000, is_even ? 46000 : 14000);
            assert_in_range(r.found[0].end, is_even ? 54000 : 22000, is_even ? 63000 : 40000);
        }
    }
}

static void two_transitions_are_two(void **state)
{
    struct fed_series r;

    (void)state;
    begin(&r);
    for (size_t i = 0; i < 300; i++)
        feed(&r, (int64_t)i,
             0.5 - 0.2 * series_passage((double)i, 80, 8) -
                 0.2 * series_passage((double)i, 180, 8) + 0.004 * random_gaussian(&r.random));
    assert_int_equal(r.n_found, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(r.found[i].direction, TRANSITION_FALL);
        assert_in_range(r.found[i].start, 70 + 100 * i, 80 + 100 * i);
        assert_in_range(r.found[i].end, 80 + 100 * i, 90 + 100 * i);
        assert_true(fabs(r.found[i].size - 0.2) < 0.03);
    }
}

static void a_rise_behind_a_fall_is_its_return(void **state)
{
    struct fed_series r;

    (void)state;
    begin(&r);
    for (size_t i = 0; i < 300; i++)
        feed(&r, (int64_t)i,
             0.5 - 0.3 * series_passage((double)i, 80, 8) +
                 0.3 * series_passage((double)i, 180, 8) + 0.004 * random_gaussian(&r.random));
    assert_int_equal(r.n_found, 1);
    assert_int_equal(r.found[0].direction, TRANSITION_FALL);
    assert_int_equal(r.n_returned, 1);
    assert_in_range(r.returned.returned, 180, 195);
    assert_int_equal(r.returned.start, r.found[0].start);
    assert_true(r.returned.to == r.found[0].to);
}

/* Fills `values` with a fall in noise. */
static void make_fall(double *values, size_t n)
{
    struct random random;

    random_seed(&random, 3);
    for (size_t i = 0; i < n; i++)
        values[i] = 0.5 - 0.4 * series_passage((double)i, (double)n / 2, 12) +
                    0.01 * random_gaussian(&random);
}

/* The drift does not count as restlessness. */
static void a_step_behind_a_drift_is_found(void **state)
{
    struct fed_series r;

    (void)state;
    begin(&r);
    for (size_t i = 0; i < 200; i++)
        feed(&r, (int64_t)i,
             0.9 - 0.4 * (i < 150 ? (double)i / 150 : 1) - (i >= 100 ? 0.3 : 0) +
                 0.003 * random_gaussian(&r.random));
    assert_int_equal(r.n_found, 1);
    assert_in_range(r.found[0].start, 95, 101);
    assert_in_range(r.found_at[0] - 100, 1, 20);
}

static void backwards_in_time_a_fall_is_a_rise(void **state)
{
    double values[200];
    struct fed_series r;

    (void)state;
    make_fall(values, 200);
    begin(&r);
    for (size_t i = 0; i < 200; i++)
        feed(&r, (int64_t)i, values[199 - i]);
    assert_int_equal(r.n_found, 1);
    assert_int_equal(r.found[0].direction, TRANSITION_RISE);
    assert_in_range(r.found[0].start, 89, 97);
    assert_in_range(r.found[0].end, 102, 110);
}

static void the_unit_does_not_matter(void **state)
{
    static const double scales[] = {1e-30, 0.25, -1, 1e30};
    double values[200];
    struct fed_series one, other;

    (void)state;
    make_fall(values, 200);
    begin(&one);
    for (size_t i = 0; i < 200; i++)
        feed(&one, (int64_t)i, values[i]);
    assert_int_equal(one.n_found, 1);
    for (size_t k = 0; k < sizeof scales / sizeof *scales; k++) {
        begin(&other);
        for (size_t i = 0; i < 200; i++)
            feed(&other, (int64_t)i, scales[k] * (values[i] + (k == 1 ? 100 : 0)));
        assert_int_equal(other.n_found, 1);
        assert_int_equal(other.found_at[0], one.found_at[0]);
        assert_int_equal(other.found[0].start, one.found[0].start);
        assert_int_equal(other.found[0].end, one.found[0].end);
        assert_true((other.found[0].direction != one.found[0].direction) == (scales[k] < 0));
    }
}

/* ---- what is no transition ----------------------------------------------------------------- */

static void spikes_are_none(void **state)
{
    struct fed_series r;

    (void)state;
    for (size_t width = 1; width <= 2; width++) {
        for (int noisy = 0; noisy < 2; noisy++) {
            begin(&r);
            for (size_t i = 0; i < 10000; i++)
                feed(&r, (int64_t)i,
                     (i % 50 < width ? (i % 100 < 50 ? 100 : -3) : 0.5) +
                         0.01 * noisy * random_gaussian(&r.random));
            assert_int_equal(r.n_found, 0);
        }
    }
}

/* One or another noisy drift does show a level of its own: under 1 % of the series. */
static void slow_drifts_are_rarely_one(void **state)
{
    static const double noises[] = {0, 0.0001, 0.001, 0.01, 0.1};
    static const size_t lengths[] = {60, 300, 3000, 30000};
    struct fed_series *r = malloc(sizeof *r);
    size_t n_drifts = 0, n_found = 0, n_seeds = (n_series() + 199) / 200;
    struct random random;

    (void)state;
    random_seed(&random, 1000);
    for (size_t n = 0; n < n_seeds * sizeof noises / sizeof *noises; n++) {
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            for (int shape = 0; shape < 4; shape++) {
                double noise = noises[n % (sizeof noises / sizeof *noises)];

                begin(r);
                for (size_t i = 0; i < lengths[l]; i++) {
                    double t = (double)i / (double)lengths[l];
                    const double way[] = {t, t * t, sqrt(t), log(1 + 9 * t) / log(10)};

                    feed(r, (int64_t)i, 0.5 - 0.4 * way[shape] + noise * random_gaussian(&random));
                }
                n_drifts++;
                n_found += r->n_found;
                assert_true(noise > 0 || r->n_found == 0);
            }
        }
    }
    printf("slow drifts: %zu found in %zu series\n", n_found, n_drifts);
    assert_true((double)n_found <= 0.01 * (double)n_drifts);
    free(r);
}

static void noise_that_grows_is_none(void **state)
{
    struct fed_series r;

    (void)state;
    begin(&r);
    for (size_t i = 0; i < 20000; i++)
        feed(&r, (int64_t)i, 0.5 + (i < 10000 ? 0.001 : 0.05) * random_gaussian(&r.random));
    assert_int_equal(r.n_found, 0);
}

/* Nobody is told for ever that the series is where it is no more. */
static void an_excursion_is_silent_or_closed_by_its_return(void **state)
{
    struct fed_series r;

    (void)state;
    for (size_t length = 3; length <= 40; length++) {
        begin(&r);
        for (size_t i = 0; i < 300; i++)
            feed(&r, (int64_t)i,
                 (i >= 100 && i < 100 + length ? 0.1 : 0.5) + 0.005 * random_gaussian(&r.random));
        assert_int_equal(r.n_found, r.n_returned);
        assert_true(r.n_found <= (length <= 7 ? 0 : 1));
        assert_true(r.n_found == 1 || length < 17);
    }
}

/* The levels are known after the first return. */
static void a_square_wave_is_told_once(void **state)
{
    struct fed_series r;

    (void)state;
    for (size_t period = 10; period <= 300; period += 10) {
        begin(&r);
        for (size_t i = 0; i < 1000; i++)
            feed(&r, (int64_t)i,
                 (i % period < period / 2 ? 0.5 : 0.1) + 0.01 * random_gaussian(&r.random));
        assert_int_equal(r.n_found, r.n_returned);
        assert_true(r.n_found <= 1);
        assert_true(r.n_found == 1 || period < 100);
    }
}

/* Jumps that decay, and cosines. */
static void restarts_are_none(void **state)
{
    struct fed_series r;

    (void)state;
    for (size_t period = 20; period <= 300; period += 20) {
        for (int cosine = 0; cosine < 2; cosine++) {
            begin(&r);
            for (size_t i = 0; i < 1000; i++) {
                double phase = (double)(i % period) / (double)period;

                feed(&r, (int64_t)i,
                     (cosine ? cos(M_PI * phase) : exp(-4 * phase)) +
                         0.05 * random_gaussian(&r.random));
            }
            assert_int_equal(r.n_found, 0);
        }
    }
}

static void a_constant_is_none(void **state)
{
    struct fed_series r;

    (void)state;
    begin(&r);
    for (size_t i = 0; i < 1000; i++)
        feed(&r, (int64_t)i, 0.1 + (i % 3 == 0 ? 1e-17 : 0));
    assert_int_equal(r.n_found, 0);
}

/* However sure it is: d_lr of a probe that hardly moves, its standard error .0053, and rounding. */
static void what_is_too_small_to_matter_is_none(void **state)
{
    double values[100], se[100];

    (void)state;
    for (size_t i = 0; i < 100; i++) {
        values[i] = i < 50 ? 0.578093396 : 0.578093098;
        se[i] = 0.0053;
    }
    assert_int_equal(series_feed(100, values, se).n_found, 0);
    assert_int_equal(series_feed(100, values, NULL).n_found, 0);
    for (size_t i = 0; i < 100; i++)
        values[i] = i < 50 ? 0.57 : 0.56;
    assert_int_equal(series_feed(100, values, se).n_found, 0);
    assert_int_equal(series_feed(100, values, NULL).n_found, 1);
}

static void a_ripple_behind_a_great_fall_is_none(void **state)
{
    struct fed_series r;

    (void)state;
    begin(&r);
    for (size_t i = 0; i < 400; i++)
        feed(&r, (int64_t)i,
             0.5 - 0.4 * series_passage((double)i, 100, 8) +
                 0.05 * series_passage((double)i, 250, 8) + 0.001 * random_gaussian(&r.random));
    assert_int_equal(r.n_found, 1);
}

/* ---- real series --------------------------------------------------------------------------- */

/* Feeds the rows of tests/data/NAME; returns the points that a find came behind its end. */
static size_t feed_file(struct fed_series *r, const char *name)
{
    char path[128], line[256];
    long long step;
    int64_t steps[MAX_POINTS];
    size_t delay = 0;
    double value;
    FILE *in;

    snprintf(path, sizeof path, "tests/data/%s", name);
    in = fopen(path, "r");
    assert_non_null(in);
    begin(r);
    while (fgets(line, sizeof line, in)) {
        if (sscanf(line, "%lld,%lf", &step, &value) == 2) {
            assert_true(r->n_points < MAX_POINTS);
            steps[r->n_points] = step;
            feed(r, step, value);
        }
    }
    fclose(in);
    for (size_t i = 0; i < r->n_found; i++) {
        while (steps[r->found_at[i] - 1 - delay] > r->found[i].end)
            delay++;
        printf("%s: %s %.3f -> %.3f over %lld-%lld, told at step %lld, %zu points behind\n", name,
               transition_direction_name(r->found[i].direction), r->found[i].from, r->found[i].to,
               (long long)r->found[i].start, (long long)r->found[i].end,
               (long long)r->found_step[i], delay);
    }
    return delay;
}

/* Early drift, ripples of 0.02, ragged falls that halt or take back half of their first part,
 * bursts at the end: one fall each. The constants were chosen with seeds 0 to 7; seeds 8 and 9 were
 * measured afterwards, once. Seed 2 falls gradually, over 50 points, after a restless start. */
static void modular_addition_falls_once(void **state)
{
    static const struct {
        size_t n_points, delay; /* at most */
    } seeds[] = {{96, 11}, {106, 10}, {96, 12}, {96, 11}, {96, 11},
                 {96, 11}, {96, 11},  {96, 11}, {96, 13}, {96, 11}};
    struct fed_series r;

    (void)state;
    for (size_t seed = 0; seed < sizeof seeds / sizeof *seeds; seed++) {
        char name[64];
        size_t delay;

        snprintf(name, sizeof name, "mod97_squared_error_seed%zu.csv", seed);
        delay = feed_file(&r, name);
        assert_int_equal(r.n_points, seeds[seed].n_points);
        assert_int_equal(r.n_found, 1);
        assert_int_equal(r.found[0].direction, TRANSITION_FALL);
        assert_in_range(r.found[0].start, 500, 1080);
        assert_in_range(r.found[0].end, r.found[0].start + 1, 1080);
        assert_true(r.found[0].from > 0.4 && r.found[0].to < 0.12);
        assert_in_range(delay, 1, seeds[seed].delay);
    }
}

/* Under cross-entropy D_LR goes .54, .66, .41, .45, .32, then jumps by .2 to .4 every few hundred
 * steps and decays, in each seed its own way. Its only sharp fall (in seed 0 at steps 51 to 111) is
 * over before the 23rd point, and what follows moves no further than the jumps do: nothing is told,
 * as nothing there is a passage from one lasting level to another. */
static void oscillations_are_none(void **state)
{
    struct fed_series r;

    (void)state;
    for (int seed = 0; seed < 4; seed++) {
        char name[64];

        snprintf(name, sizeof name, "mod97_cross_entropy_seed%d.csv", seed);
        feed_file(&r, name);
        assert_int_equal(r.n_points, 126);
        assert_int_equal(r.n_found, 0);
    }
}

/* ---- what a trainer may send --------------------------------------------------------------- */

static void what_is_not_finite_or_not_new_is_passed_over(void **state)
{
    double values[200];
    struct fed_series one, other;

    (void)state;
    make_fall(values, 200);
    begin(&one);
    begin(&other);
    for (size_t i = 0; i < 200; i++) {
        feed(&one, 10 * (int64_t)i, values[i]);
        feed(&other, 10 * (int64_t)i, values[i]);
        feed(&other, 10 * (int64_t)i, 100);     /* the same step again */
        feed(&other, 10 * (int64_t)i - 7, 100); /* an older one */
        feed(&other, 10 * (int64_t)i + 1, i % 2 ? (double)NAN : (double)INFINITY);
    }
    assert_int_equal(one.n_found, 1);
    assert_int_equal(other.n_found, 1);
    assert_memory_equal(&one.found[0], &other.found[0], sizeof one.found[0]);
}

static void a_short_series_says_so(void **state)
{
    struct fed_series r;

    (void)state;
    begin(&r);
    for (int64_t i = 0; i < 2 * TRANSITION_POINTS_MIN; i++) {
        assert_int_equal(transition_is_ready(&r.detector), i >= TRANSITION_POINTS_MIN);
        feed(&r, i, 0.5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_about_a_constant_is_rarely_a_transition),
        cmocka_unit_test(short_series_of_noise_are_no_worse),
        cmocka_unit_test(hardly_a_whole_series_has_a_false_alarm),
        cmocka_unit_test(a_step_of_five_errors_is_found),
        cmocka_unit_test(another_number_of_rows_is_none),
        cmocka_unit_test(a_step_is_found_within_twenty_points),
        cmocka_unit_test(a_passage_of_any_length_is_found_once),
        cmocka_unit_test(the_spacing_of_the_steps_does_not_matter),
        cmocka_unit_test(two_transitions_are_two),
        cmocka_unit_test(a_rise_behind_a_fall_is_its_return),
        cmocka_unit_test(a_step_behind_a_drift_is_found),
        cmocka_unit_test(backwards_in_time_a_fall_is_a_rise),
        cmocka_unit_test(the_unit_does_not_matter),
        cmocka_unit_test(spikes_are_none),
        cmocka_unit_test(slow_drifts_are_rarely_one),
        cmocka_unit_test(noise_that_grows_is_none),
        cmocka_unit_test(an_excursion_is_silent_or_closed_by_its_return),
        cmocka_unit_test(a_square_wave_is_told_once),
        cmocka_unit_test(restarts_are_none),
        cmocka_unit_test(a_constant_is_none),
        cmocka_unit_test(what_is_too_small_to_matter_is_none),
        cmocka_unit_test(a_ripple_behind_a_great_fall_is_none),
        cmocka_unit_test(modular_addition_falls_once),
        cmocka_unit_test(oscillations_are_none),
        cmocka_unit_test(what_is_not_finite_or_not_new_is_passed_over),
        cmocka_unit_test(a_short_series_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
