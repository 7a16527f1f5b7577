#include "client/common/endpoints.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/lib/vectors.h"

static char root[64]; /* '@' in the cases, which also stands in for the machine's own / */

/* ---- a case: proto/vectors/endpoints.json --------------------------------------------------- */

/* The case's text with '@' and "$UID" filled in; NULL where it has none. Holds until four
 * others were asked for. */
static const char *text_of(const cJSON *object, const char *name)
{
    static char texts[4][2048];
    static size_t next;
    const char *from = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    char *out = texts[next++ % 4];
    size_t n = 0;

    if (!from)
        return NULL;
    while (*from) {
        bool is_uid = strncmp(from, "$UID", 4) == 0;

        if (is_uid)
            n += (size_t)sprintf(out + n, "%u", (unsigned)getuid());
        else if (*from == '@')
            n += (size_t)sprintf(out + n, "%s", root);
        else
            out[n++] = *from;
        from += is_uid ? 4 : 1;
    }
    out[n] = '\0';
    return out;
}

static void make_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static void make(const cJSON *entry)
{
    const char *path = text_of(entry, "path"), *link = text_of(entry, "link");
    const char *mode = text_of(entry, "mode");
    const cJSON *owner = cJSON_GetObjectItemCaseSensitive(entry, "owner");
    bool is_directory = cJSON_HasObjectItem(entry, "directory");

    if (link)
        assert_int_equal(symlink(link, path), 0);
    else if (is_directory)
        assert_int_equal(mkdir(path, 0700), 0);
    else
        make_file(path, vectors_text(entry, "text"));
    if (!link)
        assert_int_equal(chmod(path, mode           ? (mode_t)strtoul(mode, NULL, 8)
                                     : is_directory ? 0700
                                                    : 0600),
                         0);
    if (owner)
        assert_int_equal(lchown(path, (uid_t)owner->valueint, (gid_t)-1), 0);
}

static bool needs_root(const cJSON *vector)
{
    const cJSON *entry;

    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(vector, "made"))
    {
        if (cJSON_HasObjectItem(entry, "owner"))
            return true;
    }
    return false;
}

static void set_environment(const cJSON *vector)
{
    const char *names[] = {"RICHD_ENDPOINT", "RICHD_RUNTIME_DIR", "XDG_RUNTIME_DIR"};
    const cJSON *environment = cJSON_GetObjectItemCaseSensitive(vector, "environment");

    for (size_t i = 0; i < 3; i++) {
        const char *value = text_of(environment, names[i]);

        unsetenv(names[i]);
        if (value)
            setenv(names[i], value, 1);
    }
}

/* Those that no case named lie below the root, too: the machine's own are not looked at. */
static void move_below_root(struct endpoints *places)
{
    for (size_t i = 0; i < places->n_directories; i++) {
        char moved[ENDPOINT_SIZE];

        if (strncmp(places->directories[i], root, strlen(root)) == 0)
            continue;
        snprintf(moved, sizeof moved, "%s%.400s", root, places->directories[i]);
        memcpy(places->directories[i], moved, sizeof moved);
    }
}

static int search(const cJSON *vector, struct endpoint *out, struct err *e)
{
    const char *member = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(vector, "member"));
    struct endpoints places;
    int rc;

    set_environment(vector);
    rc = endpoints_init(&places, text_of(vector, "address"), "RICHD_ENDPOINT",
                        text_of(vector, "runtime_dir"), e);
    if (rc < 0)
        return rc;
    move_below_root(&places);
    return endpoints_find(&places, member ? member : "ingest", out, e);
}

static void expect_refusal(const cJSON *refused, int rc, const char *text)
{
    const char *wanted = text_of(refused, "text");

    assert_int_equal(rc, strcmp(vectors_text(refused, "code"), "EPROTO") == 0 ? -EPROTO : -ENOENT);
    if (rc == -ENOENT)
        assert_string_equal(text, wanted);
    assert_memory_equal(text, wanted, strlen(wanted));
}

