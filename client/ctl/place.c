#include "client/ctl/place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl/common/member.h"
#include "client/ctl/common/program.h"
#include "client/ctl/connect.h"
#include "client/ctl/feed/params.h"

static void ask_daemon(const struct options *options, struct place *out)
{
    struct feedclient *feed = NULL;
    cJSON *status = NULL;

    if (connect_open(options, &feed, NULL) == 0 &&
        feedclient_call(feed, "server.status", params_none(), &status, NULL) == 0) {
        const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItem(status, "network"), 0);

        snprintf(out->directory, sizeof out->directory, "%s", member_text(status, "state_dir", ""));
        snprintf(out->http, sizeof out->http, "%s", member_text(status, "http", ""));
        if (cJSON_IsString(first))
            snprintf(out->network, sizeof out->network, "%s", first->valuestring);
    }
    cJSON_Delete(status);
    feedclient_free(feed);
}

int place_find(const struct options *options, struct place *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    ask_daemon(options, out);
    if (options->state_dir)
        snprintf(out->directory, sizeof out->directory, "%s", options->state_dir);
    if (*out->directory)
        return 0;
    return program_state_dir(out->directory, sizeof out->directory, err);
}

int place_make(const struct place *place, const char *command, struct err *err)
{
    const char *directory = place->directory;
    struct stat st;

    if ((mkdir(directory, 0700) < 0 && errno != EEXIST) || stat(directory, &st) < 0)
        return err_set(err, -errno, "%s: %s", directory, strerror(errno));
    if (st.st_uid == geteuid())
        return 0;
    return err_set(err, -EPERM,
                   "%s belongs to user %u, as whom this has to run: sudo -u '#%u' richctl %s ...",
                   directory, (unsigned)st.st_uid, (unsigned)st.st_uid, command);
}
