/* An EVENT in words: one sentence that says what the series did. It speaks of generalisation only
 * where an accuracy agreed. Pure; borrows all it is given. Tested end to end by test_richctl.py. */
#pragma once

#include <cjson/cJSON.h>
#include <stdio.h>

/* "transition: d_lr falls 0.4800 -> 0.0907 over steps 620-880", or "excursion: ..., back by 1040",
 * and behind it what is known of the accuracy. Escaped, without a newline. */
void eventline_print(const cJSON *event, FILE *out);

/* The sentence (free it), or NULL without memory. */
char *eventline_text(const cJSON *event);

/* "d_lr: too few points to judge: 12 of 23, still needed: 11. ...", of an element of event.query's
 * `watched` (free it); NULL when there are enough, or without memory. */
char *eventline_shortage(const cJSON *series);
