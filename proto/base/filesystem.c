#include "proto/base/filesystem.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Of linux/magic.h, and of those that are not in the kernel's tree. */
static const struct {
    uint32_t type;
    const char *name;
} kinds[] = {
    {0x6969, "NFS"},        {0x0BD00BD0, "Lustre"}, {0x47504653, "GPFS"},  {0x65735546, "FUSE"},
    {0xFF534D42, "CIFS"},   {0xFE534D42, "SMB"},    {0x517B, "SMB"},       {0x00C36400, "Ceph"},
    {0x19830326, "BeeGFS"}, {0x01021997, "9P"},     {0x5346414F, "AFS"},   {0x73757245, "Coda"},
    {0xAAD7AAEA, "PanFS"},  {0x01161970, "GFS2"},   {0x7461636F, "OCFS2"},
};

const char *filesystem_name(unsigned long type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].type == (uint32_t)type) /* f_type has a sign on some machines */
            return kinds[i].name;
    }
    return NULL;
}

static const char *name_of(const char *dir)
{
    struct statfs st;

    return statfs(dir, &st) == 0 ? filesystem_name((unsigned long)st.f_type) : NULL;
}

int filesystem_check(const char *dir, struct err *err)
{
    const char *name = name_of(dir);
    char local[64] = "DIR";

    if (!name)
        return 0;
    if (access("/var/tmp", W_OK) == 0 && !name_of("/var/tmp"))
        snprintf(local, sizeof local, "/var/tmp/richd-%u", (unsigned)getuid());
    return err_set(
        err, -EXDEV,
        "the history in %s is on %s, where a database is neither safe nor fast, and which "
        "one daemon of all machines can use: name a directory of this machine, "
        "--state-dir %s or RICHD_STATE_DIR=%s",
        dir, name, local, local);
}
