#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "client/ctl/doctor/doctor.h"
#include "proto/base/filesystem.h"

/* A write-ahead log grows to 64 MiB before it is folded, and a repair needs room for a copy: below
 * four such logs the disk is about to be full. */
#define ROOM_MIN_BYTES ((double)(256 << 20))

/* As the daemon finds it without options. Free with free; NULL without memory. */
static char *default_directory(void)
{
    const char *named = getenv("RICHD_STATE_DIR"), *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char *path;

    if (named && *named)
        return strdup(named);
    if (state && *state)
        return asprintf(&path, "%s/richd", state) < 0 ? NULL : path;
    return asprintf(&path, "%s/.local/state/richd", home ? home : "") < 0 ? NULL : path;
}

/* What it has found by itself, with its own advice. */
static void tell_problems(struct doctor *doctor)
{
    const cJSON *problem;

    cJSON_ArrayForEach(problem, member(doctor_status(doctor), "problems"))
    {
        struct err what;

        err_set(&what, -EIO, "%s", cJSON_IsString(problem) ? problem->valuestring : "?");
        doctor_find(doctor, "state", &what, "%s", "");
    }
}

static void check_room(struct doctor *doctor, const char *directory)
{
    struct statvfs st;
    struct err what;
    char left[TEXT_SIZE];
    double bytes;

    if (statvfs(directory, &st) < 0 || st.f_blocks == 0)
        return;
    bytes = (double)st.f_bavail * (double)st.f_frsize;
    if (bytes >= ROOM_MIN_BYTES && (st.f_files == 0 || st.f_favail > 0))
        return;
    err_set(&what, -ENOSPC, "the disk is nearly full: %s and %llu files are left where %s is",
            text_bytes(bytes, left), (unsigned long long)st.f_favail, directory);
    doctor_find(doctor, "disk", &what,
                "Free some, remove runs, or start richd with --state-dir on another disk");
}

static void check_owner(struct doctor *doctor, const char *directory)
{
    static const char *const files[] = {"richd.sqlite", "richd.sqlite-wal", "richd.lock"};
    struct stat above, st;
    struct err what;

    if (stat(directory, &above) < 0)
        return;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path;

        if (asprintf(&path, "%s/%s", directory, files[i]) < 0)
            return;
        if (lstat(path, &st) == 0 && st.st_uid != above.st_uid) {
            err_set(&what, -EPERM, "%s belongs to user %u, its directory to user %u", path,
                    (unsigned)st.st_uid, (unsigned)above.st_uid);
            doctor_find(doctor, "permissions", &what, "chown %u %s", (unsigned)above.st_uid, path);
        }
        free(path);
    }
}

static void check_mode(struct doctor *doctor, const char *directory)
{
    struct stat st;
    struct err what;

    if (stat(directory, &st) < 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
        return;
    err_set(&what, -EPERM, "others than its owner may write into %s, where the history is",
            directory);
    doctor_find(doctor, "permissions", &what, "chmod go-w %s", directory);
}

/* What the daemon says of its file system is among its problems. */
static void check_filesystem(struct doctor *doctor, const char *directory)
{
    struct err what;

    if (!doctor_status(doctor) && filesystem_check(directory, &what) < 0)
        doctor_find(doctor, "state", &what, "%s", "");
}

void doctor_state(struct doctor *doctor)
{
    const char *named = member_text(doctor_status(doctor), "state_dir", NULL);
    char *directory = named ? strdup(named) : default_directory();

    tell_problems(doctor);
    /* One of another machine is not there, which no check minds. */
    if (directory) {
        check_filesystem(doctor, directory);
        check_room(doctor, directory);
        check_mode(doctor, directory);
        check_owner(doctor, directory);
    }
    free(directory);
}
