/* A check in a process of its own: limits that it lowers, and threads that it has, end with it. */
#pragma once

/* Fails the test unless `check` returns 0 in a child. */
void assert_holds_in_child(int (*check)(void));
