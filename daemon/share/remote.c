#include "daemon/share/remote.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/clock.h"

void remote_text(struct remote_params *params, const char *text)
{
    assert(params->n < REMOTE_PARAMS_MAX);
    params->value[params->n] = text;
    params->length[params->n] = 0;
    params->format[params->n++] = 0;
}

void remote_binary(struct remote_params *params, const char *data, int size)
{
    assert(params->n < REMOTE_PARAMS_MAX);
    params->value[params->n] = data;
    params->length[params->n] = size;
    params->format[params->n++] = 1;
}

/* ---- failures -------------------------------------------------------------------------------- */

/* What its SQLSTATE means for us: the first row whose text it begins with. */
static int translate(const char *state)
{
    static const struct {
        const char *prefix;
        int code;
    } rows[] = {
        {"40", -EAGAIN},        /* serialization, deadlock */
        {"23", -EAGAIN},        /* a number that another daemon was faster to give */
        {"42P07", -EAGAIN},     /* a table that another daemon was faster to create */
        {"42P06", -EAGAIN},     /* and a schema */
        {"42P01", -ENOENT},     /* no such table */
        {"3F000", -ENOENT},     /* no such schema */
        {"42703", -ENODATA},    /* no such column */
        {"25006", -EROFS},      /* a read-only transaction */
        {"53100", -ENOSPC},     /* disk full */
        {"28", -EACCES},        /* a password */
        {"42501", -EACCES},     /* a right */
        {"57P", -ECONNREFUSED}, /* shutting down, starting */
        {"08", -ECONNREFUSED},  /* the connection */
        {"53", -ECONNREFUSED},  /* too many connections, no memory */
    };

    for (size_t i = 0; state && i < sizeof rows / sizeof *rows; i++) {
        if (strncmp(state, rows[i].prefix, strlen(rows[i].prefix)) == 0)
            return rows[i].code;
    }
    return -EPROTO;
}

/* libpq's messages have lines; a sentence has one. */
static void first_line(const char *message, char *out, size_t size)
{
    static const char *const levels[] = {"ERROR:  ", "FATAL:  "};
    size_t length;

    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        const char *found = strstr(message, levels[i]);

        if (found)
            message = found + strlen(levels[i]);
    }
    length = strcspn(message, "\n");
    snprintf(out, size, "%.*s", (int)(length < size ? length : size - 1), message);
}

/* The connection has failed, by libpq's own message. A password that is refused has no SQLSTATE
 * there. */
static int fail_connection(struct remote *remote, struct err *err)
{
    const char *message = PQerrorMessage(remote->connection);
    bool is_refused = strstr(message, "authentication failed") || strstr(message, "no password") ||
                      strstr(message, "does not exist") || strstr(message, "pg_hba.conf");
    char line[300];

    first_line(*message ? message : "the connection has ended", line, sizeof line);
    remote_disconnect(remote);
    return err_set(err, is_refused ? -EACCES : -ECONNREFUSED, "%s: %s", remote->server, line);
}

static int fail_result(struct remote *remote, const PGresult *result, struct err *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    int rc;

    if (!message)
        return fail_connection(remote, err);
    rc = translate(state);
    return err_set(err, rc, "%s: %.300s%s", remote->server, message,
                   rc == -EROFS     ? ": it is a read-only replica"
                   : rc == -ENODATA ? ": its tables are of an older richd, and a daemon of this"
                                      " version that writes there adds it"
                                    : "");
}

/* ---- waiting --------------------------------------------------------------------------------- */

static int await_socket(struct remote *remote, short events, int timeout_ms, struct err *err)
{
    struct pollfd fds[] = {{PQsocket(remote->connection), events, 0}, {remote->stop_fd, POLLIN, 0}};
    int n;

    do {
        n = poll(fds, 2, timeout_ms);
    } while (n < 0 && errno == EINTR);
    if (fds[1].revents) {
        remote_disconnect(remote);
        return err_set(err, -ECANCELED, "%s: richd is stopping", remote->server);
    }
    if (n > 0)
        return 0;
    remote_disconnect(remote);
    return err_set(err, -ECONNREFUSED, "%s: no answer for %d s", remote->server, timeout_ms / 1000);
}

