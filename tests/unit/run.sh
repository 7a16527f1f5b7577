#!/bin/sh
# Runs one test program of several that run side by side: what it says is shown in one piece.
began=$(date +%s)
said=$("$@" 2>&1)
code=$?
printf '== %s (%s s)\n%s\n' "$1" $(($(date +%s) - began)) "$said"
exit $code
