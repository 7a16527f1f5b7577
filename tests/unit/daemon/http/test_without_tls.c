/* As of a daemon that is built without OpenSSL: what is defined here is not taken from the archive.
 */
#include "daemon/http/without_tls.c"

#include <stdlib.h>

#include "tests/lib/cmocka.h"

static void a_certificate_is_refused_with_a_sentence(void **state)
{
    struct certificate *certificate;
    struct err err = {""};

    (void)state;
    assert_int_equal(certificate_new("lab.pem", "lab.key", &certificate, &err), -ENOTSUP);
    assert_null(certificate);
    assert_non_null(strstr(err.text, "built without OpenSSL"));
    assert_non_null(strstr(err.text, "http-proxy"));
    certificate_free(certificate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_refused_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
