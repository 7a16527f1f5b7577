/* richctl doctor: what is wrong, a line each with what to do about it; 1 when there is anything. It
 * changes nothing. */
#include <errno.h>
#include <stdio.h>

#include "client/ctl/command.h"
#include "client/ctl/common/member.h"
#include "client/ctl/common/text.h"
#include "client/ctl/doctor/doctor.h"

static void print_well(const struct doctor *doctor)
{
    const cJSON *status = doctor_status(doctor);
    char up[TEXT_SIZE];

    printf("all is well: richd %s, process %.0f, up for %s, history in ",
           member_text(status, "version", "?"), member_number(status, "pid"),
           text_duration(member_number(status, "uptime_s"), up));
    text_print(member_text(status, "state_dir", "?"), stdout);
    printf("\n");
}

int cmd_doctor(struct feedclient *feed, const struct options *options, struct err *err)
{
    struct doctor doctor = {.options = options, .statuses = cJSON_CreateArray()};
    int rc = 0;

    (void)feed;
    if (!doctor.statuses)
        return err_set(err, -ENOMEM, "out of memory");
    doctor_places(&doctor);
    doctor_state(&doctor);
    doctor_versions(&doctor);
    doctor_machine(&doctor);
    if (doctor.n_findings > 0)
        rc = err_set(err, -EREMOTEIO, "%zu finding%s", doctor.n_findings,
                     doctor.n_findings == 1 ? "" : "s");
    else if (!options->json)
        print_well(&doctor);
    cJSON_Delete(doctor.statuses);
    return rc;
}
