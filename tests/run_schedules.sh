#!/bin/bash
# Processes that share a store, in all orders (tests/schedules): a sample of
# them, or with SCHEDULES=--full (nearly) all up to the bound.
# The program's own options follow, such as --scene NAME or --seed N.
set -u
# shellcheck disable=SC2086 # options may be several
exec "$BUILD"/schedules --jobs 2 ${SCHEDULES:-} "$@"
