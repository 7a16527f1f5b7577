/* richctl note RUN [TEXT]: a note to a run, in place of an older one; "" removes it. Without a text
 * it prints the note as it is, for an editor or another program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "client/ctl/feed/edit.h"
#include "client/ctl/feed/params.h"

/* Its lines stay lines; a terminal obeys nothing in them. */
static void print_lines(const char *note)
{
    char *copy = strdup(note), *rest = copy, *line;

    while ((line = strsep(&rest, "\n"))) {
        text_print(line, stdout);
        if (rest || *line)
            fputc('\n', stdout);
    }
    free(copy);
}

static int print_note(struct feedclient *feed, const struct options *options, struct err *err)
{
    cJSON *run;
    int rc = feedclient_call(feed, "run.get", params_of(param_text("run", options->words[1])), &run,
                             err);

    if (rc < 0)
        return rc;
    if (options->json)
        rc = jsonline_print(run, stdout, err);
    else
        print_lines(member_text(run, "note", ""));
    cJSON_Delete(run);
    return rc;
}

int cmd_note(struct feedclient *feed, const struct options *options, struct err *err)
{
    if (options->n_words == 2)
        return print_note(feed, options, err);
    return edit_run(feed, options, options->words[1],
                    edit_change("note", cJSON_CreateString(options->words[2])), err);
}
