#include "client/ctl/common/terminal.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "client/ctl/common/interrupt.h"
#include "client/ctl/common/text.h"

#define FALLBACK_COLUMNS 80
#define FALLBACK_LINES   24

/* The alternate screen, no wrapping at the right edge (a glyph that the terminal draws wider than
 * we think must not move the lines below it), no cursor; and back. */
#define ENTER "\033[?1049h\033[?7l\033[?25l\033[H\033[2J"
#define LEAVE "\033[?25h\033[?7h\033[?1049l"

struct terminal {
    bool has_keys;
    struct termios before;
    char **shown; /* lines on the screen */
    size_t n_shown;
};

/* `unknown` is the answer for a terminal without TERM. */
static bool obeys(bool unknown)
{
    const char *term = getenv("TERM");

    if (!isatty(STDOUT_FILENO))
        return false;
    return term && *term ? strcmp(term, "dumb") != 0 : unknown;
}

bool terminal_is_live(void)
{
    return obeys(false);
}

bool terminal_wants_colour(bool no_color)
{
    const char *variable = getenv("NO_COLOR");

    return !no_color && !(variable && *variable) && obeys(true);
}

void terminal_size(size_t *columns, size_t *lines)
{
    struct winsize window = {0};

    assert(columns && lines);
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) < 0 || window.ws_col == 0 || window.ws_row == 0)
        window = (struct winsize){.ws_col = FALLBACK_COLUMNS, .ws_row = FALLBACK_LINES};
    *columns = window.ws_col;
    *lines = window.ws_row;
}

static int write_all(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, text, size);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd pollfd = {.fd = STDOUT_FILENO, .events = POLLOUT};

            poll(&pollfd, 1, 1000);
        } else if (n < 0 && errno != EINTR) {
            return -EIO;
        } else if (n > 0) {
            text += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

/* Ctrl-C stays a signal: it also ends a wait for an answer. */
static int enter(struct terminal *terminal)
{
    struct termios now = terminal->before;

    now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    if (terminal->has_keys)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &now);
    return write_all(ENTER, strlen(ENTER));
}

static void leave(struct terminal *terminal)
{
    write_all(LEAVE, strlen(LEAVE));
    if (terminal->has_keys)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->before);
}

/* The next screen is written whole. */
static void forget(struct terminal *terminal)
{
    for (size_t i = 0; i < terminal->n_shown; i++)
        free(terminal->shown[i]);
    free(terminal->shown);
    terminal->shown = NULL;
    terminal->n_shown = 0;
}

int terminal_open(struct terminal **out, struct err *err)
{
    struct terminal *terminal = calloc(1, sizeof *terminal);

    assert(out);
    *out = terminal;
    if (!terminal)
        return err_set(err, -ENOMEM, "out of memory");
    terminal->has_keys = tcgetattr(STDIN_FILENO, &terminal->before) == 0;
    interrupt_watch_terminal();
    if (enter(terminal) == 0)
        return 0;
    terminal_close(terminal);
    *out = NULL;
    return err_set(err, -EIO, "the terminal has gone");
}

void terminal_close(struct terminal *terminal)
{
    if (!terminal)
        return;
    leave(terminal);
    forget(terminal);
    free(terminal);
}

/* The lines of `text`, clipped; NULL without memory. `*n` is their number, at most `lines`. */
static char **clip(const char *text, size_t columns, size_t lines, size_t *n)
{
    char **out = calloc(lines + 1, sizeof *out);

    for (*n = 0; out && *text && *n < lines; text += strcspn(text, "\n"), text += *text == '\n') {
        char *line = strndup(text, strcspn(text, "\n"));

        if (line)
            text_clip(line, columns);
        out[(*n)++] = line;
    }
    return out;
}

static bool same(const struct terminal *terminal, size_t line, const char *text)
{
    return terminal->shown && line < terminal->n_shown && terminal->shown[line] && text &&
           strcmp(terminal->shown[line], text) == 0;
}

/* Erases before it writes: an erasure at the right edge would take the last glyph with it. */
static void print_lines(const struct terminal *terminal, char *const lines[], size_t n, FILE *out)
{
    if (!terminal->shown)
        fputs("\033[2J", out);
    for (size_t i = 0; i < n; i++) {
        if (!same(terminal, i, lines[i]))
            fprintf(out, "\033[%zu;1H\033[0m\033[2K%s", i + 1, lines[i] ? lines[i] : "");
    }
    if (n < terminal->n_shown)
        fprintf(out, "\033[%zu;1H\033[0m\033[J", n + 1);
}

int terminal_show(struct terminal *terminal, const char *text, struct err *err)
{
    size_t columns, height, n = 0, size = 0;
    char *bytes = NULL, **lines;
    FILE *out = open_memstream(&bytes, &size);
    int rc = 0;

    assert(terminal && text);
    terminal_size(&columns, &height);
    lines = out ? clip(text, columns, height, &n) : NULL;
    if (lines)
        print_lines(terminal, lines, n, out);
    if (!out || fclose(out) != 0 || !lines)
        rc = err_set(err, -ENOMEM, "out of memory");
    else if (write_all(bytes, size) < 0)
        rc = err_set(err, -EIO, "the terminal has gone");
    free(bytes);
    forget(terminal);
    terminal->shown = lines;
    terminal->n_shown = n;
    return rc;
}

/* Stops as Ctrl-Z should have done, with the terminal given back for that time. */
static void pause_here(struct terminal *terminal)
{
    leave(terminal);
    raise(SIGSTOP);
    enter(terminal);
}

int terminal_wait(struct terminal *terminal, int feed_fd, int timeout_ms)
{
    struct pollfd fds[] = {{.fd = feed_fd, .events = POLLIN},
                           {.fd = terminal->has_keys ? STDIN_FILENO : -1, .events = POLLIN}};
    struct timespec left = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
    bool redraw;
    int rc;

    assert(timeout_ms >= 0);
    if (interrupt_pending())
        return -EINTR;
    rc = ppoll(fds, 2, &left, interrupt_mask());
    if (interrupt_pending())
        return -EINTR;
    redraw = interrupt_take_resize();
    if (interrupt_take_pause()) {
        pause_here(terminal);
        redraw = true;
    }
    if (redraw)
        forget(terminal);
    return (rc > 0 && fds[0].revents ? TERMINAL_FEED : 0) |
           (rc > 0 && fds[1].revents ? TERMINAL_KEYS : 0) | (redraw ? TERMINAL_REDRAW : 0);
}

int terminal_read(struct terminal *terminal, char *buffer, size_t size)
{
    ssize_t n;

    assert(terminal && size > 0);
    n = terminal->has_keys ? read(STDIN_FILENO, buffer, size) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return n > 0 ? (int)n : -EIO;
}
