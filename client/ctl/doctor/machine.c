#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "client/ctl/doctor/doctor.h"
#include "proto/base/clock.h"

/* Clocks that are set by NTP agree to milliseconds; an answer takes less than this. */
#define CLOCK_MAX_S 5

/* OpenBLAS's kernels for x86-64 without AVX: for processors until 2011. */
static bool is_old(const char *kernels)
{
    static const char *const old[] = {"Prescott", "Core2",   "Penryn", "Dunnington", "Nehalem",
                                      "Atom",     "Generic", "Katmai", "Northwood",  "Banias"};

    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        if (strcasecmp(kernels, old[i]) == 0)
            return true;
    }
    return false;
}

/* Whether this machine's processor has AVX2, as Linux says. */
static bool has_avx2(void)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char *line = NULL;
    size_t size = 0;
    bool found = false;

    while (file && !found && getline(&line, &size, file) > 0)
        found = strncmp(line, "flags", 5) == 0 && strstr(line, " avx2") != NULL;
    free(line);
    if (file)
        fclose(file);
    return found;
}

static void check_daemon_kernels(struct doctor *doctor)
{
    const cJSON *status = doctor_status(doctor);
    const char *kernels = member_text(status, "kernels", "");
    bool by_us = strcmp(member_text(status, "kernels_chosen_by", ""), "environment") == 0;
    struct err what;

    if (!is_old(kernels))
        return;
    err_set(&what, -ENOTSUP,
            "the daemon computes with OpenBLAS's kernels for %s, a quarter of "
            "this processor's speed",
            kernels);
    if (by_us)
        doctor_find(doctor, "kernels", &what,
                    "OPENBLAS_CORETYPE was set where it was started: start it without");
    else
        doctor_find(doctor, "kernels", &what,
                    "Start it with OPENBLAS_CORETYPE=Haswell, and tell us the processor");
}

static void check_own_kernels(struct doctor *doctor)
{
    const char *kernels = getenv("OPENBLAS_CORETYPE");
    struct err what;

    if (!kernels || !is_old(kernels))
        return;
    err_set(&what, -ENOTSUP,
            "OPENBLAS_CORETYPE=%s in this shell: trainings that are started here "
            "compute with old kernels",
            kernels);
    doctor_find(doctor, "kernels", &what, "Unset it, or env $(richd --print-kernels) python ...");
}

static void check_own_mode(struct doctor *doctor)
{
    const char *mode = getenv("RICHD_MODE");
    bool is_disabled = mode && strcmp(mode, "disabled") == 0;
    struct err what;

    if (!is_disabled && !(mode && strcmp(mode, "offline") == 0))
        return;
    err_set(&what, -ENOTSUP, "RICHD_MODE=%s in this shell: trainings that are started here %s",
            mode, is_disabled ? "send nothing" : "keep their runs in files");
    doctor_find(doctor, "mode", &what,
                is_disabled ? "Unset it" : "Unset it, or bring them in with \"richctl import\"");
}

/* Who names the feed as well has a tunnel to both. */
static void check_own_endpoint(struct doctor *doctor)
{
    const char *named = getenv("RICHD_ENDPOINT"), *found;
    struct err what;

    if (!named || !*named || getenv("RICHD_FEED") || !doctor_status(doctor))
        return;
    found = member_text(doctor_status(doctor), "ingest", "");
    if (strcmp(named, found) == 0)
        return;
    err_set(&what, -EADDRNOTAVAIL,
            "RICHD_ENDPOINT=%s in this shell: trainings that are started here send there, and not "
            "to the daemon that is found",
            named);
    doctor_find(doctor, "endpoint", &what, "Unset it, unless it leads to this daemon's %s", found);
}

static void check_clock(struct doctor *doctor)
{
    double time = member_number(doctor_status(doctor), "time");
    double ahead = time - clock_wall_s();
    struct err what;
    char text[TEXT_SIZE];

    /* Without a daemon, or from an older one, NaN. */
    if (!(fabs(ahead) > CLOCK_MAX_S))
        return;
    err_set(&what, -ETIME, "the daemon's clock is %s %s this one's",
            text_duration(fabs(ahead), text), ahead > 0 ? "ahead of" : "behind");
    doctor_find(doctor, "clock", &what, "Set both by NTP (timedatectl set-ntp true)");
}

void doctor_machine(struct doctor *doctor)
{
    if (has_avx2()) {
        check_daemon_kernels(doctor);
        check_own_kernels(doctor);
    }
    check_own_mode(doctor);
    check_own_endpoint(doctor);
    check_clock(doctor);
}
