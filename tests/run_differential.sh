#!/bin/bash
# Random SQL on kv tables and on ordinary ones: STATEMENTS of it (default
# 100,000) from SEED on. The program's own options follow, such as --episode=S.
set -u
exec "$BUILD"/differential --statements="${STATEMENTS:-100000}" --seed="${SEED:-1}" "$@"
