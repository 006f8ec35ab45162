#!/bin/bash
# Run the scripts sql/NN_name.sql in the sqlite3 shell and compare what they
# print with sql/NN_name.out.
#
#   KV_SO=build/kv.so tests/run_sql.sh [--accept] [sql/01_open.sql …]
#
# Each runs in an empty directory of its own, with the extension loaded and
# statements echoed, so that an .out file reads as a session. There a script
# finds three programs: `./kvsql <file> [<sql>…]`, another such shell; `./await
# <sql> <value>`, which waits until a query on test.db gives a value; `./bytes`,
# which reads and damages files (tests/bytes.sh). --accept writes the .out files.
# SHELL_PRELOAD names a library that the shell needs loaded first (a sanitizer's).
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
KV_SO=$(realpath "${KV_SO:-$root/build/kv.so}")
accept=
[ "${1:-}" = --accept ] && accept=yes && shift
[ $# -gt 0 ] || set -- "$root"/sql/[0-9]*.sql
work=$(mktemp -d "${TMPDIR:-/tmp}/kv-sql.XXXXXX")
trap 'rm -rf "$work"' EXIT
count=0
failed=0

# The programs for scripts, in their directory. The shell is line-buffered, so
# that errors and results keep their order.
write_programs() {
    cat >"$1/kvsql" <<END
#!/bin/sh
export LD_PRELOAD="${SHELL_PRELOAD:+$SHELL_PRELOAD:}$stdbuf"
export ASAN_OPTIONS="detect_leaks=${SHELL_LEAKS:-0}:\${ASAN_OPTIONS:-}" _STDBUF_O=L
exec ${SHELL_WRAPPER:-} sqlite3 -batch -init /dev/null -cmd ".load '${KV_SO%.so}'" "\$@"
END
    cat >"$1/await" <<'END'
#!/bin/sh
for _ in $(seq 200); do
    got=$(./kvsql test.db "$1" 2>&1)
    [ "$got" = "$2" ] && exit
    sleep 0.05
done
echo "waited in vain: $got"
END
    cp "$root/tests/bytes.sh" "$1/bytes"
    chmod +x "$1/kvsql" "$1/await" "$1/bytes"
}

# What differs between runs and machines has no place in expected output.
normalise() {
    sed -E -e "s|$1|<directory>|g" -e 's/^(Runtime|Parse) error near line [0-9]+: /Error: /' \
        -e '/^-- Loading resources from/d'
}

# run_script <script>: its output, normalised.
run_script() {
    local name dir
    name=$(basename "$1" .sql)
    dir=$work/$name
    mkdir "$dir"
    write_programs "$dir"
    (cd "$dir" && timeout 120 ./kvsql -cmd '.echo on' test.db <"$1" 2>&1; echo "exit code $?") |
        normalise "$dir" >"$work/$name.got"
}

stdbuf=$(find /usr/lib* -name libstdbuf.so 2>/dev/null | head -1)
for script in "$@"; do
    script=$(realpath "$script")
    name=$(basename "$script" .sql)
    run_script "$script"
    count=$((count + 1))
    if [ -n "$accept" ]; then
        cp "$work/$name.got" "${script%.sql}.out"
    elif ! diff -u --label "$name.out" --label "what it printed" "${script%.sql}.out" "$work/$name.got"; then
        failed=$((failed + 1))
    fi
done
echo "$((count ? 100 * (count - failed) / count : 0))%: Checks: $count, Failures: $failed, Errors: 0"
[ "$failed" -eq 0 ] && [ "$count" -gt 0 ]
