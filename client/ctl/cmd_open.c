/* richctl open: the link of the page, of one run or of all. It is printed, for a terminal or a
 * person to open: on the command line of a browser other users would read its token. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/feed/params.h"

static int find_page(struct feedclient *feed, cJSON **status, const char **page, struct err *err)
{
    int rc = feedclient_call(feed, "server.status", params_none(), status, err);

    if (rc < 0)
        return rc;
    *page = member_text(*status, "page", NULL);
    return *page ? 0 : err_set(err, -ENOENT, "this richd has no page: it runs with --http off");
}

static int print_link(const char *page, const char *run, bool json, struct err *err)
{
    cJSON *object = cJSON_CreateObject();
    char *link;
    int rc;

    if (asprintf(&link, "%s%s%s", page,
                 !run                ? ""
                 : strchr(page, '#') ? "&runs="
                                     : "#runs=",
                 run ? run : "") < 0) {
        cJSON_Delete(object);
        return err_set(err, -ENOMEM, "out of memory");
    }
    if (!json)
        rc = printf("%s\n", link) < 0 ? err_set(err, -EIO, "writing to stdout") : 0;
    else if (object && cJSON_AddStringToObject(object, "page", link))
        rc = jsonline_print(object, stdout, err);
    else
        rc = err_set(err, -ENOMEM, "out of memory");
    cJSON_Delete(object);
    free(link);
    return rc;
}

int cmd_open(struct feedclient *feed, const struct options *options, struct err *err)
{
    const char *name = options->n_words > 1 ? options->words[1] : NULL, *page;
    cJSON *status = NULL, *run = NULL;
    int rc = find_page(feed, &status, &page, err);

    if (rc == 0 && name)
        rc = feedclient_call(feed, "run.get", params_of(param_text("run", name)), &run, err);
    if (rc == 0)
        rc = print_link(page, run ? member_text(run, "run", "") : NULL, options->json, err);
    cJSON_Delete(run);
    cJSON_Delete(status);
    return rc;
}
