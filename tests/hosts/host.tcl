# A host for suite.txt: Tcl's sqlite3 package.
#   host.tcl <extension> <suite>
package require sqlite3

lassign $argv extension suite
fconfigure stdout -encoding utf-8

proc open_connection {name file} {
    global extension
    sqlite3 db$name $file
    db$name nullvalue NULL
    db$name enable_load_extension 1
    db$name eval {SELECT load_extension($extension)}
}

# A value of a type of Tcl's own, for the type that SQLite is to see.
proc value_of {type text} {
    switch $type {
        blob { return [binary decode hex $text] }
        integer { return [expr {wide($text)}] }
        default { return $text }
    }
}

# An unset variable is bound as NULL.
proc run {db sql in_hex parameters} {
    foreach {name type text} $parameters {
        if {$type ne "null"} { set $name [value_of $type $text] }
    }
    if {[catch {
        $db eval $sql row {
            set shown {}
            foreach column $row(*) {
                lappend shown [expr {$in_hex ? [binary encode hex $row($column)] : $row($column)}]
            }
            puts "= [join $shown |]"
        }
    } message]} { puts "! $message" }
}

set parameters {}
set file [open $suite]
fconfigure $file -encoding utf-8
while {[gets $file line] >= 0} {
    if {[string match {[=!]*} $line]} continue
    puts $line
    if {![regexp {^(\w+) (\S+) ?(\S*) ?(.*)$} $line -> command first second third]} continue
    set rest [string range $line [string length $command]+1 end]
    switch $command {
        open { open_connection $first $second; set current db$first }
        on { set current db$first }
        close { db$first close }
        bind { lappend parameters [string range $first 1 end] $second $third }
        sql - once - hex {
            run $current $rest [expr {$command eq "hex"}] $parameters
            set parameters {}
        }
    }
}
puts stderr "Tcl [info patchlevel], SQLite [sqlite3 -version]"
