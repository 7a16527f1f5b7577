#include "client/ctl/common/program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/progress.h"

/* Arguments of a task, with the name and the end. */
#define ARGUMENTS_MAX 12
#define TURN_NS       100000000
/* Of its output: a name has 128 bytes, and the columns of a table 1,024. */
#define LINE_BYTES_MAX 16384

/* The path beside this program, or the bare name, which is looked up on the PATH. */
static void find_program(char path[PATH_MAX])
{
    static const char name[] = "richd";
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof name);
    char *slash;

    path[n > 0 ? n : 0] = '\0';
    slash = strrchr(path, '/');
    if (slash)
        strcpy(slash + 1, name);
    if (!slash || access(path, X_OK) < 0)
        strcpy(path, name);
}

/* Signals are as the shell has them, and not as interrupt_watch does. `out` is its stdout; -1:
 * ours.
 */
static int spawn(const char *const arguments[], int out, pid_t *pid, struct err *err)
{
    const char *argv[ARGUMENTS_MAX] = {"richd"};
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t files;
    char path[PATH_MAX];
    sigset_t none;
    int rc;

    for (size_t i = 0; arguments[i] && i + 2 < ARGUMENTS_MAX; i++)
        argv[i + 1] = arguments[i];
    find_program(path);
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&files);
    if (out >= 0)
        posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    rc = posix_spawnp(pid, path, &files, &attributes, (char *const *)(const void *)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return rc == 0 ? 0 : err_set(err, -rc, "%s: %s", path, strerror(rc));
}

/* Waits for a tenth of a second at most. Returns 1 when it has ended. */
static int wait_a_turn(pid_t pid, int *status)
{
    struct timespec turn = {.tv_nsec = TURN_NS};

    if (waitpid(pid, status, WNOHANG) == pid)
        return 1;
    ppoll(NULL, 0, &turn, interrupt_mask());
    return 0;
}

/* Why it ended with a code of sysexits.h, richd itself has said. */
static int result_of(int status, struct err *err)
{
    int code = WEXITSTATUS(status);

    if (WIFSIGNALED(status))
        return err_set(err, -EIO, "richd was ended by signal %d", WTERMSIG(status));
    if (code == 0)
        return 0;
    if (code >= EX__BASE && code <= EX__MAX)
        return err_set(err,
                       code == EX_TEMPFAIL      ? -EBUSY
                       : code == EX_UNAVAILABLE ? -ENOTCONN
                                                : -EIO,
                       "%s", "");
    return err_set(err, -EIO, "richd ended with %d", code);
}

static double size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (double)st.st_size : 0;
}

/* What a copy leaves that was ended half way. */
static void remove_part(const char *part)
{
    char journal[PATH_MAX];

    unlink(part);
    if (snprintf(journal, sizeof journal, "%s-journal", part) < PATH_MAX)
        unlink(journal);
}

int program_copy(const char *const arguments[], const char *from, const char *part, struct err *err)
{
    struct progress progress;
    int status = 0, rc;
    pid_t pid;

    interrupt_watch();
    rc = spawn(arguments, -1, &pid, err);
    if (rc < 0)
        return rc;
    progress_init(&progress);
    while (!wait_a_turn(pid, &status)) {
        if (progress_is_due(&progress))
            progress_tell(&progress, size_of(part) / (size_of(from) + 1), from, "is copied");
        if (interrupt_pending())
            kill(pid, SIGTERM);
    }
    progress_clear(&progress);
    rc = result_of(status, err);
    if (rc < 0)
        remove_part(part);
    return rc < 0 && interrupt_pending() ? err_set(err, -EINTR,
                                                   "interrupted: nothing is left of "
                                                   "the copy, which begins again")
                                         : rc;
}

/* Lines that are whole are handed on; the others wait in `text`. */
static void take_lines(char *text, size_t *length, program_line_fn *on_line, void *arg)
{
    char *line = text, *end;

    text[*length] = '\0';
    while ((end = strchr(line, '\n'))) {
        *end = '\0';
        on_line(arg, line);
        line = end + 1;
    }
    *length -= (size_t)(line - text);
    memmove(text, line, *length);
}

/* Until the program closes its stdout, by ending. */
static void read_lines(int from, pid_t pid, program_line_fn *on_line, void *arg)
{
    char text[LINE_BYTES_MAX];
    struct timespec turn = {.tv_nsec = TURN_NS};
    struct pollfd fd = {from, POLLIN, 0};
    size_t length = 0;
    ssize_t n = 1;

    while (n > 0) {
        int ready = ppoll(&fd, 1, &turn, interrupt_mask());

        if (interrupt_pending())
            kill(pid, SIGTERM);
        on_line(arg, NULL);
        if (ready <= 0)
            continue;
        n = read(from, text + length, sizeof text - 1 - length);
        length += n > 0 ? (size_t)n : 0;
        take_lines(text, &length, on_line, arg);
        if (length == sizeof text - 1) /* no line of ours */
            length = 0;
    }
}

int program_lines(const char *const arguments[], program_line_fn *on_line, void *arg,
                  struct err *err)
{
    int ends[2], status = 0, rc;
    pid_t pid;

    interrupt_watch();
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set(err, -errno, "no pipe: %s", strerror(errno));
    rc = spawn(arguments, ends[1], &pid, err);
    close(ends[1]);
    if (rc == 0) {
        read_lines(ends[0], pid, on_line, arg);
        waitpid(pid, &status, 0);
    }
    close(ends[0]);
    if (rc < 0)
        return rc;
    if (interrupt_pending())
        return err_set(err, -EINTR, "interrupted");
    return WIFEXITED(status) && WEXITSTATUS(status) == 1 ? 1 : result_of(status, err);
}

int program_state_dir(char *directory, size_t size, struct err *err)
{
    static const char key[] = "state-dir = ";
    char command[PATH_MAX + 32], path[PATH_MAX], line[PATH_MAX + 64];
    FILE *answer;

    find_program(path);
    snprintf(command, sizeof command, "'%s' --print-config", path);
    answer = strchr(path, '\'') ? NULL : popen(command, "r");
    *directory = '\0';
    while (answer && fgets(line, sizeof line, answer)) {
        char *end = strstr(line, " ; ");

        if (strncmp(line, key, sizeof key - 1) == 0 && end)
            snprintf(directory, size, "%.*s", (int)(end - line) - (int)(sizeof key - 1),
                     line + sizeof key - 1);
    }
    if (answer)
        pclose(answer);
    return *directory ? 0 : err_set(err, -ENOENT, "%s does not say where its history is", path);
}
