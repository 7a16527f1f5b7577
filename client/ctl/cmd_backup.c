/* richctl backup FILE: the whole history in one file, at one instant, while the daemon and its
 * trainers go on. `richd --backup` copies; here its history is found, and its progress told. The
 * file has its name when it is whole. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "client/ctl/command.h"
#include "client/ctl/common/jsonline.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/program.h"
#include "client/ctl/common/text.h"
#include "client/ctl/connect.h"
#include "client/ctl/feed/params.h"
#include "proto/json.h"

#define HISTORY "richd.sqlite"

struct copy {
    const char *file;
    double bytes;
};

/* The directory of the daemon that answers; "" when none does. */
static int ask_daemon(const struct options *options, char directory[PATH_MAX], struct err *err)
{
    struct feedclient *feed = NULL;
    cJSON *status = NULL;
    struct stat st;
    int rc = connect_open(options, &feed, NULL);

    *directory = '\0';
    if (rc == 0)
        rc = feedclient_call(feed, "server.status", params_none(), &status, NULL);
    if (rc == 0)
        snprintf(directory, PATH_MAX, "%s", member_text(status, "state_dir", ""));
    cJSON_Delete(status);
    feedclient_free(feed);
    if (*directory && stat(directory, &st) < 0)
        return err_set(err, -EREMOTEIO,
                       "the daemon's history is in %s, which is not there on this machine: make "
                       "the backup on its own, by richctl or richd --backup FILE",
                       directory);
    return 0;
}

static int find_directory(const struct options *options, char directory[PATH_MAX], struct err *err)
{
    int rc;

    if (options->state_dir) {
        snprintf(directory, PATH_MAX, "%s", options->state_dir);
        return 0;
    }
    rc = ask_daemon(options, directory, err);
    return rc == 0 && !*directory ? program_state_dir(directory, PATH_MAX, err) : rc;
}

static bool fill(cJSON *object, const void *what)
{
    const struct copy *copy = what;

    return cJSON_AddStringToObject(object, "file", copy->file) &&
           json_add_integer(object, "bytes", (int64_t)copy->bytes);
}

static int print_copy(const char *file, bool json, struct err *err)
{
    struct copy copy = {file, 0};
    char bytes[TEXT_SIZE];
    struct stat st;

    if (stat(file, &st) == 0)
        copy.bytes = (double)st.st_size;
    if (json)
        return jsonline_make(fill, &copy, stdout, err);
    text_print(file, stdout);
    printf(": %s\n", text_bytes(copy.bytes, bytes));
    return 0;
}

int cmd_backup(struct feedclient *feed, const struct options *options, struct err *err)
{
    const char *file = options->words[1];
    char directory[PATH_MAX], from[PATH_MAX + sizeof HISTORY], part[PATH_MAX];
    int rc = find_directory(options, directory, err);

    (void)feed;
    if (rc == 0 && snprintf(part, sizeof part, "%s.part", file) >= PATH_MAX)
        rc = err_set(err, -ENAMETOOLONG, "the path is too long");
    if (rc == 0) {
        const char *const arguments[] = {"--backup", file, "--state-dir", directory, NULL};

        snprintf(from, sizeof from, "%s/" HISTORY, directory);
        rc = program_copy(arguments, from, part, err);
    }
    return rc == 0 ? print_copy(file, options->json, err) : rc;
}
