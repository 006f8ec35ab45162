#!/bin/bash
# The given test programs and SQL scripts of each kind under valgrind: no error,
# and in the shell nothing definitely lost. (Leaks of tests: AddressSanitizer.)
set -u
here=$(dirname "$0")
valgrind="valgrind -q --error-exitcode=99"
export CK_FORK=no CK_TIMEOUT_MULTIPLIER=100 PROGRAM_TIMEOUT=1800
export SHELL_WRAPPER="$valgrind --child-silent-after-fork=yes --leak-check=full --errors-for-leak-kinds=definite"
export SQL_TIMEOUT=1200

wrappers=$(mktemp -d "${TMPDIR:-/tmp}/kv-valgrind.XXXXXX")
trap 'rm -rf "$wrappers"' EXIT
programs=()
for test in "$@"; do
    wrapper=$wrappers/$(basename "$test")
    printf '#!/bin/sh\nexec %s %s\n' "$valgrind" "$(realpath "$test")" >"$wrapper"
    chmod +x "$wrapper"
    programs+=("$wrapper")
done
printf '#!/bin/sh\nexec %s %s\n' "$here/run_sql.sh" \
    "sql/02_verbs.sql sql/06_compact_one.sql sql/12_reopen.sql sql/14_conflicts.sql sql/15_queries.sql sql/20_names.sql" >"$wrappers/sql"
chmod +x "$wrappers/sql"
"$here/run.sh" "${programs[@]}" "$wrappers/sql"