/* Sends what is buffered, and takes what comes meanwhile: a server that cannot write reads no more.
 */
static int flush_all(struct remote *remote, struct err *err)
{
    int left, rc;

    while ((left = PQflush(remote->connection)) != 0) {
        if (left < 0)
            return fail_connection(remote, err);
        rc = await_socket(remote, POLLIN | POLLOUT, 1000 * REMOTE_SILENT_S, err);
        if (rc < 0)
            return rc;
        if (!PQconsumeInput(remote->connection))
            return fail_connection(remote, err);
    }
    return 0;
}

/* The next result is there, or that there is none. */
static int await_result(struct remote *remote, PGresult **out, struct err *err)
{
    int rc;

    *out = NULL;
    while (PQisBusy(remote->connection)) {
        rc = await_socket(remote, POLLIN, 1000 * REMOTE_SILENT_S, err);
        if (rc < 0)
            return rc;
        if (!PQconsumeInput(remote->connection))
            return fail_connection(remote, err);
    }
    *out = PQgetResult(remote->connection);
    return 0;
}

/* ---- connecting ------------------------------------------------------------------------------ */

/* libpq quotes from the address what it could not read, which may be a password: only the sentence
 * before it is told. */
static void leave_quotes_out(char *line)
{
    static const char *const quotes[] = {": \"", " after \""};

    for (size_t i = 0; i < sizeof quotes / sizeof *quotes; i++) {
        char *found = strstr(line, quotes[i]);

        if (found)
            *found = '\0';
    }
}

/* Of a password that has @ or / as they are, libpq takes the rest for a port, a host or a database,
 * which are told to all who may read. A socket without a file begins with @. */
static bool is_of_password(const PQconninfoOption *option)
{
    const char *value = option->val ? option->val : "";

    if (strcmp(option->keyword, "port") == 0)
        return value[strspn(value, "0123456789,")] != '\0';
    if (strcmp(option->keyword, "host") == 0 || strcmp(option->keyword, "dbname") == 0)
        return *value && strchr(value + 1, '@');
    return false;
}

static int check_options(const PQconninfoOption *options, struct err *err)
{
    for (const PQconninfoOption *option = options; option->keyword; option++) {
        if (is_of_password(option))
            return err_set(err, -EINVAL,
                           "its %s is none: in a password @ is written as %%40, and / as %%2F",
                           option->keyword);
    }
    return 0;
}

int remote_check(const char *url, struct err *err)
{
    char *message = NULL, line[300] = "out of memory";
    PQconninfoOption *options = PQconninfoParse(url, &message);
    int rc;

    if (message)
        first_line(message, line, sizeof line);
    PQfreemem(message);
    if (!options) {
        leave_quotes_out(line);
        return err_set(err, -EINVAL, "%s", line);
    }
    rc = check_options(options, err);
    PQconninfoFree(options);
    return rc;
}

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

static void name_server(struct remote *remote)
{
    const char *host = PQhost(remote->connection), *database = PQdb(remote->connection);

    if (host && *host)
        snprintf(remote->server, sizeof remote->server, "%.80s:%.8s/%.60s", host,
                 PQport(remote->connection), database ? database : "");
}

/* What a server must be, besides there. */
static int check_server(struct remote *remote, struct err *err)
{
    const char *encoding = PQparameterStatus(remote->connection, "server_encoding");
    const char *standby = PQparameterStatus(remote->connection, "in_hot_standby");
    int rc = 0;

    if (encoding && strcmp(encoding, "UTF8") != 0)
        rc = err_set(err, -EPROTO, "%s: its encoding is %.40s, and names need UTF8", remote->server,
                     encoding);
    else if (standby && strcmp(standby, "on") == 0 && remote->writes)
        rc = err_set(err, -EROFS, "%s: it is a read-only replica", remote->server);
    if (rc < 0)
        remote_disconnect(remote);
    return rc;
}

