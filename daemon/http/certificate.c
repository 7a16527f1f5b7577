#include "daemon/http/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* TLS 1.2 as browsers of the last ten years have it; those of 1.3 are all good. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"
/* Certificates of 90 days are renewed when 30 are left, those of 6 days when 2 are. */
#define WARN_S     (7 * 86400.0)
#define WARN_SHARE 0.16

struct certificate {
    char *path, *key_path;
    struct stat seen, key_seen; /* of the files that were tried last */
    SSL_CTX *context;
    double begins, expires; /* seconds since 1970 */
    struct err refused;     /* why what lies in the files now is not used; "": it is */
};

/* ---- files ----------------------------------------------------------------------------------- */

static int refuse_file(const char *path, int code, struct err *err)
{
    return err_set(err, -code, "%s cannot be read: %s", path, strerror(code));
}

/* As PostgreSQL has it: Debian keeps keys for the group ssl-cert. */
static int check_key_file(const char *path, struct err *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return refuse_file(path, errno, err);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(err, -EPERM, "%s holds a key and belongs to user %u, neither to us nor root",
                       path, (unsigned)st.st_uid);
    if (st.st_mode & (S_IRWXO | S_IWGRP | (st.st_uid == 0 ? 0 : S_IRWXG)))
        return err_set(err, -EPERM, "%s holds a key and may be read by others: chmod 600", path);
    return 0;
}

static int check_readable(const char *path, struct err *err)
{
    FILE *file = fopen(path, "re");

    if (!file)
        return refuse_file(path, errno, err);
    fclose(file);
    return 0;
}

/* ---- OpenSSL --------------------------------------------------------------------------------- */

/* A daemon has nobody to ask for the passphrase of a key. */
static int on_passphrase(char *text, int size, int writes, void *user)
{
    (void)text, (void)size, (void)writes, (void)user;
    return 0;
}

static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());

    return text ? text : "OpenSSL does not say why";
}

/* Each 1 when it went well. The queue of OpenSSL's errors is the thread's, and empty before. */
static int use_files(SSL_CTX *context, const char *path, const char *key_path, struct err *err)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, path) != 1)
        return err_set(err, -EBADMSG, "%s holds no certificate in PEM that can be used: %s", path,
                       reason());
    if (SSL_CTX_use_PrivateKey_file(context, key_path, SSL_FILETYPE_PEM) != 1)
        return ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH
                   ? err_set(err, -EBADMSG,
                             "the key in %s does not belong to the certificate in %s", key_path,
                             path)
                   : err_set(err, -EBADMSG, "%s holds no key in PEM without a passphrase: %s",
                             key_path, reason());
    if (SSL_CTX_check_private_key(context) != 1)
        return err_set(err, -EBADMSG, "the key in %s does not belong to the certificate in %s",
                       key_path, path);
    return 0;
}

static SSL_CTX *new_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (!context)
        return NULL;
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(context, on_passphrase);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_cipher_list(context, CIPHERS) == 1)
        return context;
    SSL_CTX_free(context);
    return NULL;
}

static double seconds_of(const ASN1_TIME *time)
{
    struct tm date;

    return ASN1_TIME_to_tm(time, &date) == 1 ? (double)timegm(&date) : 0;
}

static X509 *certificate_of(const struct certificate *certificate)
{
    return SSL_CTX_get0_certificate(certificate->context);
}

static int read_files(struct certificate *certificate, struct err *err)
{
    SSL_CTX *context = NULL;
    int rc = check_readable(certificate->path, err);

    if (rc == 0)
        rc = check_key_file(certificate->key_path, err);
    if (rc == 0)
        rc = check_readable(certificate->key_path, err);
    if (rc == 0 && (context = new_context()) == NULL)
        rc = err_set(err, -ENOMEM, "TLS does not start: %s", reason());
    if (rc == 0)
        rc = use_files(context, certificate->path, certificate->key_path, err);
    ERR_clear_error();
    if (rc < 0) {
        SSL_CTX_free(context);
        return rc;
    }
    SSL_CTX_free(certificate->context);
    certificate->context = context;
    certificate->begins = seconds_of(X509_get0_notBefore(certificate_of(certificate)));
    certificate->expires = seconds_of(X509_get0_notAfter(certificate_of(certificate)));
    return 0;
}

/* ---- the object ------------------------------------------------------------------------------ */

