/* A point as a line of text: the columns that series and tail print, in fixed widths, so that live
 * lines stay aligned. Pure; borrows all it is given.
 *
 * The way through the room: points go through here, other facts through table.h, which makes each
 * column as wide as it must be, all of a run's layers through layers.h, and events through
 * eventline.h. Only memory can fail: a name is "?"
 * then, and a table is not printed. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/base/point.h"

/* The parts of a row: a point's members by enum point_member, then its attempt, then scalars. */
#define POINT_ATTEMPT POINT_MEMBER_COUNT
#define POINT_PARTS   (POINT_MEMBER_COUNT + 1)

/* Chooses one measure, or (NULL) those that every point may have. */
void pointrow_choose(bool shown[METRIC_COUNT], const char *metric);
/* Marks the measures that the POINT object has a number for; NULL and others leave all as it is. */
void pointrow_mark_measured(const cJSON *point, bool shown[METRIC_COUNT]);

/* Which columns a line has. Names are escaped when printed. In few columns names are cut, and the
 * last measures are left out. A corrected measure stands before its plain form; where it is null
 * and the plain form has no column, it shows that, with a star (common/shown.h). */
struct pointrow_format {
    bool run;
    bool layer;
    bool attempt;
    bool shown[METRIC_COUNT];
    const char *const *scalars;
    size_t n_scalars;
    size_t columns; /* of the terminal that it has to fit in; 0: as wide as it gets */
    bool ascii;
};

struct pointrow {
    const char *run;
    const char *layer;
    const cJSON *const *parts; /* POINT_PARTS and n_scalars of them, NULL where absent */
};

void pointrow_print_header(const struct pointrow_format *, FILE *out);
void pointrow_print(const struct pointrow_format *, const struct pointrow *, FILE *out);

/* Prints the run, layer and attempt columns alone, and the step: the beginning of a line about
 * something that is no point. */
void pointrow_print_place(const struct pointrow_format *, const struct pointrow *, FILE *out);
