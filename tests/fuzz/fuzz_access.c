/* Who may ask over HTTP (daemon/http/access.h). An input is four texts, each ended by NUL: Host,
 * Origin, Authorization, and a token that came by itself. What is let in is compared with a second
 * form of the rule. */
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/http/access.h"

#define READS  "0123456789abcdef"
#define WRITES "fedcba9876543210"

static struct http_access *access_of_ours(void)
{
    static const char tokens[] = "read " READS "\nwrite " WRITES "\n";
    static struct http_access *access;
    struct err err = {""};
    char path[64];
    int fd;

    if (access)
        return access;
    fd = memfd_create("tokens", MFD_CLOEXEC);
    REQUIRE(fd >= 0 && fchmod(fd, 0600) == 0);
    REQUIRE(write(fd, tokens, strlen(tokens)) == (ssize_t)strlen(tokens));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    REQUIRE(http_access_new("127.0.0.7:8080", "gpu3,gpu3.example.org", path, &access, &err) == 0);
    close(fd);
    return access;
}

/* A name of ours, with a port of digits or without one. */
static int is_our_host(const char *host)
{
    static const char *const ours[] = {"localhost", "127.0.0.1", "[::1]",
                                       "127.0.0.7", "gpu3",      "gpu3.example.org"};

    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        size_t n = strlen(ours[i]);

        if (strncasecmp(host, ours[i], n) != 0)
            continue;
        if (host[n] == '\0' || (host[n] == ':' && host[n + 1] &&
                                strspn(host + n + 1, "0123456789") == strlen(host + n + 1)))
            return 1;
    }
    return 0;
}

static int is_host_in(const char *origin, const char *host)
{
    char page[2][4200];

    snprintf(page[0], sizeof page[0], "http://%s", host);
    snprintf(page[1], sizeof page[1], "https://%s", host);
    return (strcasecmp(origin, page[0]) == 0 && strncmp(origin, "http://", 7) == 0) ||
           (strcasecmp(origin, page[1]) == 0 && strncmp(origin, "https://", 8) == 0);
}

static void require_names(const struct http_asker *asker)
{
    struct err err = {""};
    enum http_code code = http_access_check_names(access_of_ours(), asker, &err);
    int is_good = asker->host && is_our_host(asker->host) &&
                  (!asker->origin || is_host_in(asker->origin, asker->host));

    REQUIRE((code == HTTP_OK) == is_good);
    if (code != HTTP_OK)
        require_sentence(&err);
}

static void require_token(const struct http_asker *asker, const char *token)
{
    struct err err = {""};
    const char *sent = asker->authorization;
    enum http_code code = http_access_check_token(access_of_ours(), asker, &err);

    if (sent && strncasecmp(sent, "Bearer ", 7) == 0 && strcmp(sent + 7, READS) == 0)
        REQUIRE(code == HTTP_OK);
    else
        REQUIRE(code == HTTP_UNAUTHORIZED || code == HTTP_FORBIDDEN);
    code = http_access_check_reader(access_of_ours(), token, &err);
    REQUIRE((code == HTTP_OK) == (strcmp(token, READS) == 0));
    REQUIRE((code == HTTP_FORBIDDEN) == (strcmp(token, WRITES) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text[4] = {NULL};

    if (size > 4096)
        return 0;
    for (int i = 0; i < 4; i++) {
        const uint8_t *end = memchr(data, 0, size);
        size_t n = end ? (size_t)(end - data) : size;

        text[i] = strndup((const char *)data, n);
        n += end != NULL;
        data += n;
        size -= n;
    }
    struct http_asker asker = {.host = text[0],
                               .origin = *text[1] ? text[1] : NULL,
                               .authorization = *text[2] ? text[2] : NULL};

    require_names(&asker);
    require_token(&asker, text[3]);
    for (int i = 0; i < 4; i++)
        free(text[i]);
    return 0;
}
