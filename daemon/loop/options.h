/* The options as they will be used: read from all sources, completed by what the machine says, and
 * checked against it; at the start, and again at SIGHUP. Owns nothing and logs nothing; main's
 * thread, which is the loop's. The module that uses an option knows what it means. Tested by
 * tests/e2e/service/test_options_come_from_flag_environment_and_file.py. */
#pragma once

#include "daemon/host/config.h"

/* config_read, and unless the task asks for no option, paths_complete and whether the values can be
 * used here. Returns as config_read does. */
int options_read(struct config *, int argc, char **argv, struct err *);
