#!/bin/bash
# A first session with sqlite-kv: Unicode's character table in a kv table.
# KV_SO is the extension; everything else is made in build/demo.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
directory=${BUILD:-build}/demo
rm -rf "$directory"
mkdir -p "$directory"
cd "$directory"

# session <script>: run it in a new shell, statements and results in one stream.
session() {
    stdbuf -oL sqlite3 -batch -bail -init /dev/null -cmd ".load '${KV_SO%.so}'" \
        -cmd '.mode table' -cmd '.echo on' unicode.db <"$1" 2>&1
}

session "$here/unicode.sql" | grep -v '^-- Loading resources'
echo
echo '-- A new process finds it all again.'
session "$here/again.sql" | grep -v '^-- Loading resources'
cat <<END

The database and its store are in $directory. To look around:
  sqlite3 -cmd '.load ${KV_SO%.so}' $directory/unicode.db
END
