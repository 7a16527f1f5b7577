#include "daemon/host/lock.h"

#include "tests/lib/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void the_second_is_refused_and_told_who_holds_it(void **state)
{
    char dir[] = "/tmp/test_lock-XXXXXX", path[64], pid[32];
    struct err e = {""};
    int first, second;

    (void)state;
    assert_non_null(mkdtemp(dir));
    first = lock_take(dir, &e);
    assert_true(first >= 0);
    second = lock_take(dir, &e);
    assert_int_equal(second, -EBUSY);
    snprintf(pid, sizeof pid, "pid %d)", (int)getpid());
    assert_non_null(strstr(e.text, pid));
    lock_release(first);
    second = lock_take(dir, &e);
    assert_true(second >= 0);
    lock_release(second);
    lock_release(-1);
    snprintf(path, sizeof path, "%s/richd.lock", dir);
    unlink(path);
    rmdir(dir);
    assert_int_equal(lock_take(dir, &e), -ENOENT);
}

static void a_socket_that_somebody_listens_at_is_not_replaced(void **state)
{
    char dir[] = "/tmp/test_lock-XXXXXX", address[128];
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct err e = {""};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(name.sun_path, sizeof name.sun_path, "%s/s", dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(fd, 1), 0);
    snprintf(address, sizeof address, "ipc://%s", name.sun_path);
    assert_int_equal(lock_check_socket(address, &e), -EADDRINUSE);
    snprintf(address, sizeof address, "unix:%s", name.sun_path);
    assert_int_equal(lock_check_socket(address, &e), -EADDRINUSE);
    close(fd); /* the file stays, as after a crash */
    assert_int_equal(lock_check_socket(address, &e), 0);
    assert_int_equal(lock_check_socket("tcp:127.0.0.1:80", &e), 0);
    unlink(name.sun_path);
    rmdir(dir);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void what_is_no_socket_is_not_replaced(void **state)
{
    char dir[] = "/tmp/test_lock-XXXXXX", path[64], link[64], address[80];
    struct err e = {""};

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/notes", dir);
    snprintf(link, sizeof link, "%s/link", dir);
    write_text(path, "mine");
    assert_int_equal(symlink(path, link), 0);

    snprintf(address, sizeof address, "unix:%s", path);
    assert_int_equal(lock_check_socket(address, &e), -EEXIST);
    assert_non_null(strstr(e.text, "there is a file"));
    snprintf(address, sizeof address, "ipc://%s", link);
    assert_int_equal(lock_check_socket(address, &e), -EEXIST);
    assert_non_null(strstr(e.text, "there is a symbolic link"));
    assert_int_equal(unlink(path), 0); /* also where it leads nowhere */
    assert_int_equal(lock_check_socket(address, &e), -EEXIST);
    snprintf(address, sizeof address, "ipc://%s", dir);
    assert_int_equal(lock_check_socket(address, &e), -EEXIST);
    assert_non_null(strstr(e.text, "there is a directory"));
    snprintf(address, sizeof address, "ipc://%s/absent", dir);
    assert_int_equal(lock_check_socket(address, &e), 0);
    snprintf(address, sizeof address, "ipc://%s/link/socket", dir);
    assert_int_equal(lock_check_socket(address, &e), 0);
    unlink(link);
    rmdir(dir);
}

static void a_socket_of_another_kind_is_not_replaced(void **state)
{
    char dir[] = "/tmp/test_lock-XXXXXX", address[128];
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct err e = {""};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(name.sun_path, sizeof name.sun_path, "%s/s", dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
    snprintf(address, sizeof address, "ipc://%s", name.sun_path);
    assert_int_equal(lock_check_socket(address, &e), -EPROTOTYPE);
    close(fd);
    assert_int_equal(lock_check_socket(address, &e), 0);
    unlink(name.sun_path);
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_is_refused_and_told_who_holds_it),
        cmocka_unit_test(a_socket_that_somebody_listens_at_is_not_replaced),
        cmocka_unit_test(what_is_no_socket_is_not_replaced),
        cmocka_unit_test(a_socket_of_another_kind_is_not_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
