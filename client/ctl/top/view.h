/* What top looks like: runs and the time in, lines out, each at most as wide as the terminal. Pure;
 * borrows all it is given. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "client/ctl/top/list.h"

struct topview {
    struct toprun *const *runs; /* selected and in order */
    size_t n_runs;
    size_t n_all, n_open; /* before the selection */
    size_t first;         /* of those on the screen; topview_scroll keeps it in range */
    size_t columns, lines;
    bool once; /* a heading and all runs: no status, keys or rate */
    bool ascii;
    bool colour;
    double now_s;
    double away_s; /* since the daemon went; NaN while it is there */
    enum top_order order;
    const char *filter; /* "" for none */
    bool typing;        /* the filter is being typed */
};

/* Prints the lines: at most `lines` of them unless `once`. */
void topview_draw(const struct topview *, FILE *out);

/* Runs that the screen has room for. */
size_t topview_rows(const struct topview *);

/* Moves `first` by so many rows, as far as there are runs. */
void topview_scroll(struct topview *, long rows);
