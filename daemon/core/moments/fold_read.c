#include "daemon/core/matrix/convert.h"
#include "daemon/core/moments/fold_parts.h"

struct frame {
    const char *values;
    enum dtype dtype;
    size_t n_columns;
};

static struct frame frame_of(const struct fold *fold, const struct rows *rows, enum part part)
{
    switch (part) {
    case PART_OUTPUTS:
        return (struct frame){rows->outputs, rows->outputs_dtype, fold->moments->c};
    case PART_TARGETS:
        return (struct frame){rows->targets, rows->targets_dtype, fold->moments->k};
    case PART_FEATURES:
        break;
    }
    return (struct frame){rows->features, rows->features_dtype, fold->p};
}

static const char *place_of(const struct frame *frame, size_t row, size_t col)
{
    return frame->values + (row * frame->n_columns + col) * dtype_size(frame->dtype);
}

void fold_read(const struct fold *fold, enum part part, const struct row_range *range, size_t i,
               size_t col, size_t n, double *out)
{
    struct frame frame = frame_of(fold, range->rows, part);

    convert_to_double(frame.dtype, place_of(&frame, range->from + i, col), n, out);
}

struct walk fold_walk(const struct fold *fold, enum part part, enum dtype format, size_t col,
                      size_t n)
{
    return (struct walk){.fold = fold, .part = part, .format = format, .col = col, .n = n};
}

const void *fold_walk_next(struct walk *walk, void *buffer)
{
    const struct row_range *range = &walk->fold->ranges[walk->range];
    struct frame frame = frame_of(walk->fold, range->rows, walk->part);
    const char *from = place_of(&frame, range->from + walk->row, walk->col);

    if (++walk->row == range->n) {
        walk->range++;
        walk->row = 0;
    }
    if (frame.dtype == walk->format)
        return from;
    if (walk->format == DTYPE_F64)
        convert_to_double(frame.dtype, from, walk->n, buffer);
    else
        convert_to_float(frame.dtype, from, walk->n, buffer);
    return buffer;
}
