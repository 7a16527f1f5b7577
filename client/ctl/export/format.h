/* How runs are written down: a format is a table of functions that get a run, then each of its
 * tables (the points of a layer, the values of a scalar) row by row. The reader (reader.h) walks
 * and asks; a format writes into the FILE it was given and blocks on nothing else; the command
 * names the files. No row is kept, so memory does not grow with a run.
 *
 * The way through the room: cmd_export opens a file (outfile) and a format (csv, json, npz) on it,
 * and has the reader bring one run after the other. npz is columns where rows come, so it collects
 * each in a file without a name and then copies it into the archive (zip). Tested with its files by
 * test_richctl_export.py. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "client/ctl/feed/history.h"
#include "proto/base/err.h"
#include "proto/base/point.h"

/* The cells of a layer's row: its attempt, then a point's members by enum point_member; of a
 * scalar's row the names below. NULL where the daemon sent none. */
#define EXPORT_POINT        1
#define EXPORT_LAYER_CELLS  (EXPORT_POINT + POINT_MEMBER_COUNT)
#define EXPORT_SCALAR_CELLS 4
extern const char *const export_scalar_cells[EXPORT_SCALAR_CELLS];
/* The name of a layer's cell. */
const char *export_layer_cell(size_t i);

struct export_run {
    const char *id;
    const cJSON *object; /* the answer of run.get */
    const cJSON *events; /* an array */
};

struct export_table {
    enum history_kind kind;
    const char *name; /* of the layer or scalar */
};

/* Each function but `open` and `close` returns 0 or -errno with a sentence; what `out` refused is
 * found by the one who closes it. Tables of layers come before those of scalars. */
struct export_format {
    const char *name; /* of --format, and the ending of its files */
    bool one_run;     /* a file has room for one run */
    bool is_binary;
    /* `path` (may be NULL) is where the file will stand. NULL: no memory. */
    void *(*open)(FILE *out, const char *path);
    int (*begin_run)(void *, const struct export_run *, struct err *);
    int (*begin_table)(void *, const struct export_table *, struct err *);
    int (*row)(void *, const cJSON *const cells[], struct err *);
    int (*end_table)(void *, struct err *);
    int (*end_run)(void *, struct err *);
    void (*close)(void *); /* frees what `open` made; NULL is fine */
};

extern const struct export_format export_csv, export_json, export_npz;
