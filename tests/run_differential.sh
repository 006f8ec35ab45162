#!/bin/bash
# Random SQL on kv tables and on ordinary ones: what once told them apart, then
# STATEMENTS (default 100,000) from SEED on. The program's own options follow, such as
# --episode=S. A difference is kept as a script in BUILD/log.
set -u
# A process that goes on after a crash has the stacks of threads that it has not. If these were
# unmapped, AddressSanitizer would take what is mapped there later for parts of them.
export GLIBC_TUNABLES=glibc.pthread.stack_cache_size=1000000000000
mkdir -p "$BUILD/log"
"$BUILD"/differential "$(dirname "$0")"/differential/scripts/*.sql || exit
exec "$BUILD"/differential --statements="${STATEMENTS:-100000}" --seed="${SEED:-1}" --save="$BUILD/log" "$@"
