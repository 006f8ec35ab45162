# A host for suite.txt: Perl's DBD::SQLite.
#   host.pl <extension> <suite>
use strict;
use warnings;
use utf8;
use DBI qw(:sql_types);
use DBD::SQLite;

my ($extension, $suite) = @ARGV;
my (%connections, $current, @parameters);
my %types = (text => SQL_VARCHAR, integer => SQL_INTEGER, blob => SQL_BLOB, null => SQL_VARCHAR);
binmode STDOUT, ':encoding(UTF-8)';

sub open_connection {
    my ($file) = @_;
    my $db = DBI->connect("dbi:SQLite:dbname=$file", '', '',
        { RaiseError => 0, PrintError => 0, sqlite_unicode => 1, sqlite_see_if_its_a_number => 0 });
    $db->sqlite_enable_load_extension(1);
    $db->sqlite_load_extension($extension) or die $db->errstr;
    return $db;
}

sub value_of {
    my ($type, $text) = @_;
    return $type eq 'null' ? undef : $type eq 'blob' ? pack('H*', $text) : $text;
}

sub run {
    my ($db, $sql, $show) = @_;
    my $statement = $db->prepare($sql);
    $statement and $statement->bind_param(@$_) for @parameters;
    if ($statement && $statement->execute) {
        while ($statement->{NUM_OF_FIELDS} && (my $row = $statement->fetchrow_arrayref)) {
            print '= ', join('|', map { $show->($_) } @$row), "\n";
        }
    }
    print '! ', $db->errstr, "\n" if $db->err;
    @parameters = ();
}

sub in_hex { return unpack('H*', $_[0]) }
sub shown { return defined $_[0] ? $_[0] : 'NULL' }

open(my $file, '<:encoding(UTF-8)', $suite) or die "$suite: $!";
while (my $line = <$file>) {
    chomp $line;
    next if $line =~ /^[=!]/;
    print "$line\n";
    my ($command, $rest) = split / /, $line, 2;
    next if !$command || $command =~ /^#/;
    my @words = split / /, $rest, 3;
    if ($command eq 'open') {
        $connections{$words[0]} = open_connection($words[1]);
        $current = $words[0];
    }
    elsif ($command eq 'on') { $current = $words[0] }
    elsif ($command eq 'close') { (delete $connections{$words[0]})->disconnect }
    elsif ($command eq 'bind') {
        push @parameters, [$words[0], value_of($words[1], $words[2] // ''), $types{$words[1]}];
    }
    elsif ($command =~ /^(sql|once)$/) { run($connections{$current}, $rest, \&shown) }
    elsif ($command eq 'hex') { run($connections{$current}, $rest, \&in_hex) }
}
my ($library) = DBI->connect('dbi:SQLite:dbname=:memory:')->selectrow_array('SELECT sqlite_version()');
print STDERR "Perl DBD::SQLite $DBD::SQLite::VERSION, SQLite $library\n";
