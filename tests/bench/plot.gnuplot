# A picture of bench_sql's figures: gnuplot -e "directory='build/bench'" plot.gnuplot
set terminal svg size 900,420 font "sans,12"
set output directory . "/bench_sql.svg"
set title "ordinary table's time ÷ kv table's time (higher is better, 1 is equal)"
set style fill solid 0.8
set boxwidth 0.7
set logscale y
set grid ytics
set xtics rotate by -30
set key off
plot directory . "/bench_sql.dat" using 0:2:xtic(1) with boxes, 1 linecolor "black"
