#include "client/ctl/export/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void release(struct outfile *file)
{
    free(file->path);
    free(file->part);
    *file = (struct outfile){0};
}

static int complain(struct outfile *file, int error, struct err *err)
{
    return err_set(err, error ? -error : -EIO, "%s: %s", file->path ? file->path : "stdout",
                   strerror(error ? error : EIO));
}

static int open_stream(struct outfile *file, struct err *err)
{
    const char *path = file->part ? file->part : file->path;
    int fd = open(
        path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW * (file->part != NULL) | O_CLOEXEC, 0666);
    int rc;

    file->stream = fd < 0 ? NULL : fdopen(fd, "w");
    if (file->stream)
        return 0;
    rc = complain(file, errno, err);
    if (fd >= 0)
        close(fd);
    return rc;
}

int outfile_open(struct outfile *file, const char *path, struct err *err)
{
    bool has_memory = true;
    struct stat st;
    int rc;

    *file = (struct outfile){.stream = stdout};
    if (!path)
        return 0;
    file->path = strdup(path);
    if (stat(path, &st) < 0 || S_ISREG(st.st_mode))
        has_memory = asprintf(&file->part, "%s.part", path) >= 0;
    if (!has_memory)
        file->part = NULL;
    rc = has_memory && file->path ? open_stream(file, err) : err_set(err, -ENOMEM, "out of memory");
    if (rc < 0)
        release(file);
    return rc;
}

int outfile_keep(struct outfile *file, struct err *err)
{
    int error = fflush(file->stream) != 0 || ferror(file->stream) ? errno : 0;
    int rc;

    if (error == 0 && file->part && fsync(fileno(file->stream)) < 0)
        error = errno;
    if (error == 0 && file->part && rename(file->part, file->path) < 0)
        error = errno;
    if (error == 0 && !ferror(file->stream)) {
        if (file->path)
            fclose(file->stream);
        release(file);
        return 0;
    }
    rc = complain(file, error, err);
    outfile_drop(file);
    return rc;
}

void outfile_drop(struct outfile *file)
{
    if (file->path)
        fclose(file->stream);
    if (file->part)
        unlink(file->part);
    release(file);
}
