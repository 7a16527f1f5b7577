/* richctl join: reads the line of `richctl invite` from stdin, and writes what the clients of this
 * user look for. Not from the command line, which other users of this host can read. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl/command.h"
#include "client/ctl/common/invitation.h"
#include "proto/curve/joined.h"

#define LINE_SIZE_MAX 1024

static int read_line(struct keyfile *keys, struct err *err)
{
    char line[LINE_SIZE_MAX];
    int rc;

    if (isatty(STDIN_FILENO))
        fprintf(stderr, "Paste the line of `richctl invite`: ");
    if (!fgets(line, sizeof line, stdin))
        return err_set(err, -EBADMSG, "nothing came on stdin: the line of `richctl invite`");
    rc = invitation_parse(line, keys, err);
    explicit_bzero(line, sizeof line);
    return rc;
}

/* The directories above the file, as far as they are missing. */
static int make_directories(const char *path, struct err *err)
{
    char directory[PATH_MAX];

    snprintf(directory, sizeof directory, "%s", path);
    for (char *at = strchr(directory + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(directory, 0700) < 0 && errno != EEXIST)
            return err_set(err, -errno, "%s: %s", directory, strerror(errno));
        *at = '/';
    }
    return 0;
}

int cmd_join(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct keyfile keys;
    char path[PATH_MAX];
    int rc;

    (void)feed;
    if ((options->relay ? upstream_path(path, sizeof path) : joined_path(path, sizeof path)) < 0)
        return err_set(err, -ENOENT, "neither XDG_CONFIG_HOME nor HOME is set");
    if (joined_exists(path) && !options->yes)
        return err_set(err, -EEXIST, "%s is there: a daemon was joined before; --yes replaces it",
                       path);
    rc = read_line(&keys, err);
    if (rc == 0)
        rc = make_directories(path, err);
    if (rc == 0)
        rc = keyfile_write(path, &keys, true, err);
    if (rc == 0)
        printf(options->relay ? "A richd of this user with --upstream %s may forward there (%s).\n"
                              : "Joined %s: the trainings of this user go there (%s; remove it to"
                                " leave).\n",
               keys.endpoint, path);
    explicit_bzero(&keys, sizeof keys);
    return rc;
}
