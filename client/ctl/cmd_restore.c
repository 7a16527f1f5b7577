/* richctl restore FILE: a backup put in the history's place, while no daemon runs. `richd
 * --restore` copies, checks and swaps, under the lock of the state directory; what was there is
 * kept as richd.sqlite.before-N. Until the copy is whole nothing has changed. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "client/ctl/command.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/program.h"
#include "client/ctl/connect.h"
#include "client/ctl/feed/params.h"

#define COPY "richd.sqlite.restored.part"

/* A directory that was named is looked at by richd alone, which finds the lock of a daemon. */
static int check_daemon(const struct options *options, struct err *err)
{
    struct feedclient *feed = NULL;
    cJSON *status = NULL;
    int rc = options->state_dir ? -ENOENT : connect_open(options, &feed, NULL);

    if (rc == 0)
        rc = feedclient_call(feed, "server.status", params_none(), &status, NULL);
    if (rc == 0)
        rc = err_set(err, -EBUSY,
                     "a daemon has the history in %s open: end it (kill %.0f), restore, and start "
                     "it again",
                     member_text(status, "state_dir", "?"), member_number(status, "pid"));
    else
        rc = 0;
    cJSON_Delete(status);
    feedclient_free(feed);
    return rc;
}

int cmd_restore(struct feedclient *feed, const struct options *options, struct err *err)
{
    const char *file = options->words[1];
    char directory[PATH_MAX], part[PATH_MAX + sizeof COPY];
    int rc = check_daemon(options, err);

    (void)feed;
    if (rc == 0 && options->state_dir)
        snprintf(directory, sizeof directory, "%s", options->state_dir);
    else if (rc == 0)
        rc = program_state_dir(directory, sizeof directory, err);
    if (rc == 0) {
        const char *const arguments[] = {"--restore", file, "--state-dir", directory, NULL};

        snprintf(part, sizeof part, "%s/" COPY, directory);
        rc = program_copy(arguments, file, part, err);
    }
    return rc;
}
