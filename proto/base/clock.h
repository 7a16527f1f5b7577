/* The two clocks: the time of day, and one that only goes forward, for waiting. Keeps nothing; any
 * thread. The core reads neither: time comes to it in events. Tested by test_base.c. */
#pragma once

#include <stdint.h>

/* Seconds since 1970. It jumps when somebody sets the clock. */
double clock_wall_s(void);

/* Milliseconds that only go forward, from an unnamed beginning. */
int64_t clock_monotonic_ms(void);
