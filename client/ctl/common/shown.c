#include "client/ctl/common/shown.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "proto/base/metric.h"

double shown_value(double corrected, double plain)
{
    return isnan(corrected) ? plain : corrected;
}

const char *shown_text(double corrected, double plain, char *buffer)
{
    char number[TEXT_SIZE];

    snprintf(buffer, TEXT_SIZE, "%.30s%s", text_number(shown_value(corrected, plain), number),
             isnan(corrected) && !isnan(plain) ? "*" : "");
    return buffer;
}

int shown_form(const cJSON *object, int plain)
{
    int corrected = metric_corrected(plain);

    return isnan(member_number(object, metric_table[corrected].name)) ? plain : corrected;
}

const char *shown_member(const cJSON *object, int plain, char *buffer)
{
    int corrected = metric_corrected(plain);
    double value = member_number(object, metric_table[plain].name);

    assert(metric_plain(plain) == plain);
    if (corrected == plain)
        return text_number(value, buffer);
    return shown_text(member_number(object, metric_table[corrected].name), value, buffer);
}
