#include "client/ctl/interrupt.h"

#include <stddef.h>

static volatile sig_atomic_t pending;
static sigset_t wait_mask;
static bool watching;

static void on_signal(int number)
{
    (void)number;
    pending = 1;
}

void interrupt_watch(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t block;

    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, &wait_mask);
    sigdelset(&wait_mask, SIGINT);
    sigdelset(&wait_mask, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    watching = true;
}

bool interrupt_pending(void)
{
    return pending != 0;
}

const sigset_t *interrupt_mask(void)
{
    return watching ? &wait_mask : NULL;
}
