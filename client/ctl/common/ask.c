#include "client/ctl/common/ask.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "client/ctl/common/text.h"

bool ask_is_possible(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

int ask(const char *question, struct err *err)
{
    char answer[16] = "";

    text_print(question, stderr);
    fputs(" [y/N] ", stderr);
    if (fgets(answer, sizeof answer, stdin) &&
        (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0))
        return 0;
    return err_set(err, -ECANCELED, "nothing has changed");
}
