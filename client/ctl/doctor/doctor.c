#include "client/ctl/doctor/doctor.h"

#include <stdarg.h>
#include <stdio.h>

#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/text.h"
#include "proto/base/err.h"

struct finding {
    const char *check, *what, *advice;
};

const cJSON *doctor_status(const struct doctor *doctor)
{
    return cJSON_GetArrayItem(doctor->statuses, 0);
}

static bool fill(cJSON *object, const void *what)
{
    const struct finding *finding = what;

    return cJSON_AddStringToObject(object, "check", finding->check) &&
           cJSON_AddStringToObject(object, "what", finding->what) &&
           cJSON_AddStringToObject(object, "advice", finding->advice);
}

void doctor_find(struct doctor *doctor, const char *check, const struct err *what,
                 const char *advice, ...)
{
    char text[ERR_TEXT_SIZE];
    struct finding finding = {check, what->text, text};
    va_list values;

    va_start(values, advice);
    vsnprintf(text, sizeof text, advice, values);
    va_end(values);
    doctor->n_findings++;
    if (doctor->options->json) {
        jsonline_make(fill, &finding, stdout, NULL);
        return;
    }
    printf("%s: ", check);
    text_print(what->text, stdout);
    if (*text)
        printf(". ");
    text_print(text, stdout);
    printf("\n");
}