static void run_case(const cJSON *vector)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(vector, "found"), *entry;
    struct endpoint endpoint;
    struct err e = {""};
    int rc;

    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(vector, "made"))
    {
        make(entry);
    }
    rc = search(vector, &endpoint, &e);
    if (found) {
        assert_string_equal(e.text, "");
        assert_int_equal(rc, 0);
        assert_string_equal(endpoint.address, found->valuestring);
    } else {
        expect_refusal(cJSON_GetObjectItemCaseSensitive(vector, "refused"), rc, e.text);
    }
}

/* ---- the root, one a case ------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void make_root(void)
{
    strcpy(root, "/tmp/richd-test-XXXXXX");
    assert_non_null(mkdtemp(root));
}

static void remove_root(void)
{
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void every_case_of_the_vectors(void **state)
{
    cJSON *vectors = vectors_read("endpoints"), *vector;

    (void)state;
    cJSON_ArrayForEach(vector, vectors)
    {
        if (needs_root(vector) && getuid() != 0) {
            print_message("needs root: %s\n", vectors_text(vector, "name"));
            continue;
        }
        print_message("case: %s\n", vectors_text(vector, "name"));
        make_root();
        run_case(vector);
        remove_root();
    }
    cJSON_Delete(vectors);
}

/* ---- what a case cannot say ------------------------------------------------------------------ */

