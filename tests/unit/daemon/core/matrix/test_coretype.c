#include <string.h>
#include <strings.h>

#include "daemon/core/matrix/coretype.h"
#include "daemon/core/matrix/linalg.h"
#include "tests/lib/blas.h"
#include "tests/lib/cmocka.h"

/* What processors report. */
#define SSE2008 (FEATURE_SSE3 | FEATURE_SSSE3 | FEATURE_SSE4_1 | FEATURE_SSE4_2)
#define AVX2012 (SSE2008 | FEATURE_AVX)
#define AVX2015 (AVX2012 | FEATURE_AVX2)
#define AVX512  (AVX2015 | FEATURE_AVX512)

static const struct processor nehalem = {SSE2008, false}, ivy_bridge = {AVX2012, false},
                              alder_lake = {AVX2015, false}, skylake = {AVX512, false},
                              emerald_rapids = {AVX512 | FEATURE_BF16, false},
                              phenom = {FEATURE_SSE3 | FEATURE_SSE4A, true},
                              piledriver = {AVX2012 | FEATURE_SSE4A | FEATURE_FMA4, true},
                              zen3 = {AVX2015 | FEATURE_SSE4A, true},
                              zen5 = {AVX512 | FEATURE_SSE4A | FEATURE_BF16, true},
                              arm = {0, false};

static bool all(const char *type)
{
    return type != NULL;
}

static bool none(const char *type)
{
    return !all(type);
}

static bool no_avx512(const char *type)
{
    return strcmp(type, "SKYLAKEX") != 0;
}

static bool haswell_alone(const char *type)
{
    return strcmp(type, "HASWELL") == 0;
}

static void better_kernels_are_found_where_there_are_any(void **state)
{
    static const struct {
        const char *running, *asked;
        const struct processor *processor;
        coretype_is_built *is_built;
        const char *better;
    } rows[] = {
        /* family 6 model 207, which OpenBLAS 0.3.21 does not know */
        {"Prescott", NULL, &emerald_rapids, all, "SKYLAKEX"},
        {"Prescott", "", &emerald_rapids, all, "SKYLAKEX"},
        {"Prescott", NULL, &emerald_rapids, no_avx512, "HASWELL"},
        {"Prescott", NULL, &emerald_rapids, none, NULL},
        {"Nehalem", NULL, &skylake, all, "SKYLAKEX"},
        {"Sandybridge", NULL, &skylake, all, "SKYLAKEX"},
        {"Haswell", NULL, &skylake, all, "SKYLAKEX"},
        {"Haswell", NULL, &skylake, no_avx512, NULL},
        {"Prescott", NULL, &alder_lake, all, "HASWELL"},
        {"Nehalem", NULL, &alder_lake, all, "HASWELL"},
        {"Sandybridge", NULL, &alder_lake, all, "HASWELL"},
        {"Prescott", NULL, &zen3, all, "ZEN"},
        {"Barcelona", NULL, &zen3, all, "ZEN"},
        {"Prescott", NULL, &zen3, haswell_alone, "HASWELL"},
        {"Prescott", NULL, &zen5, all, "ZEN"},
        /* as good as the processor, or as the measurement in coretype.c says */
        {"Zen", NULL, &zen5, all, NULL},
        {"Haswell", NULL, &zen5, all, NULL},
        {"Cooperlake", NULL, &zen5, all, NULL},
        {"Zen", NULL, &zen3, all, NULL},
        {"Haswell", NULL, &alder_lake, all, NULL},
        {"Zen", NULL, &alder_lake, all, NULL},
        {"SkylakeX", NULL, &emerald_rapids, all, NULL},
        {"Cooperlake", NULL, &emerald_rapids, all, NULL},
        {"SapphireRapids", NULL, &emerald_rapids, all, NULL},
        /* old processors */
        {"Prescott", NULL, &nehalem, all, NULL},
        {"Nehalem", NULL, &nehalem, all, NULL},
        {"Prescott", NULL, &ivy_bridge, all, NULL},
        {"Sandybridge", NULL, &ivy_bridge, all, NULL},
        {"Prescott", NULL, &phenom, all, NULL},
        {"Piledriver", NULL, &piledriver, all, NULL},
        /* nothing is known */
        {"Prescott", NULL, &arm, all, NULL},
        {"ARMV8", NULL, &arm, all, NULL},
        {"KernelsOf2030", NULL, &skylake, all, NULL},
        {"unknown", NULL, &skylake, all, NULL},
        /* the user's word */
        {"Prescott", "PRESCOTT", &emerald_rapids, all, NULL},
        {"Prescott", "SKYLAKEX", &emerald_rapids, all, NULL},
        {"Prescott", "nonsense", &emerald_rapids, all, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *better =
            coretype_better(rows[i].running, rows[i].asked, rows[i].processor, rows[i].is_built);

        if (rows[i].better)
            assert_string_equal(better ? better : "none", rows[i].better);
        else
            assert_null(better);
    }
}

/* What is better is never what the processor cannot run, and never what would be bettered again. */
static void the_better_ones_run_and_are_the_best(void **state)
{
    static const struct processor *const processors[] = {
        &nehalem, &ivy_bridge, &alder_lake, &skylake, &emerald_rapids,
        &phenom,  &piledriver, &zen3,       &zen5,    &arm};

    (void)state;
    for (size_t i = 0; i < sizeof processors / sizeof *processors; i++) {
        for (const struct coretype *running = coretypes; running->name; running++) {
            const char *better = coretype_better(running->name, NULL, processors[i], all);
            const struct coretype *c = coretypes;

            if (!better)
                continue;
            assert_null(coretype_better(better, NULL, processors[i], all));
            while (strcasecmp(c->name, better) != 0)
                c++;
            assert_int_equal(c->needs & ~processors[i]->features, 0);
        }
    }
}

static void this_processor_runs_the_kernels_that_openblas_chose(void **state)
{
    struct processor p = processor_read();
    const struct coretype *c = coretypes;

    (void)state;
    while (c->name && strcasecmp(c->name, linalg_kernels()) != 0)
        c++;
    assert_int_equal(c->needs & ~p.features, 0);
}

static void the_library_tells_which_kernels_it_was_built_with(void **state)
{
    (void)state;
    assert_int_equal(linalg_has_kernels("HASWELL"), blas_is_open());
    assert_false(linalg_has_kernels("NONSENSE"));
    assert_false(
        linalg_has_kernels("a name that is much longer than any core type of OpenBLAS has"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(better_kernels_are_found_where_there_are_any),
        cmocka_unit_test(the_better_ones_run_and_are_the_best),
        cmocka_unit_test(this_processor_runs_the_kernels_that_openblas_chose),
        cmocka_unit_test(the_library_tells_which_kernels_it_was_built_with),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