static int poll_connection(struct remote *remote, struct err *err)
{
    int64_t deadline_ms = clock_monotonic_ms() + INT64_C(1000) * REMOTE_CONNECT_S;
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;

    while (status != PGRES_POLLING_OK) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        int rc;

        if (status == PGRES_POLLING_FAILED)
            return fail_connection(remote, err);
        rc = await_socket(remote, status == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                          left_ms > 0 ? (int)left_ms : 0, err);
        if (rc < 0)
            return rc;
        status = PQconnectPoll(remote->connection);
    }
    return 0;
}

int remote_connect(struct remote *remote, const char *url, struct err *err)
{
    /* What stands before the address is a default, what stands behind it is not. */
    static const char *const keywords[] = {"application_name", "keepalives_idle",
                                           "tcp_user_timeout", "dbname",
                                           "client_encoding",  NULL};
    const char *const values[] = {"richd", "30", "30000", url, "UTF8", NULL};
    int rc;

    assert(!remote->connection);
    if (!*remote->server)
        snprintf(remote->server, sizeof remote->server, "the history");
    remote->connection = PQconnectStartParams(keywords, values, 1);
    if (!remote->connection)
        return err_set(err, -ENOMEM, "out of memory");
    name_server(remote);
    if (PQstatus(remote->connection) == CONNECTION_BAD)
        return fail_connection(remote, err);
    PQsetNoticeReceiver(remote->connection, ignore_notice, NULL);
    rc = poll_connection(remote, err);
    if (rc < 0)
        return rc;
    PQsetnonblocking(remote->connection, 1);
    name_server(remote);
    return check_server(remote, err);
}

void remote_disconnect(struct remote *remote)
{
    PQfinish(remote->connection);
    remote->connection = NULL;
}

/* ---- statements ------------------------------------------------------------------------------ */

/* Adds a row that came alone to those that are there. */
static int append_row(struct remote *remote, PGresult *rows, const PGresult *row, struct err *err)
{
    int n = PQntuples(rows);

    for (int column = 0; column < PQnfields(row); column++) {
        int size = PQgetisnull(row, 0, column) ? -1 : PQgetlength(row, 0, column);

        if (!PQsetvalue(rows, n, column, PQgetvalue(row, 0, column), size))
            return err_set(err, -ENOMEM, "out of memory");
    }
    if (PQresultMemorySize(rows) <= REMOTE_ANSWER_MAX)
        return 0;
    remote_disconnect(remote); /* it would go on */
    return err_set(err, -EPROTO, "%s: an answer of more than %zu MiB, which no richd has written",
                   remote->server, REMOTE_ANSWER_MAX >> 20);
}

/* One result of what was asked: takes it. `*out` gets all rows. */
static int take_result(struct remote *remote, PGresult *result, PGresult **out, struct err *err)
{
    ExecStatusType status = PQresultStatus(result);
    int rc = 0;

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_SINGLE_TUPLE)
        rc = fail_result(remote, result, err);
    else if (out && !*out) {
        *out = result;
        return 0;
    } else if (out && status == PGRES_SINGLE_TUPLE)
        rc = append_row(remote, *out, result, err);
    PQclear(result);
    return rc;
}

/* Reads to the end of what was asked, also behind the first failure. */
static int take_results(struct remote *remote, PGresult **out, struct err *err)
{
    PGresult *result = NULL;
    int rc = 0;

    for (;;) {
        int waited = await_result(remote, &result, err);

        if (waited < 0)
            return waited;
        if (!result)
            return rc;
        if (rc == 0)
            rc = take_result(remote, result, out, err);
        else
            PQclear(result);
        if (!remote->connection)
            return rc;
    }
}

