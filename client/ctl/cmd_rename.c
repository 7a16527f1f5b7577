/* richctl rename RUN NAME: another name, which stays when the trainer opens the run again. The id
 * never changes. */
#include "client/ctl/command.h"
#include "client/ctl/feed/edit.h"

int cmd_rename(struct feedclient *feed, const struct options *options, struct err *err)
{
    return edit_run(feed, options, options->words[1],
                    edit_change("name", cJSON_CreateString(options->words[2])), err);
}
