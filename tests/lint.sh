#!/bin/bash
# Rules that a compiler does not check. BUILD is where the objects are.
# Each function below is one rule: it prints what breaks it, and nothing else.
set -u
cd "$(dirname "$0")/.." || exit 1
count=0
failed=0

sources() { git ls-files -co --exclude-standard -- '*.c' '*.h' | grep -E "${1:-.}"; }

formatted() {
    command -v clang-format >/dev/null || return
    sources | xargs clang-format --dry-run 2>&1 | grep -oE '^[^ :]*\.[ch]:' | uniq -c
}

# core/ is an engine for any program: SQLite is not mentioned, not even in comments.
core_knows_no_sqlite() {
    sources '^core/' | xargs grep -nE '[sS][qQ][lL]ite|SQLITE|sqlite3' | grep -v 'sqlite-kv'
}

# ext/ sees of core/ what any C program sees.
ext_includes_the_public_header() {
    local own
    own=$(sources '^ext/.*\.h$' | xargs -r -n1 basename | tr '\n' '|')
    sources '^ext/' | xargs -r grep -nE '^#include "' | grep -vE "\"(${own}kv\.h|status\.h|slice\.h|iter\.h)\""
}

# A file of core/ includes headers of its own layer or a lower one.
layers_look_down() {
    local layers=$1
    sources '^core/' | xargs grep -E '^#include "' | tr -d '"' | awk -v layers="$layers" '
        BEGIN { while ((getline line < layers) > 0) if (line !~ /^#/) { n = split(line, word, " "); for (i = 2; i <= n; i++) layer[word[i]] = word[1] } }
        {
            split($1, place, ":"); from = place[1]; sub("^core/", "", from); sub("\\.[ch]$", "", from)
            to = $2; sub("\\.h$", "", to)
            if (!(from in layer)) print from ": which layer is it in? (tests/layers.txt)"
            else if (!(to in layer)) print from " includes " to ", which is in no layer (tests/layers.txt)"
            else if (layer[from] < layer[to]) print from " (layer " layer[from] ") includes " to " (layer " layer[to] ")"
        }' | sort -u
}

# undefined <object>…: the symbols that they take from elsewhere, as "<object> <symbol>".
undefined() { nm -u -A "$@" | sed -E 's/^([^:]*):.* [Uw] /\1 /'; }

# The engine asks the operating system for nothing but through core/io_posix.c.
core_asks_the_system_in_one_place() {
    local object
    for object in "$BUILD"/core/*.o; do
        [ "${object##*/}" = io_posix.o ] || undefined "$object" | grep -vE " ($core_may_call)$"
    done
}
core_may_call='kv_.*|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__tls_get_addr'
core_may_call+='|mem(cpy|move|cmp|set|chr|mem)|__mem(cpy|move|set)_chk|str(len|cmp|ncmp|chr|rchr)|strnlen|strto.*'
core_may_call+='|strn?dup|strn?cat|malloc|calloc|realloc|free|aligned_alloc|qsort|qsort_r|v?snprintf|__v?snprintf_chk|__assert_fail'
core_may_call+='|pthread_(create|join|self|equal|once|atfork)|pthread_(mutex|cond|rwlock|key|condattr|sigmask)_?[a-z]*'
core_may_call+='|sigfillset|log|log2|exp|floor|ceil|nearbyint'

# The extension leaves files to the engine.
ext_opens_no_file() {
    undefined "$BUILD"/ext/*.o | grep -E " ($ext_must_not_call)$"
}
ext_must_not_call='(f|fd|p)?(open|read|write|close)(at|dir|64|v)*|creat|openat2?|mkdir(at)?|rmdir|unlink(at)?|remove|rename.*'
ext_must_not_call+='|l?f?stat(at|x)?(64)?|access|faccessat|truncate|ftruncate|fallocate|posix_fallocate|fsync|fdatasync|sync'
ext_must_not_call+='|mmap(64)?|munmap|ioctl|fcntl(64)?|flock|lockf|mk.?temp.*|tmpfile|freopen|dup.?|link(at)?|symlink(at)?|readdir.*|fork|exec.*|system|socket'

# Functions have at most 70 lines between their braces, files at most 800.
functions_are_short() {
    sources '\.c$' | xargs awk '
        FNR == 1 { open = 0 }
        /^\{/ { open = FNR }
        /^\}/ { if (open && FNR - open > 70) print FILENAME ":" open ": " FNR - open " lines"; open = 0 }'
}
files_are_short() {
    sources | xargs wc -l | awk '$2 != "total" && $1 > 800 { print $2 ": " $1 " lines" }'
}

# Every name that leaves a file belongs to us, and kv.so shows only its entry points.
names_have_our_prefix() {
    nm --defined-only -g "$BUILD"/core/*.o "$BUILD"/ext/*.o | awk 'NF == 3 && $3 !~ /^(kv_|sqlite3_kv_(static_)?init$)/ { print $3 }'
}
exports_are_two() {
    nm -D --defined-only "$BUILD/kv.so" | awk '{ print $3 }' | grep -vE '^sqlite3_kv_(static_)?init$'
}
needs_only_libc() {
    readelf -d "$BUILD/kv.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libc|libm|libpthread|ld-linux.*)\.so'
}

# The repository explains itself: no paths to elsewhere, no unfinished work.
nothing_points_outside() {
    git ls-files -co --exclude-standard | xargs grep -nIE '(\.\.|/work)/shared\b|\b(TOD[O]|FIXM[E]|XX[X])\b'
}

scripts_are_sound() {
    command -v shellcheck >/dev/null || return
    git ls-files -co --exclude-standard | xargs grep -lE '^#!/bin/(ba)?sh' | xargs shellcheck -f gcc -S warning
}

check() {
    local found
    found=$("$@" 2>&1)
    count=$((count + 1))
    [ -z "$found" ] && return
    failed=$((failed + 1))
    echo "$1:"
    printf '%s\n' "$found" | head -40 | sed 's/^/    /'
}

check formatted
check core_knows_no_sqlite
check ext_includes_the_public_header
check layers_look_down tests/layers.txt
check core_asks_the_system_in_one_place
check ext_opens_no_file
check functions_are_short
check files_are_short
check names_have_our_prefix
check exports_are_two
check needs_only_libc
check nothing_points_outside
check scripts_are_sound
echo "$((100 * (count - failed) / count))%: Checks: $count, Failures: $failed, Errors: 0"
[ "$failed" -eq 0 ]
