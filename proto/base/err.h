/* The text that goes with an error code. A caller that wants to know more than -errno passes a
 * `struct err`; the function that fails writes one sentence into it: what was expected, what came,
 * of which run and layer. No thread owns it, it holds no memory, and NULL means "no text wanted".
 *
 * This room is the lowest: small lists and values that both sides of a border need in the same
 * form, so that neither includes the other. err and list are used everywhere; limits, dtype,
 * policy, state and nack are the words of INGEST.md; metric and point are what a point says of a
 * layer, as the store, the feed and the clients name it; clock and address read the time and
 * ADDRESS:PORT. It keeps nothing, starts nothing and knows no other room. */
#pragma once

/* One sentence naming a run (64), a layer (128) and two shapes fits; longer text is cut. */
#define ERR_TEXT_SIZE 512

struct err {
    char text[ERR_TEXT_SIZE];
};

/* Writes the sentence and yields `code`, so that a failing function ends with
 * `return err_set(err, -EINVAL, "...")`. `code` is negative. `err` may be NULL. A macro, so that
 * compiler and analyzer see that the function fails there. */
#define err_set(e, code, ...)                                                                      \
    ({                                                                                             \
        err_write((e), __VA_ARGS__);                                                               \
        (code);                                                                                    \
    })

/* Puts a prefix ("opening the store: ") before the text already there, and yields `code`. */
#define err_prefix(e, code, ...)                                                                   \
    ({                                                                                             \
        err_write_prefix((e), __VA_ARGS__);                                                        \
        (code);                                                                                    \
    })

void err_write(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
void err_write_prefix(struct err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
