/* What the fuzz targets share: a promise that is checked in every build, and the memory that cJSON
 * holds. A target is one fuzz_NAME.c with LLVMFuzzerTestOneInput; `make fuzz` builds and runs them
 * all (run.py), from inputs that corpus.py takes from the vectors. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/err.h"

/* A promise that was broken is a finding, as a crash is. */
#define REQUIRE(promise)                                                                           \
    do {                                                                                           \
        if (!(promise)) {                                                                          \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #promise);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A refusal has a sentence, which ends within its buffer. */
void require_sentence(const struct err *);

/* Counts what cJSON allocates from here on, from zero. */
void memory_count(void);
/* The most bytes that were held at once since then. */
size_t memory_most(void);
/* All of it was given back. */
void require_nothing_held(void);
/* A copy in a block of exactly that size, so that the sanitizer sees a read past its end. */
uint8_t *copy_exactly(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
