#include "daemon/core/matrix/coretype.h"

#include <stddef.h>
#include <strings.h>

#define WIDE (FEATURE_AVX2 | FEATURE_AVX512)

const struct coretype coretypes[] = {
    {"Prescott", FEATURE_SSE3},
    {"Core2", FEATURE_SSSE3},
    {"Atom", FEATURE_SSSE3},
    {"Nano", FEATURE_SSSE3},
    {"Penryn", FEATURE_SSE4_1},
    {"Dunnington", FEATURE_SSE4_1},
    {"Nehalem", FEATURE_SSE4_2},
    {"Opteron", FEATURE_3DNOW},
    {"Opteron_SSE3", FEATURE_3DNOW | FEATURE_SSE3},
    {"Barcelona", FEATURE_SSE3 | FEATURE_SSE4A},
    {"Bobcat", FEATURE_SSSE3 | FEATURE_SSE4A},
    {"Sandybridge", FEATURE_AVX},
    {"Bulldozer", FEATURE_AVX | FEATURE_FMA4},
    {"Piledriver", FEATURE_AVX | FEATURE_FMA4},
    {"Steamroller", FEATURE_AVX | FEATURE_FMA4},
    {"Excavator", FEATURE_AVX2 | FEATURE_FMA4},
    {"Haswell", FEATURE_AVX2},
    {"Zen", FEATURE_AVX2},
    {"SkylakeX", FEATURE_AVX512},
    {"Cooperlake", FEATURE_AVX512 | FEATURE_BF16},
    {"SapphireRapids", FEATURE_AVX512 | FEATURE_BF16},
    {NULL, 0},
};

static const struct coretype *find(const char *name)
{
    const struct coretype *c = coretypes;

    while (c->name && strcasecmp(c->name, name) != 0)
        c++;
    return c->name ? c : NULL;
}

/* AVX-512 kernels are taken where AVX2 ones run on Intel's processors alone. Single-threaded, in
 * GFLOP/s, of ssyrk and dsyrk (n = 2048, p = 1024), OpenBLAS 0.3.21:
 *
 *     Intel, family 6 model 207      Haswell  78 /  -    SkylakeX 141 /  -    (2026-11)
 *     AMD EPYC, family 25 model 17   Zen     105 / 49    SkylakeX 100 / 50    (2026-11-27)
 *
 * Zen's and Haswell's differ by less than 1 % on the second. */
const char *coretype_better(const char *running, const char *asked, const struct processor *p,
                            coretype_is_built *is_built)
{
    const struct coretype *now = find(running);

    if (!now || (asked && *asked))
        return NULL;
    if (!p->is_amd && (p->features & FEATURE_AVX512) && !(now->needs & FEATURE_AVX512) &&
        is_built("SKYLAKEX"))
        return "SKYLAKEX";
    if (!(p->features & FEATURE_AVX2) || (now->needs & WIDE))
        return NULL;
    if (p->is_amd && is_built("ZEN"))
        return "ZEN";
    return is_built("HASWELL") ? "HASWELL" : NULL;
}
