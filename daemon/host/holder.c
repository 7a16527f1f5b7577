#include "daemon/host/holder.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* TCP_LISTEN, as /proc/net/tcp has it. */
#define LISTENS 0x0A

/* The inode of a socket that listens at the port; 0: none is seen. */
static unsigned long find_socket(const char *table, unsigned port)
{
    FILE *file = fopen(table, "re");
    char line[512];
    unsigned long inode, found = 0;
    unsigned local, state;

    while (file && !found && fgets(line, sizeof line, file)) {
        if (sscanf(line, " %*d: %*[0-9A-F]:%X %*[0-9A-F]:%*X %X %*s %*s %*s %*u %*u %lu", &local,
                   &state, &inode) == 3 &&
            local == port && state == LISTENS)
            found = inode;
    }
    if (file)
        fclose(file);
    return found;
}

/* Whether a descriptor of the process is that socket. */
static bool has_socket(const char *pid, unsigned long inode)
{
    char path[64], link[64], wanted[64];
    const struct dirent *entry;
    bool found = false;
    DIR *folder;

    snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    folder = opendir(path);
    while (folder && !found && (entry = readdir(folder))) {
        ssize_t n = readlinkat(dirfd(folder), entry->d_name, link, sizeof link - 1);

        link[n > 0 ? n : 0] = '\0';
        found = strcmp(link, wanted) == 0;
    }
    if (folder)
        closedir(folder);
    return found;
}

/* A process names itself as it likes, and a terminal or a log would obey. */
static void make_plain(char *name)
{
    for (; *name; name++) {
        if (*name < ' ' || *name > '~')
            *name = '?';
    }
}

static void describe(const char *pid, char out[HOLDER_SIZE])
{
    char path[64], name[32] = "";
    FILE *file;

    snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
    file = fopen(path, "re");
    if (file && fgets(name, sizeof name, file))
        name[strcspn(name, "\n")] = '\0';
    if (file)
        fclose(file);
    make_plain(name);
    snprintf(out, HOLDER_SIZE, " (held by %s, pid %.20s)", *name ? name : "a process", pid);
}

const char *holder_describe(const char *address, int rc, char out[HOLDER_SIZE])
{
    const char *colon = strrchr(address, ':');
    unsigned port = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
    unsigned long inode = rc == -EADDRINUSE ? find_socket("/proc/net/tcp", port) : 0;
    const struct dirent *entry;
    DIR *processes;

    *out = '\0';
    if (rc == -EADDRINUSE && !inode)
        inode = find_socket("/proc/net/tcp6", port);
    processes = inode ? opendir("/proc") : NULL;
    while (processes && !*out && (entry = readdir(processes))) {
        if (strtol(entry->d_name, NULL, 10) > 0 && has_socket(entry->d_name, inode))
            describe(entry->d_name, out);
    }
    if (processes)
        closedir(processes);
    return out;
}
