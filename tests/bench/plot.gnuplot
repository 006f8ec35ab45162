# Pictures of the contests' figures: gnuplot -e "directory='build/bench'" plot.gnuplot
set terminal svg size 1000,460 font "sans,12"
set title "other's time ÷ kv's time (higher is better, 1 is equal)"
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.8
set boxwidth 0.9
set logscale y
set grid ytics
set xtics rotate by -30
set bmargin 7
do for [program in "bench_sql bench_engine bench_ycsb"] {
    figures = directory . "/" . program . ".dat"
    others = int(system("cat '" . figures . "' 2>/dev/null | awk 'NR == 1 { n = NF - 1 } END { print n + 0 }'"))
    if (others > 0) {
        set output directory . "/" . program . ".svg"
        plot for [other = 2:others + 1] figures using other:xtic(1) title columnheader(other), \
            1 with lines linecolor "black" notitle
    }
}

# How the speed lasts: what each second of overwriting was like.
series = system("ls '" . directory . "'/bench_steady-*.dat 2>/dev/null")
set title "overwriting in random order, second by second"
unset logscale y
set xtics norotate
set bmargin 4
set yrange [0:*]
set y2range [0:*]
set y2tics
set ytics nomirror
set xlabel "second"
set ylabel "rows a second"
set y2label "space amplification"
set style data lines
do for [figures in series] {
    set output figures[1:strlen(figures) - 3] . "svg"
    plot figures using "second":"rows" title "rows a second" linewidth 2, \
        figures using "second":"space_amplification" axes x1y2 title "space amplification" linewidth 2
}
