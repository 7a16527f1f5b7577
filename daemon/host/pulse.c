#include "daemon/host/pulse.h"

#include <pthread.h>

static double read_s(clockid_t clock)
{
    struct timespec now;

    return clock_gettime(clock, &now) == 0 ? (double)now.tv_sec + 1e-9 * (double)now.tv_nsec : 0;
}

void pulse_start(struct pulse *pulse, double cpu_s_max)
{
    pulse->cpu_s_max = cpu_s_max;
    pulse->seen_s = 0;
    pulse->still = 0;
    atomic_store(&pulse->begun, false);
}

void pulse_begin(struct pulse *pulse)
{
    if (pthread_getcpuclockid(pthread_self(), &pulse->clock) != 0)
        return;
    pulse->began_s = read_s(pulse->clock);
    atomic_store(&pulse->begun, true);
}

double pulse_used_s(const struct pulse *pulse)
{
    return atomic_load(&pulse->begun) ? read_s(pulse->clock) - pulse->began_s : 0;
}

bool pulse_look(struct pulse *pulse, double used_s, unsigned still_max)
{
    pulse->still = used_s > pulse->seen_s ? 0 : pulse->still + 1;
    pulse->seen_s = used_s;
    return pulse->still >= still_max || used_s > pulse->cpu_s_max;
}

bool pulse_is_stuck(struct pulse *pulse, unsigned still_max)
{
    return pulse_look(pulse, pulse_used_s(pulse), still_max);
}
