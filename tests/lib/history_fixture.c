#include "tests/lib/history_fixture.h"

#include "tests/lib/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#include "daemon/store/store.h"
#include "tests/lib/records.h"

void history_fixture_reopen(struct history_fixture *f)
{
    struct err e = {0};

    store_close(f->store);
    if (store_open(f->path, &f->store, &e) < 0)
        fail_msg("%s", e.text);
}

int history_fixture_set_up(void **state)
{
    struct history_fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->directory = scratch_new();
    snprintf(f->path, sizeof f->path, "%s", scratch_path(f->directory, "history.db"));
    history_fixture_reopen(f);
    *state = f;
    return 0;
}

int history_fixture_tear_down(void **state)
{
    struct history_fixture *f = *state;

    store_close(f->store);
    scratch_free(f->directory);
    free(f);
    return 0;
}
