#!/bin/bash
# Power lost at every moment of random workloads: STATES states of the disk
# (default 50000). The program's own options follow, such as --seed N.
set -u
exec "$BUILD"/power --states "${STATES:-50000}" --seed "${SEED:-1}" "$@"
