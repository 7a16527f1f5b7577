/* A point as a line of text: the columns that series and tail print, in fixed widths, so that live
 * lines stay aligned. Pure; borrows all it is given. Finding the points is left to the commands. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/base/point.h"

/* The parts of a point: its members by enum point_member, step first, for a walk through columns
 * ends with it, and its attempt. */
#define POINT_ATTEMPT POINT_MEMBER_COUNT
#define POINT_PARTS   (POINT_MEMBER_COUNT + 1)

/* Fills the JSON names of the parts. */
void pointrow_names(const char *names[POINT_PARTS]);

/* Marks the measures that the POINT object has a number for; NULL and others leave all as it is. */
void pointrow_mark_measured(const cJSON *point, bool shown[METRIC_COUNT]);

/* Which columns a line has. Names are escaped when printed. In few columns names are cut, and the
 * last measures are left out. */
struct pointrow_format {
    bool run;
    bool layer;
    bool attempt;
    const char *metric; /* only this one; NULL: those of `shown` */
    bool shown[METRIC_COUNT];
    const char *const *scalars;
    size_t n_scalars;
    size_t columns; /* of the terminal that it has to fit in; 0: as wide as it gets */
    bool ascii;
};

struct pointrow {
    const char *run;
    const char *layer;
    const cJSON *const *parts; /* POINT_PARTS of them, NULL where absent */
    const double *scalars;     /* n_scalars of them, NaN where absent */
};

void pointrow_print_header(const struct pointrow_format *, FILE *out);
void pointrow_print(const struct pointrow_format *, const struct pointrow *, FILE *out);

/* Prints the run, layer and attempt columns alone, and the step: the beginning of a line about
 * something that is no point. */
void pointrow_print_place(const struct pointrow_format *, const struct pointrow *, FILE *out);
