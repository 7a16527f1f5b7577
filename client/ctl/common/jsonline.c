#include "client/ctl/common/jsonline.h"

#include <assert.h>
#include <errno.h>

#include "proto/json.h"

/* cJSON escapes what JSON demands, which leaves DEL and the C1 controls: in UTF-8, C2 80 to C2 9F.
 * Inside a JSON text they stand in strings only. */
static void print_harmless(const char *text, FILE *out)
{
    const unsigned char *s = (const unsigned char *)text;

    for (; *s; s++) {
        if (*s == 0x7F)
            fputs("\\u007f", out);
        else if (*s == 0xC2 && s[1] < 0xA0)
            fprintf(out, "\\u%04x", *++s);
        else
            fputc(*s, out);
    }
}

int jsonline_put(cJSON *value, FILE *out, struct err *err)
{
    char *text;

    assert(value && out);
    text = json_make_exact(value) ? json_print(value) : NULL;
    if (!text)
        return err_set(err, -ENOMEM, "out of memory");
    print_harmless(text, out);
    cJSON_free(text);
    return 0;
}

int jsonline_print(cJSON *value, FILE *out, struct err *err)
{
    int rc = jsonline_put(value, out, err);

    if (rc == 0)
        fputc('\n', out);
    return rc;
}

int jsonline_make(jsonline_fill_fn *fill, const void *what, FILE *out, struct err *err)
{
    cJSON *object = cJSON_CreateObject();
    int rc;

    assert(fill && out);
    if (object && fill(object, what))
        rc = jsonline_print(object, out, err);
    else
        rc = err_set(err, -ENOMEM, "out of memory");
    cJSON_Delete(object);
    return rc;
}
