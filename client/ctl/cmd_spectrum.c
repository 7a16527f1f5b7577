/* richctl show RUN --spectrum: the feature decomposition of a point. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "client/ctl/command.h"
#include "client/ctl/feed/history.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/feed/params.h"
#include "client/ctl/figure/spectrum.h"
#include "client/ctl/common/text.h"
#include "proto/json.h"

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

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
        *(*at)++ = cJSON_IsNumber(value) ? value->valuedouble : (double)NAN;
    }
    return first;
}

static double number(const cJSON *spectrum, const char *name)
{
    const cJSON *value = member(spectrum, name);

    return cJSON_IsNumber(value) ? value->valuedouble : (double)NAN;
}

static void print_title(const cJSON *spectrum, size_t n)
{
    const char *run = "?", *layer = "?";

    json_text(spectrum, "run", 256, &run, NULL);
    json_text(spectrum, "layer", 256, &layer, NULL);
    text_print(run, stdout);
    fputs(" ", stdout);
    text_print(layer, stdout);
    printf(", step %.0f: %zu of %.0f eigenvalues, rank %.0f", number(spectrum, "step"), n,
           number(spectrum, "p"), number(spectrum, "rank"));
    if (number(spectrum, "rank_targets") > 0)
        printf(", of the targets %.0f", number(spectrum, "rank_targets"));
    printf("%s\n", cJSON_IsFalse(member(spectrum, "centred")) ? ", uncentred" : "");
    if (cJSON_IsTrue(member(spectrum, "few_rows")))
        printf("%.0f rows for %.0f features: eigenfunctions, u and q need n > p\n",
               number(spectrum, "n"), number(spectrum, "p"));
}

static int print_figure(const cJSON *spectrum, const struct options *o, struct err *e)
{
    const cJSON *rho = member(spectrum, "rho");
    size_t n = (size_t)cJSON_GetArraySize(rho);
    double *memory = malloc((5 * n + 1) * sizeof *memory), *at = memory;
    struct spectrumfig figure = {.n = n};

    if (!memory)
        return err_set(e, -ENOMEM, "out of memory");
    figure.rho = take(spectrum, "rho", n, &at);
    figure.u = take(spectrum, "u", n, &at);
    figure.q = take(spectrum, "q", n, &at);
    figure.pi_hat = take(spectrum, "pi_hat", n, &at);
    figure.pi_star = take(spectrum, "pi_star", n, &at);
    figure.ascii = o->ascii || !text_is_utf8();
    print_title(spectrum, n);
    if (figure.rho)
        spectrumfig_print(&figure, stdout);
    free(memory);
    return 0;
}

static int show_layer(struct feedclient *feed, const struct options *o, const char *run,
                      const char *layer, struct err *e)
{
    cJSON *params = params_new(), *spectrum;
    int rc;

    params_text(&params, "run", run);
    params_text(&params, "layer", layer);
    params_integer(&params, "step", o->step);
    rc = feedclient_call(feed, "spectrum.query", params, &spectrum, e);
    if (rc < 0)
        return rc;
    rc = o->json ? jsonline_print(spectrum, stdout, e) : print_figure(spectrum, o, e);
    cJSON_Delete(spectrum);
    return rc;
}

/* Of several layers those that have one; when none has, what the daemon says of the last. */
int cmd_spectrum(struct feedclient *feed, const struct options *o, struct err *e)
{
    const char *run = o->words[1], *name;
    const cJSON *layer;
    cJSON *answer;
    bool shown = false;
    int rc = history_layers(feed, run, o->layer, &answer, e);

    if (rc < 0)
        return rc;
    json_text(answer, "run", 256, &run, NULL);
    rc = err_set(e, -EREMOTEIO, "the run has no layer with a point");
    cJSON_ArrayForEach(layer, member(answer, "layers"))
    {
        name = "?";
        json_text(layer, "layer", 256, &name, NULL);
        if (shown && !o->json)
            printf("\n");
        rc = show_layer(feed, o, run, name, e);
        if (rc < 0 && rc != -EREMOTEIO)
            break;
        shown = shown || rc == 0;
    }
    cJSON_Delete(answer);
    return shown && rc == -EREMOTEIO ? 0 : rc;
}