static int send_query(struct remote *remote, const char *sql, const struct remote_params *params,
                      struct err *err)
{
    int sent = params ? PQsendQueryParams(remote->connection, sql, params->n, NULL, params->value,
                                          params->length, params->format, 1)
                      : PQsendQueryParams(remote->connection, sql, 0, NULL, NULL, NULL, NULL, 1);

    return sent ? 0 : fail_connection(remote, err);
}

int remote_query(struct remote *remote, const char *sql, const struct remote_params *params,
                 PGresult **out, struct err *err)
{
    int rc;

    *out = NULL;
    rc = send_query(remote, sql, params, err);
    if (rc == 0 && !PQsetSingleRowMode(remote->connection)) /* so an answer without end shows */
        rc = fail_connection(remote, err);
    if (rc == 0)
        rc = flush_all(remote, err);
    if (rc == 0)
        rc = take_results(remote, out, err);
    if (rc == 0 && !*out)
        rc = err_set(err, -EPROTO, "%s: no result", remote->server);
    if (rc < 0) {
        PQclear(*out);
        *out = NULL;
    }
    return rc;
}

/* Several statements in one text are one transaction. */
int remote_script(struct remote *remote, const char *sql, struct err *err)
{
    int rc = PQsendQuery(remote->connection, sql) ? 0 : fail_connection(remote, err);

    if (rc == 0)
        rc = flush_all(remote, err);
    return rc == 0 ? take_results(remote, NULL, err) : rc;
}

int remote_begin(struct remote *remote, struct err *err)
{
    if (!PQenterPipelineMode(remote->connection))
        return fail_connection(remote, err);
    return send_query(remote, "BEGIN", NULL, err);
}

int remote_add(struct remote *remote, const char *sql, const struct remote_params *params,
               struct err *err)
{
    return send_query(remote, sql, params, err);
}

/* Between the results of two statements stands NULL; the last one is the synchronization's. */
static int take_pipeline(struct remote *remote, struct err *err)
{
    int rc = 0;

    for (;;) {
        PGresult *result;
        ExecStatusType status;
        int waited = await_result(remote, &result, err);

        if (waited < 0)
            return waited;
        status = PQresultStatus(result);
        if (result && status == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            return rc;
        }
        if (result && rc == 0 && status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
            rc = fail_result(remote, result, err);
        PQclear(result);
        if (!remote->connection)
            return rc;
        if (!result && PQstatus(remote->connection) == CONNECTION_BAD)
            return rc < 0 ? rc : fail_connection(remote, err);
    }
}

int remote_commit(struct remote *remote, struct err *err)
{
    int rc = send_query(remote, "COMMIT", NULL, err);

    if (rc == 0 && !PQpipelineSync(remote->connection))
        rc = fail_connection(remote, err);
    if (rc == 0)
        rc = flush_all(remote, err);
    if (rc == 0)
        rc = take_pipeline(remote, err);
    if (rc == 0 && !PQexitPipelineMode(remote->connection))
        rc = fail_connection(remote, err);
    if (rc < 0)
        remote_disconnect(remote);
    return rc;
}

/* ---- cells ----------------------------------------------------------------------------------- */

int64_t remote_integer(const PGresult *result, int row, int column)
{
    const char *cell = PQgetvalue(result, row, column);
    uint64_t wide;
    uint32_t narrow;

    if (PQgetlength(result, row, column) == sizeof narrow) {
        memcpy(&narrow, cell, sizeof narrow);
        return (int32_t)be32toh(narrow);
    }
    if (PQgetlength(result, row, column) != sizeof wide)
        return 0;
    memcpy(&wide, cell, sizeof wide);
    return (int64_t)be64toh(wide);
}

double remote_number(const PGresult *result, int row, int column)
{
    uint64_t bits;
    double value;

    if (PQgetisnull(result, row, column) || PQgetlength(result, row, column) != sizeof bits)
        return (double)NAN;
    memcpy(&bits, PQgetvalue(result, row, column), sizeof bits);
    bits = be64toh(bits);
    memcpy(&value, &bits, sizeof value);
    return value;
}

const char *remote_cell(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column);
}
