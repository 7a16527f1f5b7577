#!/bin/sh
# Runs one test program of several that run side by side: what it says is shown in one piece.
said=$("$@" 2>&1)
code=$?
printf '== %s\n%s\n' "$1" "$said"
exit $code
