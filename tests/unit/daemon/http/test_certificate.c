#include "daemon/http/certificate.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/cmocka.h"

#define DAY   86400.0
#define BEGIN 1800000000.0

static char folder[] = "/tmp/richd-certificate-XXXXXX";
static char path[64], key_path[64];

/* Of a certificate that signs itself, with these names, for so many days from BEGIN on. */
static X509 *sign(EVP_PKEY *key, const char *names, int days)
{
    X509 *x509 = X509_new();
    char *text = strdup(names);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);

    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), days);
    ASN1_TIME_set(X509_getm_notBefore(x509), (time_t)BEGIN);
    ASN1_TIME_set(X509_getm_notAfter(x509), (time_t)(BEGIN + DAY * days));
    X509_set_pubkey(x509, key);
    assert_non_null(extension);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
    free(text);
    assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
    return x509;
}

static void write_files(const char *names, int days)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = sign(key, names, days);
    FILE *file = fopen(path, "w"), *key_file = fopen(key_path, "w");

    assert_true(file && key_file);
    assert_int_equal(PEM_write_X509(file, x509), 1);
    assert_int_equal(PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    fclose(key_file);
    assert_int_equal(chmod(key_path, 0600), 0);
    X509_free(x509);
    EVP_PKEY_free(key);
}

static struct certificate *make(const char *names, int days)
{
    struct certificate *certificate;
    struct err err = {""};

    write_files(names, days);
    assert_int_equal(certificate_new(path, key_path, &certificate, &err), 0);
    return certificate;
}

static void it_is_for_the_hosts_that_it_names(void **state)
{
    struct certificate *certificate =
        make("DNS:lab.example.org,DNS:*.gpu.example.org,IP:10.1.2.3,IP:fd00::1", 90);
    static const char *const good[] = {"lab.example.org", "LAB.example.org", "a.gpu.example.org",
                                       "10.1.2.3", "fd00::1"};
    static const char *const bad[] = {
        "example.org",     "a.b.gpu.example.org", "gpu.example.org", "10.1.2.4", "fd00::2", "",
        "lab.example.org."};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(certificate_is_for(certificate, good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(certificate_is_for(certificate, bad[i]));
    certificate_free(certificate);
}

static void its_name_is_one_that_others_can_use(void **state)
{
    static const struct {
        const char *names, *name;
    } rows[] = {{"DNS:localhost,DNS:lab.example.org,DNS:other.example.org", "lab.example.org"},
                {"DNS:*.example.org,IP:10.0.0.1", ""},
                {"DNS:localhost", "localhost"}};
    char name[CERTIFICATE_NAME_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct certificate *certificate = make(rows[i].names, 90);

        certificate_name(certificate, name);
        assert_string_equal(name, rows[i].name);
        certificate_free(certificate);
    }
}

/* One of 90 days is renewed when 30 are left, one of 6 when 2 are: neither is warned of before. */
static void its_end_is_told_in_time(void **state)
{
    static const struct {
        int days;
        double at; /* days after it began */
        const char *problem;
    } rows[] = {
        {90, 1, ""},
        {90, 82.9, ""},
        {90, 83.1, "expires on"},
        {90, 90.1, "expired on"},
        {6, 4, ""},
        {6, 5, ""},
        {6, 5.5, "expires on"},
        {6, 6.1, "expired on"},
        {90, -1, "not good yet"},
    };
    struct err problem;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct certificate *certificate = make("DNS:localhost", rows[i].days);

        certificate_problem(certificate, BEGIN + DAY * rows[i].at, &problem);
        assert_int_equal(*problem.text == '\0', *rows[i].problem == '\0');
        assert_non_null(strstr(problem.text, rows[i].problem));
        assert_true(certificate_expires(certificate) == BEGIN + DAY * rows[i].days);
        certificate_free(certificate);
    }
}

/* certbot writes one file after the other. */
static void one_that_does_not_fit_its_key_is_not_taken(void **state)
{
    struct certificate *certificate = make("DNS:first", 90);
    struct err err = {""};
    char kept[80];

    (void)state;
    snprintf(kept, sizeof kept, "%s.kept", key_path);
    assert_int_equal(certificate_refresh(certificate, false, &err), 0);
    assert_int_equal(rename(key_path, kept), 0);
    write_files("DNS:second", 90);
    assert_int_equal(rename(kept, key_path), 0);
    assert_int_equal(certificate_refresh(certificate, false, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "does not belong"));
    assert_int_equal(certificate_refresh(certificate, false, &err), 0);
    assert_true(certificate_is_for(certificate, "first"));
    certificate_problem(certificate, BEGIN + DAY, &err);
    assert_non_null(strstr(err.text, "does not belong"));
    write_files("DNS:second", 90);
    assert_int_equal(certificate_refresh(certificate, false, &err), 1);
    assert_true(certificate_is_for(certificate, "second"));
    certificate_problem(certificate, BEGIN + DAY, &err);
    assert_string_equal(err.text, "");
    certificate_free(certificate);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/lab.pem", folder);
    snprintf(key_path, sizeof key_path, "%s/lab.key", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    unlink(key_path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_for_the_hosts_that_it_names),
        cmocka_unit_test(its_name_is_one_that_others_can_use),
        cmocka_unit_test(its_end_is_told_in_time),
        cmocka_unit_test(one_that_does_not_fit_its_key_is_not_taken),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
