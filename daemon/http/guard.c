#include "daemon/http/parts.h"
#include "proto/base/clock.h"

/* Wrong tokens are counted by address. An address with too many is not listened to, right tokens or
 * wrong, so that guessing is slow. The loopback is all users of this machine, and a proxy that
 * nobody named: there a right token gets in, as one of them could else lock the others out. Tested
 * by tests/e2e/read/test_tokens_of_people.py. */

static enum http_code refuse(unsigned wait_s, struct err *err)
{
    return err_set(err, HTTP_TOO_MANY, "too many wrong tokens from this address: wait %u s",
                   wait_s);
}

static enum http_code note_failure(struct http *http, const struct in6_addr *from,
                                   const char *token, unsigned *wait_s, struct err *err)
{
    const int64_t now_ms = clock_monotonic_ms();
    uint8_t digest[SHA256_SIZE];
    char text[INET6_ADDRSTRLEN];

    sha256(token, strlen(token), digest);
    *wait_s = failures_wait_s(http->failures, from, now_ms);
    if (*wait_s > 0)
        return refuse(*wait_s, err);
    failures_add(http->failures, from, digest, now_ms);
    log_warn_limited(&http->failures_limit, "http: a wrong token from %s",
                     inet_ntop(AF_INET6, from, text, sizeof text));
    return HTTP_UNAUTHORIZED;
}

enum http_code http_guard_check(struct http *http, const struct in6_addr *from, const char *token,
                                unsigned *wait_s, struct err *err)
{
    enum http_code code;

    *wait_s =
        proxies_is_loopback(from) ? 0 : failures_wait_s(http->failures, from, clock_monotonic_ms());
    if (*wait_s > 0)
        return refuse(*wait_s, err);
    code = http_access_check_reader(http->access, token, err);
    return code == HTTP_UNAUTHORIZED ? note_failure(http, from, token, wait_s, err) : code;
}

bool http_guard_lets_in(const struct http *http, const struct in6_addr *from)
{
    return !http->is_clear || proxies_is_loopback(from) || proxies_have(&http->proxies, from);
}

/* With the rights of its token, or less. */
static bool has_lost(const struct http_peer *peer)
{
    unsigned rights =
        peer->has_token ? http_access_rights(peer->http->access, peer->digest) : TOKEN_NONE;
    bool writes = peer->kind == HTTP_SOCKET && peer->socket.may_write;

    return peer->has_token && (!(rights & TOKEN_READS) || (writes && !(rights & TOKEN_EDITS)));
}

void http_guard_tick(struct http *http)
{
    struct err err = {""};
    int rc = http->named ? tokens_refresh(http->named, false, &err) : 0;

    if (rc < 0)
        log_error("http: the tokens stay as they were: %s", err.text);
    if (rc <= 0)
        return;
    log_info("http: the tokens were read again");
    LIST_EACH_SAFE(at, &http->peers)
    {
        struct http_peer *peer = LIST_ENTRY(at, struct http_peer, link);

        if (has_lost(peer))
            http_peer_cut(peer);
    }
}
