#include "client/common/lives.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

static int bound(const struct sockaddr *to, socklen_t size)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, to, size), 0);
    return fd;
}

static void a_path_lives_while_somebody_listens(void **state)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char folder[] = "/tmp/richd-lives-XXXXXX", feed[128];
    int fd;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(to.sun_path, sizeof to.sun_path, "%s/feed", folder);
    snprintf(feed, sizeof feed, "unix:%s", to.sun_path);
    assert_false(lives_at(feed));
    fd = bound((struct sockaddr *)&to, sizeof to);
    assert_false(lives_at(feed));
    assert_int_equal(listen(fd, 1), 0);
    for (int i = 0; i < 8; i++) /* nobody accepts: a full queue lives, too */
        assert_true(lives_at(feed));
    close(fd);
    assert_false(lives_at(feed));
    unlink(to.sun_path);
    rmdir(folder);
}

static void a_port_lives_while_somebody_listens(void **state)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof to;
    char feed[64];
    int fd = bound((struct sockaddr *)&to, size);

    (void)state;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &size), 0);
    snprintf(feed, sizeof feed, "tcp:127.0.0.1:%d", ntohs(to.sin_port));
    assert_false(lives_at(feed));
    assert_int_equal(listen(fd, 1), 0);
    assert_true(lives_at(feed));
    close(fd);
    assert_false(lives_at(feed));
}

static void what_cannot_be_said_counts_as_living(void **state)
{
    static const char *const unknown[] = {"", "pigeon:7", "tcp:a.name:7", "tcp:nonsense"};
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_true(lives_at(unknown[i]));
    memset(text, 'x', sizeof text);
    memcpy(text, "unix:/", 6);
    text[sizeof text - 1] = '\0';
    assert_true(lives_at(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_lives_while_somebody_listens),
        cmocka_unit_test(a_port_lives_while_somebody_listens),
        cmocka_unit_test(what_cannot_be_said_counts_as_living),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
