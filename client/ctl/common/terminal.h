/* The terminal that a live command draws on: its size, its keys, and whole screens of text, of
 * which only the lines that differ are written. For one thread; it owns the terminal's settings
 * between open and close, and puts them back. Tested end to end by test_top_in_a_terminal.py.
 *
 * Why no curses: the same lines go to a pipe, with colours as escape sequences, so curses would
 * need a second way to draw them; it would take about as many lines as it saves here, and a
 * library. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/err.h"

struct terminal;

/* Whether stdout is a terminal that can move its cursor (TERM is set, and not "dumb"). */
bool terminal_is_live(void);
/* Whether to colour: on a terminal (TERM may be unset, but not "dumb"), unless the option or
 * NO_COLOR forbids it. */
bool terminal_wants_colour(bool no_color);
/* The size of stdout's terminal; 80 x 24 where there is none, or where it does not know. */
void terminal_size(size_t *columns, size_t *lines);

/* Takes the terminal: the alternate screen, no cursor, keys neither echoed nor held back; watches
 * signals (interrupt_watch_terminal). On 0 `*out` is to be closed, whatever ended the command;
 * closing NULL does nothing. */
int terminal_open(struct terminal **out, struct err *err);
void terminal_close(struct terminal *);

/* Shows lines that end in newlines, from the top; each is clipped to the width, and what is below
 * the last line of the screen is left out. 0, or -EIO when the terminal has gone. */
int terminal_show(struct terminal *, const char *text, struct err *err);

/* What terminal_wait came back for, as bits. */
enum terminal_event {
    TERMINAL_FEED = 1 << 0,
    TERMINAL_KEYS = 1 << 1,
    TERMINAL_REDRAW = 1 << 2, /* of another size, or back from Ctrl-Z */
};

/* Waits up to `timeout_ms` for bytes of the feed (`feed_fd`, -1: none), keys, or a new size.
 * Returns the bits, 0 when the time is over, or -EINTR after an interrupt. */
int terminal_wait(struct terminal *, int feed_fd, int timeout_ms);

/* Reads keys. Returns their bytes, 0 when there are none, or -EIO when the terminal has gone. */
int terminal_read(struct terminal *, char *buffer, size_t size);
