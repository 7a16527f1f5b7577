#include "tests/lib/child.h"

#include "tests/lib/cmocka.h"

#include <sys/wait.h>
#include <unistd.h>

void assert_holds_in_child(int (*check)(void))
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(check());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
