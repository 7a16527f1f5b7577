/* richd --migrate WAY: a whole history copied between --state-dir and --history, and compared, by a
 * process that serves nothing. It holds the state directory's lock while it copies. Each line of
 * stdout is a JSON object: {"part", "what"} how far it is, or {"table", "run", "rows",
 * "rows_there", "sum", "sum_there", "same", "described_elsewhere", "columns"}. Main's thread.
 * Tested by test_a_history_moves.py. */
#pragma once

struct config;

/* Returns the exit code: 0, all is there; 1, it is not; 64, no such way; 73, the store has runs of
 * its own; 75, a daemon has it; 69, no server; else 74. */
int migrate_run(const struct config *);
