#!/bin/bash
# Make the golden store of this version's file format anew:
#
#   make kv.so && tests/golden/make.sh
#
# Only while the format has not been released: what is here must open in every
# later version (tests/test_golden.c). make.sql writes the store; dump.sql says what
# a store holds, and said so of this one when it was made. (Its indexes are of version 1 of theirs: keep them.)
# The stores whose users were killed at work come from `build/test_golden_killed --make`, once
# those that are here have been removed.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
KV_SO=$(realpath -e "${KV_SO:-$root/kv.so}")
golden=$root/tests/golden
work=$(mktemp -d "${TMPDIR:-/tmp}/kv-golden.XXXXXX")
trap 'rm -rf "$work"' EXIT

shell() {
    sqlite3 -batch -bail -init /dev/null -cmd ".load $KV_SO sqlite3_kv_init" golden.db | sed '/^-- Loading/d'
}

cd "$work"
shell <"$golden/make.sql" >/dev/null
shell <"$golden/dump.sql" >format-1.txt
rm -rf "$golden/format-1" store/LOCK
cp -r store "$golden/format-1"
cp format-1.txt "$golden"
du -b "$golden"
