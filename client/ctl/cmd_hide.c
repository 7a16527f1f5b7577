/* richctl hide RUN... and unhide RUN...: left out of lists, or in them again. A hidden run is read
 * and goes on as any other; `richctl runs --hidden` lists it, too. */
#include "client/ctl/command.h"
#include "client/ctl/feed/edit.h"

static int set_hidden(struct feedclient *feed, const struct options *options, bool hidden,
                      struct err *err)
{
    int rc = 0;

    for (size_t i = 1; rc == 0 && i < options->n_words; i++)
        rc = edit_run(feed, options, options->words[i],
                      edit_change("hidden", cJSON_CreateBool(hidden)), err);
    return rc;
}

int cmd_hide(struct feedclient *feed, const struct options *options, struct err *err)
{
    return set_hidden(feed, options, true, err);
}

int cmd_unhide(struct feedclient *feed, const struct options *options, struct err *err)
{
    return set_hidden(feed, options, false, err);
}
