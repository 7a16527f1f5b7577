/* A cell of CSV as the daemon and richctl write it (HTTP.md): RFC 4180, and nothing that a
 * spreadsheet would run. Stateless, any thread; who writes the table knows its columns. Tested by
 * test_csv.c. */
#pragma once

#include <stdio.h>

/* A field of RFC 4180. */
void csv_put_quoted(FILE *, const char *text);

/* A text in a cell, with an apostrophe before one that a spreadsheet would run as a formula. */
void csv_put_text(FILE *, const char *text);
