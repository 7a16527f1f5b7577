/* richctl tag RUN [+TAG] [-TAG]: adds tags to a run's and takes others away; a tag without a sign
 * is added. Without tags it prints those of the run, a line each. Two people who tag one run at the
 * same instant may lose a change, since run.edit takes the whole list. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/edit.h"
#include "client/ctl/feed/params.h"

static void remove_tag(cJSON *tags, const char *tag)
{
    cJSON *item, *next;

    for (item = tags->child; item; item = next) {
        next = item->next;
        if (cJSON_IsString(item) && strcmp(item->valuestring, tag) == 0)
            cJSON_Delete(cJSON_DetachItemViaPointer(tags, item));
    }
}

/* At the end, once. False without memory. */
static bool add_tag(cJSON *tags, const char *tag)
{
    cJSON *item = cJSON_CreateString(tag);

    remove_tag(tags, tag);
    if (item && cJSON_AddItemToArray(tags, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static int change_tags(cJSON *tags, const struct options *options, struct err *err)
{
    for (size_t i = 2; i < options->n_words; i++) {
        const char *word = options->words[i], *tag = word + (*word == '+' || *word == '-');

        if (!*tag)
            return err_set(err, -EINVAL, "\"%s\" names no tag", word);
        if (*word == '-')
            remove_tag(tags, tag);
        else if (!add_tag(tags, tag))
            return err_set(err, -ENOMEM, "out of memory");
    }
    return 0;
}

static void print_tags(const cJSON *tags)
{
    const cJSON *tag;

    cJSON_ArrayForEach(tag, tags)
    {
        text_print(cJSON_IsString(tag) ? tag->valuestring : "?", stdout);
        fputc('\n', stdout);
    }
}

static int act(struct feedclient *feed, const struct options *options, cJSON *run, struct err *err)
{
    cJSON *tags = cJSON_DetachItemFromObjectCaseSensitive(run, "tags");
    int rc;

    if (!cJSON_IsArray(tags)) {
        cJSON_Delete(tags);
        return err_set(err, -EPROTO, "the daemon's answer has no tags");
    }
    rc = change_tags(tags, options, err);
    if (rc == 0 && options->n_words > 2)
        return edit_run(feed, options, member_text(run, "run", ""), edit_change("tags", tags), err);
    if (rc == 0 && options->json)
        rc = jsonline_print(tags, stdout, err);
    else if (rc == 0)
        print_tags(tags);
    cJSON_Delete(tags);
    return rc;
}

int cmd_tag(struct feedclient *feed, const struct options *options, struct err *err)
{
    cJSON *run;
    int rc = feedclient_call(feed, "run.get", params_of(param_text("run", options->words[1])), &run,
                             err);

    if (rc < 0)
        return rc;
    rc = act(feed, options, run, err);
    cJSON_Delete(run);
    return rc;
}
