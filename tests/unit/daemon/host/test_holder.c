#include "daemon/host/holder.h"

#include "tests/lib/cmocka.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* A socket of ours that is bound to the loopback of the family; its port in `port`. */
static int bound_socket(int family, uint16_t *port)
{
    struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
    socklen_t size = family == AF_INET ? sizeof *v4 : sizeof(struct sockaddr_in6);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (family == AF_INET)
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(v4->sin_port); /* where sin6_port lies, too */
    return fd;
}

/* What is said of the port, for that reason. */
static const char *said(uint16_t port, int rc)
{
    static char out[HOLDER_SIZE];
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    return holder_describe(address, rc, out);
}

static void who_listens_is_named(void **state)
{
    static const int families[] = {AF_INET, AF_INET6};
    char expected[64];
    uint16_t port;

    (void)state;
    snprintf(expected, sizeof expected, " (held by test_holder, pid %d)", (int)getpid());
    for (size_t i = 0; i < 2; i++) {
        int fd = bound_socket(families[i], &port);

        assert_string_equal(said(port, -EADDRINUSE), "");
        assert_int_equal(listen(fd, 1), 0);
        assert_string_equal(said(port, -EADDRINUSE), expected);
        assert_string_equal(said(port, -EACCES), "");
        close(fd);
        assert_string_equal(said(port, -EADDRINUSE), "");
    }
}

static void a_name_is_written_in_plain_letters(void **state)
{
    char expected[64];
    uint16_t port;
    int fd = bound_socket(AF_INET, &port);

    (void)state;
    assert_int_equal(listen(fd, 1), 0);
    prctl(PR_SET_NAME, "a\033[2J\xc3\xa4 b");
    snprintf(expected, sizeof expected, " (held by a?[2J?? b, pid %d)", (int)getpid());
    assert_string_equal(said(port, -EADDRINUSE), expected);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_listens_is_named),
        cmocka_unit_test(a_name_is_written_in_plain_letters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
