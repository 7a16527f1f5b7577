#include "client/ctl/export/format.h"

#include <assert.h>

const char *const export_scalar_cells[EXPORT_SCALAR_CELLS] = {"attempt", "step", "time", "value"};

const char *export_layer_cell(size_t i)
{
    assert(i < EXPORT_LAYER_CELLS);
    return i < EXPORT_POINT ? "attempt" : point_table[i - EXPORT_POINT].name;
}
