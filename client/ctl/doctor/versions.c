#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/common/member.h"
#include "client/ctl/doctor/doctor.h"

/* Nothing is imported, so it takes a tenth of a second. */
#define ASK_PYTHON                                                                                 \
    "python3 -c \"from importlib import metadata; print(metadata.version('richd'))\" 2>/dev/null"

static void check_daemon(struct doctor *doctor)
{
    const char *version = member_text(doctor_status(doctor), "version", RICHD_VERSION);
    struct err what;

    if (strcmp(version, RICHD_VERSION) == 0)
        return;
    err_set(&what, -EPROTO, "the daemon is richd %s, this is richctl %s", version, RICHD_VERSION);
    doctor_find(doctor, "versions", &what,
                "After an update the daemon has to be started again (kill %.0f; richd); else "
                "another installation is first on the PATH",
                member_number(doctor_status(doctor), "pid"));
}

/* The package of the Python that is first on the PATH: of the environment that is active. */
static void check_python(struct doctor *doctor)
{
    FILE *answer = popen(ASK_PYTHON, "r");
    char version[64] = "";
    struct err what;

    if (!answer)
        return;
    if (!fgets(version, sizeof version, answer))
        version[0] = '\0';
    pclose(answer);
    version[strcspn(version, "\n")] = '\0';
    if (!*version || strcmp(version, RICHD_VERSION) == 0)
        return;
    err_set(&what, -EPROTO, "the Python package is richd %s, this is richctl %s", version,
            RICHD_VERSION);
    doctor_find(doctor, "versions", &what,
                "Install the same version of both (pip install --upgrade richd brings both)");
}

void doctor_versions(struct doctor *doctor)
{
    check_daemon(doctor);
    check_python(doctor);
}
