#include "client/ctl/figure/spectrum.h"

#include <assert.h>
#include <math.h>

#include "client/ctl/common/text.h"

/* k, the bar, and five numbers of 8 with a blank: 5 + 2 + 28 + 5 * 9 = 80. */
#define BAR_COLUMNS 28
/* Lines for all, then geometrically: 10, 11, 13, 16, 20, 25... each k is a quarter more. */
#define EACH   10
#define GROWTH 1.25
/* Smaller ones than this share of the first are rounding, and would flatten the axis. */
#define SMALLEST_DECADE (-12)

/* The axis begins at the decade of the smallest eigenvalue that is not 0. */
static double first_decade(const struct spectrumfig *figure)
{
    double decade = -1;

    for (size_t k = 0; k < figure->n; k++) {
        double share = figure->rho[k] / figure->rho[0];

        if (share > 0)
            decade = fmin(decade, floor(log10(share)));
    }
    return fmax(decade, SMALLEST_DECADE);
}

/* A bar of eighths of a cell, or of whole ones. */
static void print_bar(double length, bool ascii, FILE *out)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    long n = lrint(length * BAR_COLUMNS * 8), cells = ascii ? (n + 4) / 8 : n / 8, used;

    for (long i = 0; i < cells; i++)
        fputs(ascii ? "#" : "█", out);
    used = cells + (!ascii && n % 8 > 0);
    if (!ascii)
        fputs(eighths[n % 8], out);
    fprintf(out, "%*s", (int)(BAR_COLUMNS - used), "");
}

static void print_number(const double *values, size_t k, FILE *out)
{
    char text[TEXT_SIZE];

    fprintf(out, " %8s", values ? text_number(values[k], text) : "-");
}

static void print_share(double share, FILE *out)
{
    if (share >= 1e-4)
        fprintf(out, " %8.5f", share);
    else
        fprintf(out, " %8.1e", share);
}

static void print_line(const struct spectrumfig *figure, size_t k, double decade, FILE *out)
{
    double share = figure->rho[k] / figure->rho[0];
    double length = share > 0 ? fmax(1 - log10(share) / decade, 0) : 0;

    fprintf(out, "%5zu  ", k + 1);
    print_bar(length, figure->ascii, out);
    print_share(share, out);
    print_number(figure->u, k, out);
    print_number(figure->q, k, out);
    print_number(figure->pi_hat, k, out);
    print_number(figure->pi_star, k, out);
    fputc('\n', out);
}

static void print_heading(double decade, FILE *out)
{
    char left[16];

    snprintf(left, sizeof left, "1e%.0f", decade);
    fprintf(out, "%5s  %-*s1 %8s %8s %8s %8s %8s\n", "k", BAR_COLUMNS - 1, left, "rho/rho1", "u",
            "q", "PI_hat", "PI_star");
}

static size_t next(size_t k)
{
    size_t further = (size_t)ceil((double)(k + 1) * GROWTH) - 1;

    return k + 1 < EACH || further <= k ? k + 1 : further;
}

void spectrumfig_print(const struct spectrumfig *figure, FILE *out)
{
    double decade;

    assert(figure->n == 0 || figure->rho);
    if (figure->n == 0 || !(figure->rho[0] > 0))
        return;
    decade = first_decade(figure);
    print_heading(decade, out);
    for (size_t k = 0; k < figure->n; k = next(k)) {
        print_line(figure, k, decade, out);
        if (k + 1 < figure->n && next(k) >= figure->n)
            print_line(figure, figure->n - 1, decade, out);
    }
}
