/* What a plot shows, fetched: a curve for every layer of every run, for every run's scalar when one
 * is named, the transitions of the measure, and for D_LR what to compare it with: where each layer
 * began, and what white noise reads (d_white). Blocks on the feed; owns the samples and labels.
 * plot.h draws them. Tested end to end by test_richctl.py. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/ctl/feed/feedclient.h"
#include "client/ctl/figure/plot.h"

/* As many as have a mark of their own. */
#define CURVES_MAX PLOT_MARKS
/* The newest; more lines would leave no room for the curves. */
#define CURVES_PASSAGES 4
/* Rules beyond these would hide the curves. */
#define CURVES_RULES 6

struct curves_query {
    const char *const *runs;
    size_t n_runs;
    const char *layer;  /* NULL: all */
    const char *metric; /* of the left axis; NULL: D_LR, in the form that is shown of each layer */
    const char *scalar; /* of the right axis, or NULL */
    bool log_steps;
    int64_t from, to; /* -1: unset */
};

struct curves {
    struct plot_curve curve[CURVES_MAX]; /* as plot takes them; they borrow from these: */
    char *labels[CURVES_MAX];
    struct plot_sample *samples[CURVES_MAX];
    size_t n;
    size_t n_samples;
    struct plot_passage passage[CURVES_PASSAGES]; /* they own their texts */
    size_t n_passages;
    struct plot_rule rule[CURVES_RULES]; /* they borrow from these: */
    char *rule_labels[CURVES_RULES];
    size_t n_rules;
    bool open;    /* a trainer is connected to one of the runs */
    cJSON **runs; /* RUN OBJECT of each */
    size_t n_runs;
};

/* On 0 `out` is to be released; on an error it is released already. -ENOENT when a layer or a
 * scalar is in none of the runs, -E2BIG when there are more than CURVES_MAX curves. */
int curves_load(struct feedclient *, const struct curves_query *, struct curves *out,
                struct err *err);
void curves_release(struct curves *);
