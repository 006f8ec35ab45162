#!/bin/sh
# Look at and damage files, for the SQL scripts:
#   bytes end <file>              offset behind the last byte that is not zero
#   bytes cut <file> <n>          cut the file n bytes before that end
#   bytes flip <file> <offset>    invert one byte; a negative offset counts from that end
#   bytes flips <file> <step>     invert every step-th byte
#   bytes garbage <file> <n>      put n random bytes a little behind that end: the last bytes of a record may be zeros
#   bytes sum <file>…             checksums of contents, to see that they stay the same
set -eu
unset LD_PRELOAD # a sanitizer that the shell was given; dd breaks its rules

end_of() {
    od -An -v -tx1 -w1 "$1" | awk '$1 != "00" {end = NR} END {print end + 0}'
}

# invert <file> <offset>
invert() {
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\$(printf %03o $((255 - byte)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

command=$1
file=$2
case $command in
end) end_of "$file" ;;
cut) truncate -s $(($(end_of "$file") - $3)) "$file" ;;
flip)
    offset=$3
    [ "$offset" -ge 0 ] || offset=$(($(end_of "$file") + offset))
    invert "$file" "$offset"
    ;;
flips)
    end=$(end_of "$file")
    offset=$3
    while [ "$offset" -lt "$end" ]; do
        invert "$file" "$offset"
        offset=$((offset + $3))
    done
    ;;
garbage)
    head -c "$3" /dev/urandom | dd of="$file" bs=1 seek="$(($(end_of "$file") + 8))" conv=notrunc status=none
    ;;
sum) shift && md5sum "$@" ;;
*) echo "bytes: no command '$command'" >&2; exit 2 ;;
esac
