/* A history of its own for each test of the store: cmocka's set-up opens a new one, its tear-down
 * removes it. For tests of what lies above the core; single-threaded. */
#pragma once

struct store;

struct history_fixture {
    char *directory;
    char path[256]; /* of the database */
    struct store *store;
};

/* Closes the store, if it is open, and opens it again; fails the test where that fails. */
void history_fixture_reopen(struct history_fixture *);

/* For cmocka_unit_test_setup_teardown: *state is a struct history_fixture. */
int history_fixture_set_up(void **state);
int history_fixture_tear_down(void **state);
