#include "proto/csv.h"

#include <string.h>

/* The field's text behind `first`, which belongs to it. */
static void put_field(FILE *out, const char *first, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(first, out);
        fputs(text, out);
        return;
    }
    fprintf(out, "\"%s", first);
    for (const char *c = text; *c; c++)
        fputs(*c == '"' ? "\"\"" : (char[]){*c, '\0'}, out);
    fputc('"', out);
}

void csv_put_quoted(FILE *out, const char *text)
{
    put_field(out, "", text);
}

void csv_put_text(FILE *out, const char *text)
{
    put_field(out, *text && strchr("=+-@\t\r", *text) ? "'" : "", text);
}
