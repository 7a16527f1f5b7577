/* An answer of the history while it is written: the same calls make JSON, CSV or OpenMetrics of it.
 * Each thing that is put becomes text at once, so an answer needs the memory of its largest thing,
 * and not that of a tree of all of them (cJSON takes 40 bytes for each of the text). Owns nothing
 * but what it needs for the text; the thread of the reader that writes. What is in an answer is
 * history/'s to say, where its text goes text.h's. Tested by test_answer.c.
 *
 * Trees are taken, and may be NULL where memory ran out while they were made. Failures are kept:
 * answer_end tells of them. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/format/csv.h"
#include "daemon/format/openmetrics.h"

enum answer_form {
    ANSWER_LINE,        /* JSON-RPC on a line, FEED.md */
    ANSWER_JSON,        /* the result alone, on a line */
    ANSWER_CSV,         /* csv.h */
    ANSWER_RUN_METRICS, /* openmetrics.h, of a list of runs */
};

struct answer {
    FILE *out;
    enum answer_form form;
    bool has_item; /* of the list that is written */
    bool failed;
    struct csv_rows *rows;
    struct openmetrics_runs runs;
};

/* `object` is the id that the request had, or NULL. Borrows `out`. */
void answer_start(struct answer *, enum answer_form, const cJSON *object, FILE *out);
/* Call it also when the answer is given up. Returns 0, or -ENOMEM. */
int answer_end(struct answer *);

/* All of it. */
void answer_tree(struct answer *, cJSON *);

/* An object whose members are those of `head`, the list NAME, and those of `tail`. */
void answer_list(struct answer *, cJSON *head, const char *name);
void answer_item(struct answer *, cJSON *);
/* One that is written down already. For JSON alone. */
void answer_item_text(struct answer *, const char *text, size_t size);
/* CSV leaves out the tail, and the head, too. */
void answer_list_end(struct answer *, cJSON *tail);

/* An item that has more members than the tree: the caller puts them behind it, each after a comma,
 * and then the brace. For JSON alone. */
void answer_item_open(struct answer *, cJSON *);
bool answer_is_csv(const struct answer *);
bool answer_is_json(const struct answer *);

/* A text in quotes; a number, or null; an integer. */
void answer_put_text(struct answer *, const char *text);
void answer_put_number(FILE *, double value);
void answer_put_integer(FILE *, int64_t value);
