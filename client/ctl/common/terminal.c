#include "client/ctl/common/terminal.h"

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

/* A terminal that does not say what it is, TERM being unset, is `unknown`. */
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
    struct winsize w = {0};

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col == 0 || w.ws_row == 0)
        w = (struct winsize){.ws_col = FALLBACK_COLUMNS, .ws_row = FALLBACK_LINES};
    *columns = w.ws_col;
    *lines = w.ws_row;
}

static int write_all(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, text, size);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};

            poll(&p, 1, 1000);
        } else if (n < 0 && errno != EINTR) {
            return -EIO;
        } else if (n > 0) {
            text += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

/* Ctrl-C stays a signal: it works while an answer is awaited, too. */
static int enter(struct terminal *t)
{
    struct termios now = t->before;

    now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    now.c_cc[VMIN] = 1;
    now.c_cc[VTIME] = 0;
    if (t->has_keys)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &now);
    return write_all(ENTER, strlen(ENTER));
}

static void leave(struct terminal *t)
{
    write_all(LEAVE, strlen(LEAVE));
    if (t->has_keys)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &t->before);
}

/* What was shown is no longer there. */
static void forget(struct terminal *t)
{
    for (size_t i = 0; i < t->n_shown; i++)
        free(t->shown[i]);
    free(t->shown);
    t->shown = NULL;
    t->n_shown = 0;
}

int terminal_open(struct terminal **out, struct err *e)
{
    struct terminal *t = calloc(1, sizeof *t);

    *out = t;
    if (!t)
        return err_set(e, -ENOMEM, "out of memory");
    t->has_keys = tcgetattr(STDIN_FILENO, &t->before) == 0;
    interrupt_watch_terminal();
    if (enter(t) == 0)
        return 0;
    terminal_close(t);
    *out = NULL;
    return err_set(e, -EIO, "the terminal has gone");
}

void terminal_close(struct terminal *t)
{
    if (!t)
        return;
    leave(t);
    forget(t);
    free(t);
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

static bool same(const struct terminal *t, size_t line, const char *text)
{
    return t->shown && line < t->n_shown && t->shown[line] && text &&
           strcmp(t->shown[line], text) == 0;
}

/* Erases before it writes: an erasure at the right edge would take the last glyph with it. */
static void print_lines(const struct terminal *t, char *const lines[], size_t n, FILE *out)
{
    if (!t->shown)
        fputs("\033[2J", out);
    for (size_t i = 0; i < n; i++) {
        if (!same(t, i, lines[i]))
            fprintf(out, "\033[%zu;1H\033[0m\033[2K%s", i + 1, lines[i] ? lines[i] : "");
    }
    if (n < t->n_shown)
        fprintf(out, "\033[%zu;1H\033[0m\033[J", n + 1);
}

int terminal_show(struct terminal *t, const char *text, struct err *e)
{
    size_t columns, height, n = 0, size = 0;
    char *bytes = NULL, **lines;
    FILE *out = open_memstream(&bytes, &size);
    int rc = 0;

    terminal_size(&columns, &height);
    lines = out ? clip(text, columns, height, &n) : NULL;
    if (lines)
        print_lines(t, lines, n, out);
    if (!out || fclose(out) != 0 || !lines)
        rc = err_set(e, -ENOMEM, "out of memory");
    else if (write_all(bytes, size) < 0)
        rc = err_set(e, -EIO, "the terminal has gone");
    free(bytes);
    forget(t);
    t->shown = lines;
    t->n_shown = n;
    return rc;
}

/* Stops as Ctrl-Z should have done, with the terminal given back for that time. */
static void pause_here(struct terminal *t)
{
    leave(t);
    raise(SIGSTOP);
    enter(t);
}

int terminal_wait(struct terminal *t, int feed_fd, int timeout_ms)
{
    struct pollfd fds[] = {{.fd = feed_fd, .events = POLLIN},
                           {.fd = t->has_keys ? STDIN_FILENO : -1, .events = POLLIN}};
    struct timespec left = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
    bool redraw;
    int rc;

    if (interrupt_pending())
        return -EINTR;
    rc = ppoll(fds, 2, &left, interrupt_mask());
    if (interrupt_pending())
        return -EINTR;
    redraw = interrupt_take_resize();
    if (interrupt_take_pause()) {
        pause_here(t);
        redraw = true;
    }
    if (redraw)
        forget(t);
    return (rc > 0 && fds[0].revents ? TERMINAL_FEED : 0) |
           (rc > 0 && fds[1].revents ? TERMINAL_KEYS : 0) | (redraw ? TERMINAL_REDRAW : 0);
}

int terminal_read(struct terminal *t, char *buffer, size_t size)
{
    ssize_t n = t->has_keys ? read(STDIN_FILENO, buffer, size) : 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return n > 0 ? (int)n : -EIO;
}
