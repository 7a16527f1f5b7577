#include "daemon/host/blas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "daemon/core/matrix/coretype.h"
#include "daemon/core/matrix/linalg.h"
#include "daemon/host/log.h"

#define ASKED "OPENBLAS_CORETYPE" /* OpenBLAS reads it while it is loaded, and not again */
#define OURS  "RICHD_CORETYPE"    /* what blas_start_again set, by which it is known as ours */

const char *blas_better(void)
{
    struct processor processor = processor_read();

    return coretype_better(linalg_kernels(), getenv(ASKED), &processor, linalg_has_kernels);
}

/* Behind `ld.so richd`, without an interpreter of its own, /proc/self/exe is the loader. Where
 * /proc is not mounted, the name that we were started by has to do. */
static int start_with(const char *type, char **argv)
{
    int rc;

    if (getauxval(AT_BASE) == 0)
        return -ENOEXEC;
    if (setenv(ASKED, type, 1) < 0 || setenv(OURS, type, 1) < 0)
        return -ENOMEM;
    execv("/proc/self/exe", argv);
    if (errno == ENOENT)
        execv((const char *)getauxval(AT_EXECFN), argv);
    rc = -errno;
    unsetenv(ASKED);
    unsetenv(OURS);
    return rc;
}

void blas_start_again(char **argv)
{
    const char *better = blas_better();
    int rc;

    if (!better)
        return;
    log_info(
        "OpenBLAS chose kernels older than this processor: starting again kernels=%s instead_of=%s",
        better, linalg_kernels());
    rc = start_with(better, argv);
    log_warn("cannot start again (%s): going on, slower, kernels=%s", strerror(-rc),
             linalg_kernels());
}

const char *blas_chosen_by(void)
{
    const char *asked = getenv(ASKED), *ours = getenv(OURS);

    if (!asked || strcasecmp(asked, linalg_kernels()) != 0)
        return "openblas";
    return ours && strcmp(ours, asked) == 0 ? "richd" : "environment";
}
