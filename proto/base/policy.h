/* What a trainer chooses for its run by a word of INGEST.md: whether it goes on with an old one,
 * what a checkpoint is computed over, and which part of the outputs the features are compared with.
 * Constant data, any thread. The core knows what each means. Tested by test_base.c. */
#pragma once

enum resume {
    RESUME_ALLOW,
    RESUME_MUST,
    RESUME_NEVER,
};

enum window_kind {
    WINDOW_CHECKPOINT,  /* rows since the last checkpoint */
    WINDOW_EXPONENTIAL, /* all rows, halved in weight every half_life_rows */
    WINDOW_CUMULATIVE,  /* all rows of the attempt */
};

enum projector_kind {
    PROJECTOR_AUTO, /* a policy: projector_for chooses one of the others */
    PROJECTOR_SPAN,
    PROJECTOR_TOP,
    PROJECTOR_RIDGE,
};

/* The words, by number, and NULL behind the last. */
extern const char *const resume_names[];
extern const char *const window_names[];
extern const char *const projector_names[];
