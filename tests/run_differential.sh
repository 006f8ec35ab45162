#!/bin/bash
# Random SQL on kv tables and on ordinary ones: what once told them apart, then
# STATEMENTS (default 100,000) from SEED on. The program's own options follow, such as
# --episode=S. A difference is kept as a script in BUILD/log.
set -u
"$BUILD"/differential "$(dirname "$0")"/differential/scripts/*.sql || exit
exec "$BUILD"/differential --statements="${STATEMENTS:-100000}" --seed="${SEED:-1}" --save="$BUILD/log" "$@"
