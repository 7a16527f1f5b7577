/* richctl show RUN --spectrum: the feature decomposition of a point. */
#include <errno.h>
#include <stdlib.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/history.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/figure/spectrum.h"

/* An array as doubles, null as NaN, which the next call continues at `*at`; NULL when it is null or
 * not as long as rho. */
static const double *take(const cJSON *spectrum, const char *name, size_t n, double **at)
{
    const cJSON *array = member(spectrum, name), *value;
    double *first = *at;

    if (!cJSON_IsArray(array) || (size_t)cJSON_GetArraySize(array) != n)
        return NULL;
    cJSON_ArrayForEach(value, array)
    {
        *(*at)++ = number_of(value);
    }
    return first;
}

static void print_title(const cJSON *spectrum, size_t n)
{
    text_print(member_text(spectrum, "run", "?"), stdout);
    fputs(" ", stdout);
    text_print(member_text(spectrum, "layer", "?"), stdout);
    printf(", step %.0f: %zu of %.0f eigenvalues, rank %.0f", member_number(spectrum, "step"), n,
           member_number(spectrum, "p"), member_number(spectrum, "rank"));
    if (member_number(spectrum, "rank_targets") > 0)
        printf(", of the targets %.0f", member_number(spectrum, "rank_targets"));
    printf("%s\n", cJSON_IsFalse(member(spectrum, "centred")) ? ", uncentred" : "");
    if (cJSON_IsTrue(member(spectrum, "few_rows")))
        printf("%.0f rows for %.0f features: eigenfunctions, u and q need n > p\n",
               member_number(spectrum, "n"), member_number(spectrum, "p"));
}

static int print_figure(const cJSON *spectrum, const struct options *options, struct err *err)
{
    const cJSON *rho = member(spectrum, "rho");
    size_t n = (size_t)cJSON_GetArraySize(rho);
    double *memory = malloc((5 * n + 1) * sizeof *memory), *at = memory;
    struct spectrumfig figure = {.n = n};

    if (!memory)
        return err_set(err, -ENOMEM, "out of memory");
    figure.rho = take(spectrum, "rho", n, &at);
    figure.u = take(spectrum, "u", n, &at);
    figure.q = take(spectrum, "q", n, &at);
    figure.pi_hat = take(spectrum, "pi_hat", n, &at);
    figure.pi_star = take(spectrum, "pi_star", n, &at);
    figure.ascii = options->ascii || !text_is_utf8();
    print_title(spectrum, n);
    if (figure.rho)
        spectrumfig_print(&figure, stdout);
    free(memory);
    return 0;
}

static int show_layer(struct feedclient *feed, const struct options *options, const char *run,
                      const char *layer, struct err *err)
{
    cJSON *spectrum;
    int rc = feedclient_call(feed, "spectrum.query",
                             params_of(param_text("run", run), param_text("layer", layer),
                                       param_integer("step", options->step)),
                             &spectrum, err);

    if (rc < 0)
        return rc;
    rc = options->json ? jsonline_print(spectrum, stdout, err)
                       : print_figure(spectrum, options, err);
    cJSON_Delete(spectrum);
    return rc;
}

/* Shows the layers that have a spectrum. When none has, the error is the daemon's about the last.
 */
int cmd_spectrum(struct feedclient *feed, const struct options *options, struct err *err)
{
    const char *run = options->words[1];
    const cJSON *layer;
    cJSON *answer;
    bool shown = false;
    int rc = history_layers(feed, run, options->layer, &answer, err);

    if (rc < 0)
        return rc;
    run = member_text(answer, "run", run);
    rc = err_set(err, -EREMOTEIO, "the run has no layer with a point");
    cJSON_ArrayForEach(layer, member(answer, "layers"))
    {
        if (shown && !options->json)
            printf("\n");
        rc = show_layer(feed, options, run, member_text(layer, "layer", "?"), err);
        if (rc < 0 && rc != -EREMOTEIO)
            break;
        shown = shown || rc == 0;
    }
    cJSON_Delete(answer);
    return shown && rc == -EREMOTEIO ? 0 : rc;
}
