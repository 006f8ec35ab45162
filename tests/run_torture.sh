#!/bin/bash
# Processes on one store, killed at random: KILLS of them (default 100). The
# program's own options follow, such as --seed N or --minutes 10.
set -u
exec "$BUILD"/torture --kills "${KILLS:-100}" "$@"
