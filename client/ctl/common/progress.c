#include "client/ctl/common/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "client/ctl/common/text.h"
#include "proto/base/clock.h"

/* What is done by then says nothing on its way. */
#define PROGRESS_AFTER_MS 2000
/* Between two lines of a log, and two drawings of the bar. */
#define PROGRESS_EACH_MS 10000
#define BAR_EACH_MS      100
#define BAR_COLUMNS      30

void progress_init(struct progress *progress)
{
    progress->has_terminal = isatty(STDERR_FILENO);
    progress->has_bar = false;
    progress->tell_at = clock_monotonic_ms() + (progress->has_terminal ? 0 : PROGRESS_AFTER_MS);
}

bool progress_is_due(const struct progress *progress)
{
    return clock_monotonic_ms() >= progress->tell_at;
}

static void draw_bar(double part, const char *name)
{
    static const char full[] = "##############################";

    fprintf(stderr, "\r[%-*.*s] %3d %%  ", BAR_COLUMNS, (int)(part * BAR_COLUMNS), full,
            (int)(100 * part));
    text_print(name, stderr);
    fputs("\033[K", stderr);
}

static void note_told(struct progress *progress)
{
    progress->has_bar = progress->has_terminal;
    progress->tell_at =
        clock_monotonic_ms() + (progress->has_terminal ? BAR_EACH_MS : PROGRESS_EACH_MS);
}

void progress_tell(struct progress *progress, double part, const char *name, const char *what)
{
    part = part > 1 ? 1 : part >= 0 ? part : 0;
    if (progress->has_terminal) {
        draw_bar(part, name);
    } else {
        text_print(name, stderr);
        fprintf(stderr, ": %d %% %s\n", (int)(100 * part), what);
    }
    note_told(progress);
}

void progress_tell_busy(struct progress *progress, const char *what)
{
    fprintf(stderr, progress->has_terminal ? "\r%s ...\033[K" : "%s ...\n", what);
    note_told(progress);
}

void progress_clear(struct progress *progress)
{
    if (progress->has_bar)
        fputs("\r\033[K", stderr);
    progress->has_bar = false;
}
