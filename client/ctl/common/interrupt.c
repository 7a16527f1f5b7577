#include "client/ctl/common/interrupt.h"

#include <poll.h>
#include <stddef.h>
#include <time.h>

static volatile sig_atomic_t pending, resized, paused;
static sigset_t wait_mask;
static bool watching, holding;

static void on_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else if (number == SIGTSTP)
        paused = 1;
    else
        pending = 1;
}

static void watch(const int numbers[], size_t n)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t block;

    sigemptyset(&block);
    for (size_t i = 0; i < n; i++)
        sigaddset(&block, numbers[i]);
    sigprocmask(SIG_BLOCK, &block, &wait_mask);
    for (size_t i = 0; i < n; i++) {
        sigdelset(&wait_mask, numbers[i]);
        sigaction(numbers[i], &action, NULL);
    }
    watching = true;
}

void interrupt_watch(void)
{
    static const int numbers[] = {SIGINT, SIGTERM};

    watch(numbers, sizeof numbers / sizeof numbers[0]);
}

void interrupt_watch_terminal(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP};

    watch(numbers, sizeof numbers / sizeof numbers[0]);
}

bool interrupt_pending(void)
{
    return pending != 0;
}

/* Signals come in nowhere else than in a wait. */
bool interrupt_look(void)
{
    struct timespec none = {0, 0};

    ppoll(NULL, 0, &none, watching ? &wait_mask : NULL);
    return interrupt_pending();
}

/* The signals are blocked while this runs: none is lost between the two lines. */
static bool take(volatile sig_atomic_t *flag)
{
    bool was = *flag != 0;

    *flag = 0;
    return was;
}

bool interrupt_take_resize(void)
{
    return take(&resized);
}

bool interrupt_take_pause(void)
{
    return take(&paused);
}

void interrupt_hold(bool held)
{
    holding = held;
}

const sigset_t *interrupt_mask(void)
{
    return watching && !holding ? &wait_mask : NULL;
}
