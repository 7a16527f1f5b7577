/* What the trainers of a load send at each checkpoint, made once and shared by all: rows, or the
 * moments of such rows. Every layer of every trainer has the same. One thread. */
#pragma once

#include <stddef.h>

#include "proto/wire.h"

/* mean x, mean y, X'X packed, X'Y, Y'Y, fourth */
#define PAYLOAD_FRAMES 6

struct payload {
    struct wire_header header; /* seq, step and rows_before are each message's own */
    struct wire_frame frames[PAYLOAD_FRAMES];
    size_t n_frames;
    size_t size; /* bytes of all frames */
};

/* n x p features and n x C outputs, f32, of independent Gaussian numbers. NULL without memory;
 * lives as long as the process. */
const struct payload *payload_of_rows(size_t n, size_t p, size_t c);
/* The moments (INGEST.md), f64, that n such rows have at the mean, where the outputs are the first
 * C features. */
const struct payload *payload_of_moments(size_t n, size_t p, size_t c);
