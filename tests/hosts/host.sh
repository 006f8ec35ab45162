#!/bin/bash
# A host for suite.txt: the sqlite3 shell. The suite becomes a script that prints the number of
# each line before running it; what comes between two numbers is the result.
#   host.sh <extension> <suite>
set -u
extension=$1
suite=$2

# A value as the shell's .parameter takes it: an SQL expression.
literal() {
    case $1 in
    text) printf '"%s"' "'${2//\'/\'\'}'" ;;
    integer) printf '%s' "$2" ;;
    blob) printf '%s' "\"x'$2'\"" ;;
    null) printf 'NULL' ;;
    esac
}

script() {
    local number=0 line command rest first second third
    printf '.nullvalue NULL\n'
    while IFS= read -r line; do
        number=$((number + 1))
        read -r command rest <<<"$line"
        read -r first second third <<<"$rest"
        case $command in
        open) printf '.connection %s\n.open %s\n.load %s\n' "$first" "$second" "$extension" ;;
        on) printf '.connection %s\n' "$first" ;;
        close) printf '.connection 0\n.connection close %s\n' "$first" ;;
        bind) printf '.parameter set %s %s\n' "$first" "$(literal "$second" "$third")" ;;
        sql | once) printf '.mode list\n.print @%d\n%s;\n.parameter clear\n' "$number" "$rest" ;;
        hex) printf '.mode quote\n.separator |\n.print @%d\n%s;\n.parameter clear\n' "$number" "$rest" ;;
        esac
    done <"$suite"
}

# The suite's lines again, each statement followed by what the shell printed.
transcript() {
    awk '
        NR == FNR { line[NR] = $0; lines = NR; next }
        /^@[0-9]+$/ { at = substr($0, 2); next }
        /^ / || /^$/ { next }                                    # points to the place of an error
        sub(/^(Runtime error|Parse error|Error)[^:]*: /, "") {
            sub(/^stepping, /, ""); sub(/ \([0-9]+\)$/, "")
            result[at] = result[at] "! " $0 "\n"; next
        }
        line[at] ~ /^hex/ { gsub(/X\047|\047/, "") }
        { result[at] = result[at] "= " $0 "\n" }
        END { for (i = 1; i <= lines; i++) if (line[i] !~ /^[=!]/) printf "%s\n%s", line[i], result[i] }
    ' "$suite" -
}

script | stdbuf -oL sqlite3 -batch -init /dev/null :memory: 2>&1 | grep -v '^-- Loading resources' | transcript
echo "sqlite3 shell, SQLite $(sqlite3 --version | cut -d' ' -f1)" >&2
