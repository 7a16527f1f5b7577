#include "tests/bench/daemon.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* build/tests/bench/bench_NAME -> build/richd */
static void find_richd(char *out, size_t size)
{
    char self[512];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    if (length <= 0)
        abort();
    self[length] = '\0';
    for (int i = 0; i < 3; i++)
        *strrchr(self, '/') = '\0';
    snprintf(out, size, "%s/richd", self);
}

void bench_daemon_start(struct bench_daemon *daemon)
{
    char program[600];

    find_richd(program, sizeof program);
    snprintf(daemon->folder, sizeof daemon->folder, "/tmp/richd_bench.XXXXXX");
    if (!mkdtemp(daemon->folder))
        abort();
    daemon->pid = fork();
    if (daemon->pid != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    execl(program, program, "--log-level", "error", "--state-dir", daemon->folder, "--runtime-dir",
          daemon->folder, (char *)NULL);
    perror(program);
    _exit(1);
}

void bench_daemon_stop(struct bench_daemon *daemon)
{
    char command[96];

    kill(daemon->pid, SIGTERM);
    waitpid(daemon->pid, NULL, 0);
    snprintf(command, sizeof command, "rm -r '%s'", daemon->folder);
    if (system(command) != 0)
        fprintf(stderr, "%s stays\n", daemon->folder);
}

static void lift_thread(id_t thread, int nice)
{
    const struct sched_param none = {0};

    if (sched_setscheduler((pid_t)thread, SCHED_OTHER, &none) < 0 ||
        setpriority(PRIO_PROCESS, thread, nice) < 0)
        perror("lifting a thread of the daemon");
}

void bench_daemon_lift(const struct bench_daemon *daemon)
{
    int nice = getpriority(PRIO_PROCESS, 0);
    struct dirent *entry;
    char path[64];
    DIR *tasks;

    if (nice >= 0)
        return;
    snprintf(path, sizeof path, "/proc/%d/task", (int)daemon->pid);
    tasks = opendir(path);
    if (!tasks)
        abort();
    while ((entry = readdir(tasks)) != NULL) {
        if (entry->d_name[0] != '.')
            lift_thread((id_t)strtoul(entry->d_name, NULL, 10), nice);
    }
    closedir(tasks);
}

double bench_daemon_cpu_s(const struct bench_daemon *daemon)
{
    struct timespec t;
    clockid_t clock;

    if (clock_getcpuclockid(daemon->pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
        abort();
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
