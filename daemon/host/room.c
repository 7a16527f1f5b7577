#include "daemon/host/room.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

/* A thread that has ended counts for the kernel until it has tidied up. */
#define TIDY_TRIES 1000
#define TIDY_NS    1000000

static void *stay(void *lock)
{
    pthread_mutex_lock(lock);
    pthread_mutex_unlock(lock);
    return NULL;
}

/* Threads of the process, as the kernel counts them; 0: not known. */
static size_t n_tasks(void)
{
    DIR *dir = opendir("/proc/self/task");
    size_t n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static void wait_for_tasks(size_t n)
{
    for (int i = 0; i < TIDY_TRIES && n_tasks() > n; i++)
        nanosleep(&(struct timespec){.tv_nsec = TIDY_NS}, NULL);
}

int room_check_threads(size_t n, struct err *err)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_t *threads = calloc(n, sizeof *threads);
    size_t n_before = n_tasks(), n_started = 0;
    int rc = 0;

    if (!threads)
        return err_set(err, -ENOMEM, "out of memory");
    pthread_mutex_lock(&lock);
    while (rc == 0 && n_started < n) {
        rc = pthread_create(&threads[n_started], NULL, stay, &lock);
        n_started += rc == 0;
    }
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < n_started; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    wait_for_tasks(n_before);
    if (rc == 0)
        return 0;
    return err_set(err, -rc,
                   "richd needs %zu more threads and could start %zu: %s (ulimit -u, TasksMax=)", n,
                   n_started, strerror(rc));
}

size_t room_stack_bytes(void)
{
    pthread_attr_t attributes;
    size_t bytes = 0;

    if (pthread_attr_init(&attributes) != 0)
        return 0;
    pthread_attr_getstacksize(&attributes, &bytes);
    pthread_attr_destroy(&attributes);
    return bytes;
}

size_t room_limit_bytes(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_AS, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX
                                                                               : limit.rlim_cur;
}

static int refuse_memory(size_t bytes, struct err *err)
{
    size_t limit = room_limit_bytes();

    if (limit == SIZE_MAX)
        return err_set(err, -ENOMEM, "richd needs %zu MiB more memory, which the machine has not",
                       bytes >> 20);
    return err_set(err, -ENOMEM,
                   "richd needs %zu MiB more memory, and the limit of %zu MiB for all of it has no "
                   "room for that (ulimit -v, LimitAS=)",
                   bytes >> 20, limit >> 20);
}

int room_check_memory(size_t bytes, struct err *err)
{
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (map == MAP_FAILED)
        return refuse_memory(bytes, err);
    munmap(map, bytes);
    return 0;
}
