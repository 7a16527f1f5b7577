#include "proto/base/sha256.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/cmocka.h"

static void expect(const char *data, size_t size, const char *digits)
{
    uint8_t digest[SHA256_SIZE], scanned[SHA256_SIZE];
    char text[SHA256_TEXT_SIZE];

    sha256(data, size, digest);
    sha256_print(digest, text);
    assert_string_equal(text, digits);
    assert_true(sha256_scan(digits, scanned));
    assert_true(sha256_is_same(digest, scanned));
}

/* Of NIST's examples with intermediate values, and of each length about a block by Python. */
static void it_is_that_of_the_standard(void **state)
{
    char *million = malloc(1000000);

    (void)state;
    expect("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
           "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    assert_non_null(million);
    memset(million, 'a', 1000000);
    expect(million, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    expect(million, 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
    expect(million, 56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
    expect(million, 63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34");
    expect(million, 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
    expect(million, 65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0");
    free(million);
}

static void what_are_not_64_digits_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        "ab",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
        "E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"};
    uint8_t digest[SHA256_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sha256_scan(bad[i], digest));
}

static void a_bit_makes_a_difference(void **state)
{
    uint8_t a[SHA256_SIZE], b[SHA256_SIZE];

    (void)state;
    sha256("abc", 3, a);
    for (int bit = 0; bit < 8 * SHA256_SIZE; bit++) {
        memcpy(b, a, sizeof b);
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(sha256_is_same(a, b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_that_of_the_standard),
        cmocka_unit_test(what_are_not_64_digits_is_none),
        cmocka_unit_test(a_bit_makes_a_difference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