static void look(const char *path, struct stat *out)
{
    if (stat(path, out) < 0)
        *out = (struct stat){0};
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_uid == b->st_uid &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int certificate_refresh(struct certificate *certificate, bool always, struct err *err)
{
    struct stat now, key_now;
    int rc;

    look(certificate->path, &now);
    look(certificate->key_path, &key_now);
    if (!always && is_same(&now, &certificate->seen) && is_same(&key_now, &certificate->key_seen))
        return 0;
    certificate->seen = now;
    certificate->key_seen = key_now;
    rc = read_files(certificate, err);
    if (rc < 0)
        certificate->refused = *err;
    else
        *certificate->refused.text = '\0';
    return rc < 0 ? rc : 1;
}

int certificate_new(const char *path, const char *key_path, struct certificate **out,
                    struct err *err)
{
    struct certificate *certificate = calloc(1, sizeof *certificate);
    struct err why = {""};
    int rc = -ENOMEM;

    *out = NULL;
    if (certificate) {
        certificate->path = strdup(path);
        certificate->key_path = strdup(key_path);
    }
    if (certificate && certificate->path && certificate->key_path)
        rc = certificate_refresh(certificate, true, &why);
    else
        err_set(&why, rc, "out of memory");
    if (rc < 0) {
        certificate_free(certificate);
        return err_set(err, rc, "%s", why.text);
    }
    *out = certificate;
    return 0;
}

void certificate_free(struct certificate *certificate)
{
    if (!certificate)
        return;
    SSL_CTX_free(certificate->context);
    free(certificate->key_path);
    free(certificate->path);
    free(certificate);
}

struct ssl_st *certificate_session(const struct certificate *certificate)
{
    SSL *session = SSL_new(certificate->context);

    ERR_clear_error();
    return session;
}

/* ---- what it says ---------------------------------------------------------------------------- */

bool certificate_is_for(const struct certificate *certificate, const char *name)
{
    X509 *x509 = certificate_of(certificate);
    bool is_for = X509_check_host(x509, name, strlen(name), 0, NULL) == 1 ||
                  X509_check_ip_asc(x509, name, 0) == 1;

    ERR_clear_error();
    return is_for;
}

static bool is_plain_name(const GENERAL_NAME *name)
{
    return name->type == GEN_DNS && ASN1_STRING_length(name->d.dNSName) > 0 &&
           ASN1_STRING_length(name->d.dNSName) < CERTIFICATE_NAME_SIZE &&
           !memchr(ASN1_STRING_get0_data(name->d.dNSName), '*',
                   (size_t)ASN1_STRING_length(name->d.dNSName));
}

void certificate_name(const struct certificate *certificate, char out[CERTIFICATE_NAME_SIZE])
{
    GENERAL_NAMES *names =
        X509_get_ext_d2i(certificate_of(certificate), NID_subject_alt_name, NULL, NULL);

    *out = '\0';
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

        if (is_plain_name(name) && (!*out || strcmp(out, "localhost") == 0))
            snprintf(out, CERTIFICATE_NAME_SIZE, "%.*s", ASN1_STRING_length(name->d.dNSName),
                     (const char *)ASN1_STRING_get0_data(name->d.dNSName));
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
}

double certificate_expires(const struct certificate *certificate)
{
    return certificate->expires;
}

void certificate_problem(const struct certificate *certificate, double now, struct err *problem)
{
    double left = certificate->expires - now,
           share = WARN_SHARE * (certificate->expires - certificate->begins);
    time_t at = (time_t)certificate->expires;
    char when[32] = "";
    struct tm date;

    *problem->text = '\0';
    if (gmtime_r(&at, &date))
        strftime(when, sizeof when, "%F %T UTC", &date);
    if (*certificate->refused.text)
        err_set(problem, -EBADMSG, "the certificate of before is in use still: %s",
                certificate->refused.text);
    else if (left <= 0)
        err_set(problem, -EBADMSG, "the certificate in %s expired on %s: renew it",
                certificate->path, when);
    else if (now < certificate->begins)
        err_set(problem, -EBADMSG,
                "the certificate in %s is not good yet: is the clock of this machine right?",
                certificate->path);
    else if (left < (share < WARN_S ? share : WARN_S))
        err_set(problem, -EBADMSG, "the certificate in %s expires on %s: renew it",
                certificate->path, when);
}
