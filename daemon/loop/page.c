#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/host/log.h"
#include "daemon/http/token.h"
#include "daemon/loop/parts.h"
#include "proto/base/address.h"

/* Tested by tests/e2e/read/test_the_page_is_there_unasked.py. */

/* Of arXiv 2410.04264. Below 32768, from where the kernel gives ports to others. */
#define PAGE_ADDRESS "127.0.0.1:24104"

static bool is_ready(void *arg)
{
    return ((struct loop *)arg)->state == LOOP_RUNNING;
}

/* What the page's address is, for a person: with the token behind #, which a browser keeps. "" is
 * none. */
static void note_address(struct loop *loop, const char *to_write, const char *to_read)
{
    const char *http = http_address(loop->http);

    if (!http)
        return;
    snprintf(loop->page, sizeof loop->page, "%s/%s%s", http, *to_write ? "#token=" : "", to_write);
    snprintf(loop->page_of_readers, sizeof loop->page_of_readers, "%s/%s%s", http,
             *to_read ? "#token=" : "", to_read);
}

/* At an address of the loopback that was asked for, where no file names tokens. */
static bool reads_freely(const struct loop *loop)
{
    const char *where = loop->config->value[OPTION_HTTP];
    struct address address;

    return !loop->config->value[OPTION_TOKEN_FILE] && address_parse(where, &address) == 0 &&
           address_is_loopback(&address);
}

/* Our own tokens, where --token-file names none. */
static int keep_tokens(struct loop *loop, struct http_config *config, struct http_tokens *tokens,
                       struct err *err)
{
    int rc = 0;

    if (!config->token_file)
        rc = http_token_keep(loop->state_dir, tokens, &loop->token_path, err);
    if (rc == 0 && loop->token_path)
        config->token_file = loop->token_path;
    return rc;
}

/* Nobody asked for the page, so nothing that it lacks ends the start. */
static void open_unasked(struct loop *loop, struct http_config *config)
{
    struct http_tokens tokens = {.read = ""};
    struct err err;
    int rc = keep_tokens(loop, config, &tokens, &err);

    config->address = PAGE_ADDRESS;
    config->may_move = true;
    if (rc == 0)
        rc = http_open(&loop->uv, config, loop->hub, &loop->http, &err);
    if (rc < 0)
        log_warn("there is no page: %s", err.text);
    else
        note_address(loop, tokens.write, tokens.read);
}

/* On the loopback, who asks for an address reads there without a token, if none was named. The
 * owner writes with the own one all the same; without it nobody does. Over a network nobody reads
 * without one. */
static int open_asked(struct loop *loop, struct http_config *config, struct err *err)
{
    struct http_tokens tokens = {.read = ""};
    struct err why;
    int rc;

    config->reads_freely = reads_freely(loop);
    rc = keep_tokens(loop, config, &tokens, &why);
    if (rc < 0 && !config->reads_freely)
        return err_set(err, rc, "there is no token for HTTP: %s", why.text);
    if (rc < 0) {
        log_warn("nobody may write over HTTP: %s", why.text);
        tokens = (struct http_tokens){.read = ""};
    }
    rc = http_open(&loop->uv, config, loop->hub, &loop->http, err);
    if (rc == 0)
        note_address(loop, tokens.write, config->reads_freely ? "" : tokens.read);
    return rc;
}

int loop_open_page(struct loop *loop, struct err *err)
{
    char *const *value = loop->config->value;
    const char *where = value[OPTION_HTTP];
    struct http_config config = {
        .address = where,
        .hosts = value[OPTION_HTTP_HOST],
        .token_file = value[OPTION_TOKEN_FILE],
        .certificate = value[OPTION_TLS_CERTIFICATE],
        .key = value[OPTION_TLS_KEY],
        .proxies = value[OPTION_HTTP_PROXY],
        .state_dir = loop->state_dir,
        .is_ready = is_ready,
        .arg = loop,
    };

    if (strcmp(where, "off") == 0)
        return 0;
    if (strcmp(where, "on") == 0) {
        open_unasked(loop, &config);
        return 0;
    }
    return open_asked(loop, &config, err);
}

/* Also when neither option differs: the file of tokens may. */
void loop_set_access(struct loop *loop)
{
    char *const *value = loop->config->value;
    const char *tokens = value[OPTION_TOKEN_FILE];
    struct http_config config = {
        .hosts = value[OPTION_HTTP_HOST],
        .token_file = tokens ? tokens : loop->token_path,
        .reads_freely = reads_freely(loop),
    };
    struct err err;

    if (*loop->page && http_set_access(loop->http, &config, &err) < 0)
        log_error("http: names and tokens stay as they were: %s", err.text);
}

const char *loop_http_address(const struct loop *loop)
{
    return *loop->page ? http_address(loop->http) : NULL;
}
