/* NumPy's archive: numpy.load(FILE) gives the arrays by name.
 *
 *     points/LAYER/NAME         a point's members, and attempt; float64, and int64 for attempt,
 * step points/LAYER/flags/FLAG   bool scalars/NAME/{attempt,step,time,value} run.json, events.json
 * bytes of JSON
 *
 * All arrays of a table have one length; what is null is NaN. Rows come and columns are wanted, so
 * each column grows in a file without a name, beside the archive where that is possible. "/" in a
 * name is %2F, so that no name leads out of a folder. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/export/format.h"
#include "client/ctl/export/zip.h"
#include "proto/json.h"

/* Those of a layer, and flags that a newer daemon may have. */
#define COLUMNS_MAX (EXPORT_LAYER_CELLS + 64)
/* A point's flags, the last of its members, are columns of their own. */
#define FLAGS_CELL (EXPORT_POINT + POINT_flags)
/* An encoded name is three times as long at most. */
#define NAME_SIZE (3 * (LAYER_NAME_MAX + SCALAR_NAME_MAX) + 64)
/* Two lines and a half of 64 bytes: no header of ours is longer. */
#define HEADER_SIZE 192

enum kind {
    KIND_INTEGER,
    KIND_NUMBER,
    KIND_FLAG,
};

struct column {
    char name[LAYER_NAME_MAX];
    enum kind kind;
    FILE *cells;
};

struct archive {
    struct zip *zip;
    const char *path;
    const struct export_run *run;
    struct export_table table;
    struct column columns[COLUMNS_MAX];
    size_t n_columns;
    uint64_t n_rows;
};

static void drop_columns(struct archive *archive)
{
    for (size_t i = 0; i < archive->n_columns; i++)
        fclose(archive->columns[i].cells);
    archive->n_columns = 0;
    archive->n_rows = 0;
}

static void close_archive(void *arg)
{
    struct archive *archive = arg;

    if (!archive)
        return;
    drop_columns(archive);
    zip_free(archive->zip);
    free(archive);
}

static void *open_archive(FILE *out, const char *path)
{
    struct archive *archive = calloc(1, sizeof *archive);

    if (!archive)
        return NULL;
    archive->path = path;
    archive->zip = zip_new(out, NULL);
    if (archive->zip)
        return archive;
    free(archive);
    return NULL;
}

/* ---- columns while rows come ----------------------------------------------------------------- */

/* Where the archive will be there should be room for its columns, too. */
static FILE *open_cells(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    char *directory = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    int fd = path && directory ? open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
    FILE *file = fd >= 0 ? fdopen(fd, "w+") : tmpfile();

    free(directory);
    if (fd >= 0 && !file)
        close(fd);
    return file;
}

static int add_column(struct archive *archive, const char *name, enum kind kind, struct err *err)
{
    struct column *column = &archive->columns[archive->n_columns];

    if (archive->n_columns == COLUMNS_MAX)
        return err_set(err, -EPROTO, "a point has more than 64 kinds of flags");
    column->cells = open_cells(archive->path);
    if (!column->cells)
        return err_set(err, -errno, "a temporary file: %s", strerror(errno));
    snprintf(column->name, sizeof column->name, "%s", name);
    column->kind = kind;
    archive->n_columns++;
    return 0;
}

static bool is_integer(const char *name)
{
    return strcmp(name, "attempt") == 0 || strcmp(name, "step") == 0;
}

static int begin_table(void *arg, const struct export_table *table, struct err *err)
{
    struct archive *archive = arg;
    bool is_layer = table->kind == HISTORY_LAYER;
    int rc = 0;

    archive->table = *table;
    for (size_t i = 0; rc == 0 && i < (is_layer ? FLAGS_CELL : EXPORT_SCALAR_CELLS); i++) {
        const char *name = is_layer ? export_layer_cell(i) : export_scalar_cells[i];

        rc = add_column(archive, name, is_integer(name) ? KIND_INTEGER : KIND_NUMBER, err);
    }
    for (int i = 0; rc == 0 && is_layer && i < FLAG_COUNT; i++)
        rc = add_column(archive, flag_table[i].name, KIND_FLAG, err);
    return rc;
}

static void put_number(FILE *cells, enum kind kind, const cJSON *cell)
{
    double number = cJSON_IsNumber(cell)   ? cell->valuedouble
                    : cJSON_IsString(cell) ? strtod(cell->valuestring, NULL)
                                           : (double)NAN;
    uint64_t bits;

    if (kind == KIND_INTEGER)
        bits = (uint64_t)(int64_t)(isnan(number) ? -1 : number);
    else
        memcpy(&bits, &number, sizeof bits);
    bits = htole64(bits);
    fwrite(&bits, sizeof bits, 1, cells);
}

static bool has_flag(const cJSON *flags, const char *name)
{
    const cJSON *flag;

    cJSON_ArrayForEach(flag, flags)
    {
        if (cJSON_IsString(flag) && strcmp(flag->valuestring, name) == 0)
            return true;
    }
    return false;
}

