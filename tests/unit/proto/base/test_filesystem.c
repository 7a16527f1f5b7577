#include "proto/base/filesystem.h"

#include "tests/lib/cmocka.h"

#include <linux/magic.h>

static void what_other_machines_write_is_known_by_name(void **state)
{
    (void)state;
    assert_string_equal(filesystem_name(NFS_SUPER_MAGIC), "NFS");
    assert_string_equal(filesystem_name(0x65735546), "FUSE");
    assert_string_equal(filesystem_name(0x0BD00BD0), "Lustre");
    assert_string_equal(filesystem_name(0x47504653), "GPFS");
    assert_string_equal(filesystem_name(AFS_SUPER_MAGIC), "AFS");
    assert_string_equal(filesystem_name((unsigned long)(int)0xFF534D42), "CIFS");
}

static void what_this_machine_alone_writes_is_none(void **state)
{
    (void)state;
    assert_null(filesystem_name(EXT4_SUPER_MAGIC));
    assert_null(filesystem_name(XFS_SUPER_MAGIC));
    assert_null(filesystem_name(BTRFS_SUPER_MAGIC));
    assert_null(filesystem_name(TMPFS_MAGIC));
    assert_null(filesystem_name(OVERLAYFS_SUPER_MAGIC));
}

static void a_place_of_which_nobody_can_say_passes(void **state)
{
    struct err e = {""};

    (void)state;
    assert_int_equal(filesystem_check("/nonexistent", &e), 0);
    assert_int_equal(filesystem_check("/proc", &e), 0);
    assert_string_equal(e.text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_other_machines_write_is_known_by_name),
        cmocka_unit_test(what_this_machine_alone_writes_is_none),
        cmocka_unit_test(a_place_of_which_nobody_can_say_passes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
