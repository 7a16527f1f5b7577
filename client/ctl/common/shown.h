/* Which of a measure's two forms is shown: the one that is corrected for few rows
 * (METRIC_CORRECTIONS), or the plain one, with a star, where the corrected one is null. Pure; any
 * thread. Commands that draw curves choose a form for a whole curve: feed/history.h. */
#pragma once

#include <cjson/cJSON.h>

/* What the star says, for a line under a table. */
#define SHOWN_STAR_MEANS "* d_lr itself: there is no d_debiased"

/* The value that is shown; NaN when both are null. */
double shown_value(double corrected, double plain);

/* "0.0573", "0.0941*" for a plain value, "-" for none. Returns `buffer`, of TEXT_SIZE. */
const char *shown_text(double corrected, double plain, char *buffer);

/* Of an object that has measures as members, a POINT or a layer of run.list: the form of the plain
 * measure that is shown. Returns its index. */
int shown_form(const cJSON *object, int plain);
/* The same as text. */
const char *shown_member(const cJSON *object, int plain, char *buffer);