/* Flags that a newer daemon knows: false in all rows before. */
static int add_new_flags(struct archive *archive, const cJSON *flags, struct err *err)
{
    const cJSON *flag;
    int rc = 0;

    cJSON_ArrayForEach(flag, flags)
    {
        bool is_known = !cJSON_IsString(flag);

        for (size_t i = FLAGS_CELL; !is_known && i < archive->n_columns; i++)
            is_known = strcmp(archive->columns[i].name, flag->valuestring) == 0;
        if (is_known)
            continue;
        rc = add_column(archive, flag->valuestring, KIND_FLAG, err);
        if (rc < 0)
            return rc;
        for (uint64_t row = 0; row < archive->n_rows; row++)
            fputc(0, archive->columns[archive->n_columns - 1].cells);
    }
    return rc;
}

static int add_row(void *arg, const cJSON *const cells[], struct err *err)
{
    struct archive *archive = arg;
    bool is_layer = archive->table.kind == HISTORY_LAYER;
    const cJSON *flags = is_layer ? cells[FLAGS_CELL] : NULL;
    int rc = add_new_flags(archive, flags, err);

    _Static_assert(POINT_flags == POINT_MEMBER_COUNT - 1, "flags are a point's last member");
    for (size_t i = 0; rc == 0 && i < archive->n_columns; i++) {
        struct column *column = &archive->columns[i];

        if (column->kind == KIND_FLAG)
            fputc(has_flag(flags, column->name) ? 1 : 0, column->cells);
        else
            put_number(column->cells, column->kind, cells[i]);
    }
    archive->n_rows++;
    return rc;
}

/* ---- columns into the archive ---------------------------------------------------------------- */

/* Appends a name; the bytes that would lead to another folder are %XX. */
static void encode(char *to, size_t size, const char *name)
{
    size_t used = strlen(to);

    for (const char *c = name; *c && used + 4 < size; c++) {
        bool is_part = !strchr("/\\%", *c) && (c > name || *c != '.');

        used +=
            (size_t)snprintf(to + used, size - used, is_part ? "%c" : "%%%02X", (unsigned char)*c);
    }
}

/* numpy.lib.format, version 1.0. Returns its size. */
static size_t make_header(char header[HEADER_SIZE], enum kind kind, uint64_t n_rows)
{
    static const char *const types[] = {"<i8", "<f8", "|b1"};
    static const char magic[8] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0};
    int n = snprintf(header + 10, HEADER_SIZE - 10,
                     "{'descr': '%s', 'fortran_order': False, 'shape': (%llu,), }", types[kind],
                     (unsigned long long)n_rows);
    size_t size = ((size_t)n + 10 + 1 + 63) / 64 * 64;

    memset(header + 10 + n, ' ', size - 10 - (size_t)n);
    header[size - 1] = '\n';
    memcpy(header, magic, sizeof magic);
    header[8] = (char)((size - 10) & 0xFF);
    header[9] = (char)((size - 10) >> 8);
    return size;
}

static int store_column(struct archive *archive, const struct column *column, struct err *err)
{
    char name[NAME_SIZE], header[HEADER_SIZE];
    size_t size = make_header(header, column->kind, archive->n_rows);

    snprintf(name, sizeof name, "%s/", archive->table.kind == HISTORY_LAYER ? "points" : "scalars");
    encode(name, sizeof name, archive->table.name);
    strcat(name, column->kind == KIND_FLAG ? "/flags/" : "/");
    encode(name, sizeof name - 4, column->name);
    strcat(name, ".npy");
    if (fflush(column->cells) != 0 || ferror(column->cells))
        return err_set(err, -errno, "a temporary file: %s", strerror(errno));
    return zip_add(archive->zip, name, header, size, column->cells, err);
}

static int end_table(void *arg, struct err *err)
{
    struct archive *archive = arg;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < archive->n_columns; i++)
        rc = store_column(archive, &archive->columns[i], err);
    drop_columns(archive);
    return rc;
}

static int store_json(struct archive *archive, const char *name, const cJSON *value,
                      struct err *err)
{
    cJSON *copy = cJSON_Duplicate(value, 1);
    char *text = copy && json_make_exact(copy) ? json_print(copy) : NULL;
    int rc = text ? zip_add(archive->zip, name, text, strlen(text), NULL, err)
                  : err_set(err, -ENOMEM, "out of memory");

    cJSON_free(text);
    cJSON_Delete(copy);
    return rc;
}

static int begin_run(void *arg, const struct export_run *run, struct err *err)
{
    int rc = store_json(arg, "run.json", run->object, err);

    return rc < 0 ? rc : store_json(arg, "events.json", run->events, err);
}

static int end_run(void *arg, struct err *err)
{
    (void)err;
    zip_finish(((struct archive *)arg)->zip);
    return 0;
}

const struct export_format export_npz = {
    .name = "npz",
    .one_run = true,
    .is_binary = true,
    .open = open_archive,
    .begin_run = begin_run,
    .begin_table = begin_table,
    .row = add_row,
    .end_table = end_table,
    .end_run = end_run,
    .close = close_archive,
};
