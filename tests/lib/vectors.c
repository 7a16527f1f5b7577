#include "tests/lib/vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void give_up(const char *what, const char *name)
{
    fprintf(stderr, "vectors: %s: %s\n", what, name);
    exit(1);
}

static char *read_all(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text;
    size_t size;

    if (!file)
        give_up("cannot open", path);
    fseek(file, 0, SEEK_END);
    size = (size_t)ftell(file);
    rewind(file);
    text = calloc(size + 1, 1);
    if (!text || fread(text, 1, size, file) != size)
        give_up("cannot read", path);
    fclose(file);
    return text;
}

cJSON *vectors_read(const char *name)
{
    char path[256];
    char *text;
    cJSON *vectors;

    snprintf(path, sizeof path, "proto/vectors/%s.json", name);
    text = read_all(path);
    vectors = cJSON_Parse(text);
    free(text);
    if (!cJSON_IsArray(vectors) || cJSON_GetArraySize(vectors) == 0)
        give_up("not an array with vectors", path);
    return vectors;
}

cJSON *vectors_example(const char *name, const char *above)
{
    static const char fence[] = "```json\n";
    char path[256], line[128];
    const char *start;
    cJSON *example;
    char *text;

    snprintf(path, sizeof path, "proto/%s.md", name);
    snprintf(line, sizeof line, "\n%s", above);
    text = read_all(path);
    start = strstr(text, line);
    start = start ? strstr(start, fence) : NULL;
    example = start ? cJSON_Parse(start + strlen(fence)) : NULL;
    free(text);
    if (!example)
        give_up("no example", above);
    return example;
}

const char *vectors_text(const cJSON *vector, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(vector, name));

    if (!text)
        give_up("a vector has no", name);
    return text;
}

unsigned char *vectors_bytes(const char *hex, size_t *size)
{
    unsigned char *bytes;
    unsigned byte;

    *size = strlen(hex) / 2;
    bytes = malloc(*size ? *size : 1);
    for (size_t i = 0; bytes && i < *size; i++) {
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
            give_up("not hex", hex);
        bytes[i] = (unsigned char)byte;
    }
    if (!bytes || strlen(hex) % 2 != 0)
        give_up("not hex", hex);
    return bytes;
}
