#include "tests/load/shares.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void *map(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

struct shares *shares_new(size_t n, size_t waits_max)
{
    struct shares *shares = map(sizeof *shares);
    double *waits_s = map(waits_max * sizeof *waits_s);

    if (!shares || !waits_s)
        return NULL;
    shares->n = n;
    shares->waits_max = waits_max / n * n;
    for (size_t i = 0; i < n; i++) {
        shares->tallies[i].waits_max = waits_max / n;
        shares->tallies[i].waits_s = waits_s + i * (waits_max / n);
    }
    return shares;
}

int shares_begin(struct shares *shares)
{
    for (size_t i = 1; i < shares->n; i++) {
        const pid_t pid = fork();

        if (pid < 0)
            return -errno;
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            return (int)i;
        }
    }
    return 0;
}

void shares_note_open(struct shares *shares, size_t opened, size_t before, size_t now)
{
    size_t n_open = atomic_fetch_add(&shares->n_open, now - before) + now - before,
           most = atomic_load(&shares->n_peak_open);

    atomic_fetch_add(&shares->n_opened, opened);
    while (n_open > most && !atomic_compare_exchange_weak(&shares->n_peak_open, &most, n_open)) {
    }
}

static void add(struct trainer_tally *sum, const struct trainer_tally *one)
{
    sum->n_acknowledged += one->n_acknowledged;
    sum->n_reconnects += one->n_reconnects;
    sum->n_failed += one->n_failed;
    sum->batches_dropped += one->batches_dropped;
    sum->batches_refused += one->batches_refused;
    memmove(sum->waits_s + sum->n_waits, one->waits_s, one->n_waits * sizeof *one->waits_s);
    sum->n_waits += one->n_waits;
    if (*one->complaint)
        snprintf(sum->complaint, sizeof sum->complaint, "%s", one->complaint);
}

void shares_join(struct shares *shares)
{
    int status;

    for (size_t i = 1; i < shares->n; i++) {
        if (wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            shares->tallies[0].n_failed++;
    }
    for (size_t i = 1; i < shares->n; i++)
        add(&shares->tallies[0], &shares->tallies[i]);
}
