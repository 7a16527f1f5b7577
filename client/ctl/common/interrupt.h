/* Signals for commands that run until they are stopped. A signal does not end the process; it is
 * remembered, and a wait with interrupt_mask() notices it without a race. The process has one such
 * state, and only its single thread calls. The command decides what an end, a new size or a pause
 * means. Tested end to end by test_top_in_a_terminal.py. */
#pragma once

#include <signal.h>
#include <stdbool.h>

/* From now on SIGINT and SIGTERM are remembered, and delivered only inside ppoll. */
void interrupt_watch(void);

/* The same, and for a command that has the terminal to itself: SIGHUP and SIGQUIT end it as well,
 * so that it can give the terminal back; SIGWINCH and SIGTSTP (Ctrl-Z) are remembered apart. */
void interrupt_watch_terminal(void);

/* True once one has come that ends the command. */
bool interrupt_pending(void);

/* The same for a command that computes: lets those in that have come meanwhile. */
bool interrupt_look(void);

/* True once for each time that the terminal's size changed, or that Ctrl-Z was pressed. */
bool interrupt_take_resize(void);
bool interrupt_take_pause(void);

/* While held, no wait is interrupted: for a request whose answer has to be known. Those that come
 * meanwhile wait for interrupt_look. */
void interrupt_hold(bool held);

/* The mask to wait with, or NULL before interrupt_watch and while held. */
const sigset_t *interrupt_mask(void);
