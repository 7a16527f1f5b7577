#include "daemon/core/moments/classes.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Slots that get memory together: 8 MiB at p = 4096. */
#define CLASSES_CHUNK 256

static size_t chunk_slots(size_t n_max)
{
    return n_max < CLASSES_CHUNK ? n_max : CLASSES_CHUNK;
}

static size_t count_chunks(size_t n_max)
{
    return (n_max + CLASSES_CHUNK - 1) / CLASSES_CHUNK;
}

static size_t count_entries(size_t n_max)
{
    size_t n = 2;

    while (n < 2 * n_max)
        n *= 2;
    return n;
}

double classes_size_bytes(size_t p, size_t n_max, size_t n_kept)
{
    double chunk = sizeof(double) * (double)chunk_slots(n_max) * (double)p + sizeof(double *);

    return chunk * (double)count_chunks(n_max) + sizeof(struct class_sums) * (double)n_max +
           sizeof(uint32_t) * ((double)count_entries(n_max) + (double)n_kept);
}

/* The table has at most four entries a class. */
size_t classes_that_fit(size_t p, size_t k, double bytes)
{
    double a_class =
        sizeof(double) * (double)p + sizeof(struct class_sums) + 4 * sizeof(uint32_t) + 1;
    double n = floor(bytes / a_class / CLASSES_CHUNK) * CLASSES_CHUNK;

    if (bytes / a_class >= (double)k || n >= (double)k)
        return k;
    return n >= 1 ? (size_t)n : 1;
}

struct classes *classes_new(size_t p, size_t k, size_t n_max, size_t n_kept)
{
    struct classes *classes = calloc(1, sizeof *classes);

    assert(p > 0 && n_max > 0 && n_max <= k && k < UINT32_MAX);
    if (!classes)
        return NULL;
    classes->p = p;
    classes->k = k;
    classes->n_max = n_max;
    classes->scale = 1;
    classes->n_entries = count_entries(n_max);
    classes->sums = malloc(n_max * sizeof *classes->sums);
    classes->chunks = calloc(count_chunks(n_max), sizeof *classes->chunks);
    classes->table = calloc(classes->n_entries, sizeof *classes->table);
    classes->kept = calloc(n_kept ? n_kept : 1, sizeof *classes->kept);
    if (!classes->sums || !classes->chunks || !classes->table || !classes->kept) {
        classes_free(classes);
        return NULL;
    }
    return classes;
}

void classes_free(struct classes *classes)
{
    if (!classes)
        return;
    for (size_t i = 0; classes->chunks && i < count_chunks(classes->n_max); i++)
        free(classes->chunks[i]);
    free(classes->sums);
    free(classes->chunks);
    free(classes->table);
    free(classes->kept);
    free(classes);
}

void classes_reset(struct classes *classes)
{
    for (size_t i = 0; i < classes->n; i++)
        classes->table[classes->sums[i].entry] = 0;
    classes->n = 0;
    classes->scale = 1;
    classes->is_lost = false;
}

static void rescale(struct classes *classes)
{
    for (size_t i = 0; i < classes->n; i++) {
        double *z = classes_z(classes, i);

        classes->sums[i].weight *= classes->scale;
        classes->sums[i].squares *= classes->scale;
        classes->sums[i].own *= classes->scale;
        for (size_t j = 0; j < classes->p; j++)
            z[j] *= classes->scale;
    }
    classes->scale = 1;
}

void classes_forget(struct classes *classes, double decay)
{
    classes->scale *= decay;
    if (classes->scale < ldexp(1, -CLASSES_HALVINGS))
        rescale(classes);
}

double *classes_z(const struct classes *classes, size_t slot)
{
    assert(slot < classes->n);
    return classes->chunks[slot / CLASSES_CHUNK] + slot % CLASSES_CHUNK * classes->p;
}

/* Knuth's multiplicative hash: the upper half of the product depends on all bits of the label. */
static size_t find_entry(const struct classes *classes, uint32_t label)
{
    size_t mask = classes->n_entries - 1;
    size_t at = (size_t)(label * UINT64_C(11400714819323198485) >> 32) & mask;

    while (classes->table[at] != 0 && classes->sums[classes->table[at] - 1].label != label)
        at = (at + 1) & mask;
    return at;
}

/* The chunk of the next slot, with its memory. */
static bool grow(struct classes *classes)
{
    double **chunk = &classes->chunks[classes->n / CLASSES_CHUNK];

    if (!*chunk)
        *chunk = malloc(chunk_slots(classes->n_max) * classes->p * sizeof **chunk);
    return *chunk != NULL;
}

static uint32_t add(struct classes *classes, uint32_t label, size_t entry)
{
    size_t slot = classes->n;

    if (slot == classes->n_max || !grow(classes)) {
        classes->is_lost = true;
        return CLASSES_NONE;
    }
    classes->n++;
    classes->sums[slot] = (struct class_sums){.label = label, .entry = (uint32_t)entry};
    classes->table[entry] = (uint32_t)slot + 1;
    memset(classes_z(classes, slot), 0, classes->p * sizeof(double));
    return (uint32_t)slot;
}

uint32_t classes_slot(struct classes *classes, uint32_t label)
{
    size_t entry = find_entry(classes, label);

    assert(label < classes->k);
    if (classes->is_lost)
        return CLASSES_NONE;
    return classes->table[entry] ? classes->table[entry] - 1 : add(classes, label, entry);
}
