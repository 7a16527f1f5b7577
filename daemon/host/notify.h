/* What the service manager hears of us by way of NOTIFY_SOCKET (sd_notify(3)), and how long it
 * bears our silence. Owns nothing; any thread, and no call waits: a manager that reads nothing must
 * not stop the loop. */
#pragma once

#include <stdint.h>

/* Sends an assignment, such as "READY=1". Returns 0, also where nobody wants to hear it; -EAGAIN,
 * the manager has not read what came before; else -errno. */
int notify_send(const char *assignment);

/* The watchdog's time in microseconds; 0: there is none, or it watches another process. */
uint64_t notify_watchdog_us(void);
