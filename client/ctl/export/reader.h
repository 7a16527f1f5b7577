/* A run, read from the feed and given to a format: what is known of it, its events, then all points
 * of each layer and all values of each scalar, page by page and never in bins. Blocks on the feed;
 * keeps one page. Tested with its files by test_richctl_export.py. */
#pragma once

#include "client/ctl/export/format.h"

struct export_query {
    const char *attempts; /* NULL: effective */
    const char *layer;    /* NULL: all layers and all scalars; else this layer alone */
    /* Called after each row: false ends the export (-EINTR). */
    bool (*on_row)(void *context);
    void *context;
};

/* `object` is the answer of run.get. Returns 0, an error of the feed or the format, or -EINTR. */
int export_read(struct feedclient *, const cJSON *object, const struct export_query *,
                const struct export_format *, void *writer, struct err *err);