static void the_places_in_their_order(void **state)
{
    struct endpoints places;
    char own[64], login[64], session[32];

    (void)state;
    unsetenv("RICHD_RUNTIME_DIR");
    setenv("XDG_RUNTIME_DIR", "/session", 1);
    assert_int_equal(endpoints_init(&places, NULL, NULL, NULL, NULL), 0);
    snprintf(own, sizeof own, "/tmp/richd-%u", (unsigned)getuid());
    snprintf(session, sizeof session, "/run/user/%u", (unsigned)getuid());
    snprintf(login, sizeof login, "%s/richd", session);
    assert_int_equal(places.n_directories, 4);
    assert_string_equal(places.directories[0], "/session/richd");
    assert_string_equal(places.directories[1], login);
    assert_string_equal(places.directories[2], "/run/richd");
    assert_string_equal(places.directories[3], own);
    setenv("XDG_RUNTIME_DIR", session, 1);
    assert_int_equal(endpoints_init(&places, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(places.n_directories, 3);
    assert_string_equal(places.directories[0], login);
    unsetenv("XDG_RUNTIME_DIR");
}

static void what_is_too_long_is_refused(void **state)
{
    struct endpoints places;
    char text[ENDPOINT_SIZE + 1];
    struct err e = {""};

    (void)state;
    memset(text, 'x', ENDPOINT_SIZE);
    text[ENDPOINT_SIZE] = '\0';
    assert_int_equal(endpoints_init(&places, text, NULL, NULL, &e), -EINVAL);
    assert_string_equal(e.text, "the daemon's address is longer than 511 bytes");
    assert_int_equal(endpoints_init(&places, NULL, NULL, text, &e), -EINVAL);
    text[ENDPOINT_SIZE - 1] = '\0';
    assert_int_equal(endpoints_init(&places, text, NULL, text, NULL), 0);
    setenv("XDG_RUNTIME_DIR", text, 1);
    assert_int_equal(endpoints_init(&places, NULL, NULL, NULL, &e), -EINVAL);
    assert_string_equal(e.text, "XDG_RUNTIME_DIR is longer than 511 bytes");
    unsetenv("XDG_RUNTIME_DIR");
}

static void files_are_read_at_each_search(void **state)
{
    struct endpoints places;
    struct endpoint found;
    char path[128];

    (void)state;
    make_root();
    snprintf(path, sizeof path, "%s/endpoints.json", root);
    assert_int_equal(endpoints_init(&places, NULL, NULL, root, NULL), 0);
    make_file(path, "{\"ingest\":\"ipc:///one\"}");
    chmod(path, 0600);
    assert_int_equal(endpoints_find(&places, "ingest", &found, NULL), 0);
    assert_string_equal(found.address, "ipc:///one");
    assert_string_equal(found.source, path);
    make_file(path, "{\"ingest\":\"ipc:///two\"}");
    assert_int_equal(endpoints_find(&places, "ingest", &found, NULL), 0);
    assert_string_equal(found.address, "ipc:///two");
    unlink(path);
    assert_int_equal(endpoints_find(&places, "ingest", &found, NULL), -ENOENT);
    remove_root();
}

/* ---- what a killed daemon left ----------------------------------------------------------------
 */

/* A place below the root, whose feed refuses, or takes connections; returns the socket. */
static int make_place(const char *name, bool lives)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char path[128], text[256];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(path, sizeof path, "%s/%s", root, name);
    mkdir(path, 0700);
    snprintf(to.sun_path, sizeof to.sun_path, "%s/%s/feed", root, name);
    unlink(to.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    if (lives)
        assert_int_equal(listen(fd, 8), 0);
    snprintf(path, sizeof path, "%s/%s/endpoints.json", root, name);
    snprintf(text, sizeof text, "{\"ingest\":\"ipc://%s\",\"feed\":\"unix:%s\"}", name,
             to.sun_path);
    make_file(path, text);
    chmod(path, 0600);
    return fd;
}

static struct endpoints two_places(void)
{
    struct endpoints places = {.n_directories = 2};

    snprintf(places.directories[0], ENDPOINT_SIZE, "%s/a", root);
    snprintf(places.directories[1], ENDPOINT_SIZE, "%s/b", root);
    return places;
}

static void expect_found(struct endpoints *places, const char *address)
{
    struct endpoint found;
    struct err e = {""};

    assert_int_equal(endpoints_find(places, "ingest", &found, &e), 0);
    assert_string_equal(found.address, address);
    endpoints_stay(places, &found);
}

static void what_a_killed_daemon_left_hides_no_living_one(void **state)
{
    struct endpoints places;
    int a, b;

    (void)state;
    make_root();
    a = make_place("a", false), b = make_place("b", true);
    places = two_places();
    expect_found(&places, "ipc://b");
    close(b);
    b = make_place("b", false);
    places = two_places();
    expect_found(&places, "ipc://a"); /* where none lives, the first */
    close(a), close(b);
    remove_root();
}

static void a_file_without_sense_ends_the_search_unless_one_counts(void **state)
{
    struct endpoints places;
    struct endpoint found;
    struct err e = {""};
    char path[128];
    int a;

    (void)state;
    make_root();
    a = make_place("a", false);
    close(make_place("b", false));
    snprintf(path, sizeof path, "%s/b/endpoints.json", root);
    make_file(path, "{");
    places = two_places();
    expect_found(&places, "ipc://a");
    snprintf(path, sizeof path, "%s/a/endpoints.json", root);
    make_file(path, "{");
    assert_int_equal(endpoints_find(&places, "ingest", &found, &e), -EPROTO);
    close(a);
    remove_root();
}

static void a_run_stays_with_its_daemon_while_that_is_started_again(void **state)
{
    struct endpoints places, others;
    char path[128];
    int a, b;

    (void)state;
    make_root();
    a = make_place("a", true), b = make_place("b", true);
    places = two_places();
    expect_found(&places, "ipc://a");
    close(a);
    close(make_place("a", false));
    expect_found(&places, "ipc://a");
    others = two_places();
    expect_found(&others, "ipc://b");
    snprintf(path, sizeof path, "%s/a/endpoints.json", root);
    unlink(path);
    expect_found(&places, "ipc://b");
    close(b);
    remove_root();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_of_the_vectors),
        cmocka_unit_test(the_places_in_their_order),
        cmocka_unit_test(what_is_too_long_is_refused),
        cmocka_unit_test(files_are_read_at_each_search),
        cmocka_unit_test(what_a_killed_daemon_left_hides_no_living_one),
        cmocka_unit_test(a_file_without_sense_ends_the_search_unless_one_counts),
        cmocka_unit_test(a_run_stays_with_its_daemon_while_that_is_started_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
