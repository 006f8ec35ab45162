#!/bin/bash
# Every call of io.h in core/ fails in every way that it can (tests/faults): VISITS
# (default 2) of its visits in each scene, or with a large number all of them.
set -u
exec "$BUILD"/faults --visits "${VISITS:-2}" "$@"
