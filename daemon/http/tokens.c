#include "daemon/http/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/list.h"

/* More than a lab has programs. */
#define TOKENS_MAX 4096
#define HASHED     "sha256:"

struct token {
    struct list link;
    unsigned rights;
    uint8_t digest[SHA256_SIZE];
};

struct tokens {
    char *path;
    bool may_lack;
    struct stat seen; /* of the file that was tried last */
    struct list list;
};

static void free_list(struct list *list)
{
    LIST_EACH_SAFE(at, list)
    {
        free(LIST_ENTRY(at, struct token, link));
    }
    list_init(list);
}

struct tokens *tokens_new(const char *path, bool may_lack)
{
    struct tokens *tokens = calloc(1, sizeof *tokens);

    if (!tokens)
        return NULL;
    list_init(&tokens->list);
    tokens->may_lack = may_lack;
    tokens->path = strdup(path);
    if (tokens->path)
        return tokens;
    free(tokens);
    return NULL;
}

void tokens_free(struct tokens *tokens)
{
    if (!tokens)
        return;
    free_list(&tokens->list);
    free(tokens->path);
    free(tokens);
}

/* ---- a line ---------------------------------------------------------------------------------- */

#define NOT_A_LINE "not `read TOKEN`, `write TOKEN` or `read,write TOKEN`"

static unsigned rights_of(const char *word)
{
    if (strcmp(word, "read") == 0)
        return TOKEN_READS;
    if (strcmp(word, "write") == 0)
        return TOKEN_WRITES;
    return strcmp(word, "read,write") == 0 ? TOKEN_READS | TOKEN_WRITES | TOKEN_EDITS : TOKEN_NONE;
}

static int take_token(struct token *token, const char *text, struct err *err)
{
    size_t n = strlen(text);

    if (strncmp(text, HASHED, strlen(HASHED)) == 0)
        return sha256_scan(text + strlen(HASHED), token->digest)
                   ? 0
                   : err_set(err, -EBADMSG, "behind " HASHED " stand 64 digits of 0-9 a-f");
    if (n < HTTP_TOKEN_MIN || n > HTTP_TOKEN_MAX)
        return err_set(err, -EBADMSG, "a token has %d to %d characters", HTTP_TOKEN_MIN,
                       HTTP_TOKEN_MAX);
    sha256(text, n, token->digest);
    return 0;
}

static int add_token(struct list *list, const char *rights, const char *text, struct err *err)
{
    struct token *token = calloc(1, sizeof *token);
    int rc;

    if (!token)
        return err_set(err, -ENOMEM, "out of memory");
    token->rights = rights_of(rights);
    rc = token->rights == TOKEN_NONE ? err_set(err, -EBADMSG, NOT_A_LINE)
                                     : take_token(token, text, err);
    if (rc < 0)
        free(token);
    else
        list_append(list, &token->link);
    return rc;
}

/* Two words; and a name behind a hash, which nobody could tell from another. */
static int take_line(struct list *list, const char *line, struct err *err)
{
    char rights[16], text[2 * HTTP_TOKEN_MAX], name[2 * HTTP_TOKEN_MAX], more[2];
    int words = sscanf(line, " %15s %511s %511s %1s", rights, text, name, more), rc;

    if (words <= 0 || *rights == '#')
        return 0;
    if (words != 2 && (words != 3 || strncmp(text, HASHED, strlen(HASHED)) != 0))
        return err_set(err, -EBADMSG, NOT_A_LINE);
    rc = add_token(list, rights, text, err);
    explicit_bzero(text, sizeof text);
    return rc;
}

/* ---- the file -------------------------------------------------------------------------------- */

static int read_lines(FILE *file, const char *path, struct list *list, struct err *err)
{
    char line[3 * HTTP_TOKEN_MAX];
    int rc = 0;

    for (int n = 1; rc == 0 && fgets(line, sizeof line, file); n++) {
        rc = n > TOKENS_MAX ? err_set(err, -EBADMSG, "more than %d lines", TOKENS_MAX)
                            : take_line(list, line, err);
        if (rc < 0)
            err_write_prefix(err, "%s, line %d: ", path, n);
    }
    explicit_bzero(line, sizeof line);
    return rc;
}

static int read_file(const struct tokens *tokens, struct list *list, struct err *err)
{
    FILE *file = fopen(tokens->path, "re");
    struct stat st;
    int rc;

    if (!file && errno == ENOENT && tokens->may_lack)
        return 0;
    if (!file || fstat(fileno(file), &st) < 0)
        rc = err_set(err, -errno, "%s: %s", tokens->path, strerror(errno));
    else if (st.st_mode & (S_IRWXG | S_IRWXO))
        rc = err_set(err, -EPERM, "%s holds secrets and may be read by others: chmod 600",
                     tokens->path);
    else
        rc = read_lines(file, tokens->path, list, err);
    if (rc == 0 && list_empty(list) && !tokens->may_lack)
        rc = err_set(err, -EBADMSG, "%s holds no token", tokens->path);
    if (file)
        fclose(file);
    return rc;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int tokens_refresh(struct tokens *tokens, bool always, struct err *err)
{
    struct stat now = {0};
    struct list fresh;
    int rc;

    if (stat(tokens->path, &now) < 0)
        now = (struct stat){0};
    if (!always && is_same(&now, &tokens->seen))
        return 0;
    tokens->seen = now;
    list_init(&fresh);
    rc = read_file(tokens, &fresh, err);
    if (rc < 0) {
        free_list(&fresh);
        return rc;
    }
    free_list(&tokens->list);
    list_move(&fresh, &tokens->list);
    return 1;
}

unsigned tokens_rights(const struct tokens *tokens, const uint8_t digest[SHA256_SIZE])
{
    unsigned rights = TOKEN_NONE;

    if (!tokens)
        return TOKEN_NONE;
    LIST_EACH(at, &tokens->list)
    {
        const struct token *token = LIST_ENTRY(at, struct token, link);

        rights |= sha256_is_same(token->digest, digest) ? token->rights : TOKEN_NONE;
    }
    return rights;
}
