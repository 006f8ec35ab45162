# Compare figures with goals: awk -f check.awk goals.txt bench_*.json
# Exit code 1 if one falls short by more than 20 %, was measured with another number of
# rows than the goals are meant for, or nothing was measured.
function program_of(path) {
    sub(/.*\//, "", path)
    sub(/\.json$/, "", path)
    return path
}

BEGIN { FS = "\t" }

FILENAME ~ /\.txt$/ && $1 == "rows" {
    rows = $2
    next
}

FILENAME ~ /\.txt$/ && !/^#/ {
    goals++
    program[goals] = $1
    what[goals] = $2
    split($3, goal, " ")
    direction[goals] = goal[1]
    limit[goals] = goal[2] + 0
    above[goals] = $4
    below[goals] = $5
}

FILENAME ~ /\.json$/ && match($0, /^  ".*": /) {
    name = substr($0, 4, RLENGTH - 6)
    figure[program_of(FILENAME), name] = substr($0, RSTART + RLENGTH) + 0
}

END {
    for (i = 1; i <= goals; i++) {
        if (!((program[i], above[i]) in figure) ||
            (below[i] != "" && figure[program[i], below[i]] + 0 == 0)) {
            verdict = "not measured"
            printf "%-13s %-26s %10s  %s %-9s %s\n", program[i], what[i], "-", direction[i], limit[i], verdict
            continue
        }
        if (figure[program[i], "rows"] != rows) {
            refused++
            printf "%-13s %-26s %10s  %s %-9s %s\n", program[i], what[i], "-", direction[i], limit[i],
                "REFUSED: measured with " figure[program[i], "rows"] + 0 " rows, not " rows
            continue
        }
        value = figure[program[i], above[i]]
        if (below[i] != "")
            value /= figure[program[i], below[i]]
        passes = direction[i] == ">=" ? value >= 0.8 * limit[i] : value <= 1.2 * limit[i]
        measured++
        short += !passes
        printf "%-13s %-26s %10.2f  %s %-9s %s\n", program[i], what[i], value, direction[i], limit[i],
            passes ? "PASS" : "SHORT"
    }
    printf "%d measured, %d short by more than 20 %%\n", measured, short
    if (refused > 0)
        printf "%d refused: the goals are for BENCH_ROWS=%d\n", refused, rows
    exit short > 0 || refused > 0 || measured == 0
}
