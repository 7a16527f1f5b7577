/* What proto/MEASURES.md says of each measure, for readers who have the feed and not the page.
 * Constant data, which meaning.awk makes of the page when richd is built, so that nothing is
 * written twice; any thread. What fits in a line stands in proto/base/metric.h. Tested by
 * test_model_json.c. */
#pragma once

#include "proto/base/metric.h"

/* Plain text; NULL where the page has no such line. */
struct meaning {
    const char *in_words; /* for a reader who knows none of it: two sentences */
    const char *formula;
    const char *source;
    const char *range;
    const char *compare; /* what may be compared with what */
    const char *rows;    /* how many rows it wants */
    const char *misleads;
};

extern const struct meaning metric_meaning[METRIC_COUNT];
