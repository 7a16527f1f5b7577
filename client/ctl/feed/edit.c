#include "client/ctl/feed/edit.h"

#include <errno.h>

#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"

static void print_run(const cJSON *run)
{
    text_print(member_text(run, "run", "?"), stdout);
    fputs("  ", stdout);
    text_print(member_text(run, "project", ""), stdout);
    fputc('/', stdout);
    text_print(member_text(run, "name", ""), stdout);
    fputc('\n', stdout);
}

cJSON *edit_change(const char *name, cJSON *value)
{
    cJSON *changes = cJSON_CreateObject();

    if (changes && value && cJSON_AddItemToObject(changes, name, value))
        return changes;
    cJSON_Delete(value);
    cJSON_Delete(changes);
    return NULL;
}

int edit_run(struct feedclient *feed, const struct options *options, const char *run,
             cJSON *changes, struct err *err)
{
    cJSON *answer;
    int rc;

    if (!changes || !cJSON_AddStringToObject(changes, "run", run)) {
        cJSON_Delete(changes);
        return err_set(err, -ENOMEM, "out of memory");
    }
    rc = feedclient_call(feed, "run.edit", changes, &answer, err);
    if (rc < 0)
        return rc;
    if (options->json)
        rc = jsonline_print(answer, stdout, err);
    else
        print_run(answer);
    cJSON_Delete(answer);
    return rc;
}
