/* A history of its own for each test of the store: cmocka's set-up opens a new one, its tear-down
 * removes it. For tests of what lies above the core; single-threaded. */
#pragma once

#include <stdint.h>

struct sqlite3;
struct store;

struct history_fixture {
    char *directory;
    char path[256]; /* of the database */
    struct store *store;
};

/* Closes the store, if it is open, and opens it again; fails the test where that fails. */
void history_fixture_reopen(struct history_fixture *);

/* Runs statements; fails the test where SQLite does. */
void history_fixture_exec(struct sqlite3 *, const char *sql);

/* Over a connection of their own: statements that return nothing, and the integer that the last row
 * of one begins with (-1 without a row). Both fail the test where SQLite does. */
void history_fixture_run(const struct history_fixture *, const char *sql);
int64_t history_fixture_ask(const struct history_fixture *, const char *sql);

/* For cmocka_unit_test_setup_teardown: *state is a struct history_fixture. */
int history_fixture_set_up(void **state);
int history_fixture_tear_down(void **state);
