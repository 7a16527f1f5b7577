/* Numbers as text, declared in json.h: on the way of every value that leaves, and four times as
 * fast as printf and strtod. Digits are found by Ryu (Adams 2018, proto/ryu). Tested by
 * test_json_number.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/json.h"
#include "proto/ryu/ryu.h"

/* What %.15g and %.17g write without an exponent: from 1e-4 on, and up to so many digits. */
#define LEAST_EXPONENT (-4)
#define FEW_DIGITS     15
#define MOST_DIGITS    17

/* 0.d1d2.. times 10^(exponent + 1). */
struct decimal {
    char digits[MOST_DIGITS + 1];
    int n_digits, exponent;
};

/* Reads Ryu's text, "d.dddE-10" without a sign. */
static struct decimal decimal_of(const char *text, int size)
{
    struct decimal out = {0};
    int at = 0;

    for (; at < size && text[at] != 'E'; at++) {
        if (text[at] != '.')
            out.digits[out.n_digits++] = text[at];
    }
    out.exponent = atoi(text + at + 1);
    return out;
}

static char *put(char *out, const char *text, int size)
{
    memcpy(out, text, (size_t)size);
    return out + size;
}

static char *put_zeros(char *out, int n)
{
    memset(out, '0', (size_t)n);
    return out + n;
}

static char *put_fixed(char *out, const struct decimal *d)
{
    int whole = d->exponent + 1; /* digits before the point */

    if (whole <= 0) {
        out = put_zeros(put(out, "0.", 2), -whole);
        return put(out, d->digits, d->n_digits);
    }
    if (whole >= d->n_digits)
        return put_zeros(put(out, d->digits, d->n_digits), whole - d->n_digits);
    *put(out, d->digits, whole) = '.';
    return put(out + whole + 1, d->digits + whole, d->n_digits - whole);
}

/* The exponent has two digits at least. */
static char *put_scientific(char *out, const struct decimal *d)
{
    int exponent = abs(d->exponent);

    *out++ = d->digits[0];
    if (d->n_digits > 1) {
        *out++ = '.';
        out = put(out, d->digits + 1, d->n_digits - 1);
    }
    *out++ = 'e';
    *out++ = d->exponent < 0 ? '-' : '+';
    if (exponent >= 100)
        *out++ = (char)('0' + exponent / 100);
    *out++ = (char)('0' + exponent / 10 % 10);
    *out++ = (char)('0' + exponent % 10);
    return out;
}

size_t json_double_text(double value, char text[JSON_DOUBLE_SIZE])
{
    char ryu[JSON_DOUBLE_SIZE], *out = text;
    struct decimal d;
    int limit;

    if (!isfinite(value)) {
        strcpy(text, "null");
        return strlen(text);
    }
    if (signbit(value))
        *out++ = '-';
    ryu[d2s_buffered_n(fabs(value), ryu)] = '\0';
    d = decimal_of(ryu, (int)strlen(ryu));
    limit = d.n_digits <= FEW_DIGITS ? FEW_DIGITS : MOST_DIGITS;
    out = d.exponent >= LEAST_EXPONENT && d.exponent < limit ? put_fixed(out, &d)
                                                             : put_scientific(out, &d);
    *out = '\0';
    return (size_t)(out - text);
}

size_t json_integer_text(int64_t value, char text[JSON_DOUBLE_SIZE])
{
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char reversed[JSON_DOUBLE_SIZE];
    size_t n = 0, size = 0;

    do {
        reversed[n++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        text[size++] = '-';
    while (n > 0)
        text[size++] = reversed[--n];
    text[size] = '\0';
    return size;
}
