/* The two clocks of the commands: one to wait by, one to tell ages by. Keeps nothing; the pure
 * parts are given the time. */
#pragma once

#include <stdint.h>

/* Milliseconds that only go forward. */
int64_t clock_now_ms(void);

/* Seconds since 1970, as the daemon's times are. */
double clock_wall_s(void);
