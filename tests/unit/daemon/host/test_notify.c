#include "daemon/host/notify.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Far more than a socket takes that nobody reads. */
#define SENDS_MAX 100000

/* A manager's socket, which NOTIFY_SOCKET names: a path, or an abstract name. */
static int manager_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    memcpy(address.sun_path, name, strlen(name));
    if (*name == '@')
        address.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static void expect_message(int fd, const char *text)
{
    char got[64] = "";

    assert_int_equal(recv(fd, got, sizeof got - 1, MSG_DONTWAIT), strlen(text));
    assert_string_equal(got, text);
}

static void a_manager_hears_us(void **state)
{
    char names[2][64];

    (void)state;
    snprintf(names[0], sizeof names[0], "/tmp/richd-notify-%d", (int)getpid());
    snprintf(names[1], sizeof names[1], "@richd-notify-%d", (int)getpid());
    for (int i = 0; i < 2; i++) {
        int fd = manager_socket(names[i]);

        assert_int_equal(notify_send("READY=1"), 0);
        expect_message(fd, "READY=1");
        close(fd);
        assert_int_equal(notify_send("READY=1"), -ECONNREFUSED);
    }
    unlink(names[0]);
    assert_int_equal(notify_send("READY=1"), -ECONNREFUSED);
}

/* A call that waited would never come back here. */
static void a_manager_that_reads_nothing_is_not_waited_for(void **state)
{
    char name[64];
    int fd, n = 0, rc = 0;

    (void)state;
    snprintf(name, sizeof name, "@richd-notify-full-%d", (int)getpid());
    fd = manager_socket(name);
    while (rc == 0 && n++ < SENDS_MAX)
        rc = notify_send("WATCHDOG=1");
    assert_int_equal(rc, -EAGAIN);
    expect_message(fd, "WATCHDOG=1");
    assert_int_equal(notify_send("WATCHDOG=1"), 0);
    close(fd);
}

static void without_a_manager_nothing_is_said(void **state)
{
    char long_name[200] = "/";

    (void)state;
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(notify_send("READY=1"), 0);
    setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
    assert_int_equal(notify_send("READY=1"), -EAFNOSUPPORT);
    setenv("NOTIFY_SOCKET", "@", 1);
    assert_int_equal(notify_send("READY=1"), -EINVAL);
    memset(long_name, '/', sizeof long_name - 1);
    setenv("NOTIFY_SOCKET", long_name, 1);
    assert_int_equal(notify_send("READY=1"), -EINVAL);
}

static void the_watchdog_watches_one_process(void **state)
{
    char pid[32];

    (void)state;
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    assert_int_equal(notify_watchdog_us(), 0);
    setenv("WATCHDOG_USEC", "20000000", 1);
    assert_int_equal(notify_watchdog_us(), 20000000);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(notify_watchdog_us(), 0);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(notify_watchdog_us(), 20000000);
    setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(notify_watchdog_us(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manager_hears_us),
        cmocka_unit_test(a_manager_that_reads_nothing_is_not_waited_for),
        cmocka_unit_test(without_a_manager_nothing_is_said),
        cmocka_unit_test(the_watchdog_watches_one_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
