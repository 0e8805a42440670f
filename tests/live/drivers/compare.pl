#!/usr/bin/perl
# DBD::Pg: says what a session looks like. perl compare.pl clear|masked, the login in libpq's variables.

use strict;
use warnings;
use DBI qw(:sql_types);
use DBD::Pg qw(:pg_types :async);

my ($mode) = @ARGV;
$| = 1;
my $db = DBI->connect('dbi:Pg:', undef, undef, {RaiseError => 0, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_enable_utf8 => 1});
defined $db or die $DBI::errstr;
binmode STDOUT, ':utf8';

sub cell { my $v = shift; return defined $v ? ref $v ? '[' . join(',', map { cell($_) } @$v) . ']' : $v : 'NULL'; }
sub row { return join '|', map { cell($_) } @_; }
sub told { return $db->err ? join(' ', map { defined $_ ? $_ : '-' } ($db->state, $db->errstr, map { $db->pg_error_field($_) } qw(severity detail hint table constraint column datatype position))) : 'fine'; }
sub state { return "state " . $db->ping . ' ' . $db->{pg_async_status}; }

sub ask {
    my ($text, @values) = @_;
    my $st = $db->prepare($text);
    if (!$st or !$st->execute(@values)) { print "$text: ", told(), ' ', state(), "\n"; return; }
    print "$text: ", $st->rows, "\n";
    if ($st->{NUM_OF_FIELDS}) {
        print '  ', row(@{$st->{NAME}}), ' ', row(@{$st->{pg_type}}), ' ', row(map { defined $_ ? $_ : '-' } @{$st->{PRECISION}}), "\n";
        while (my $one = $st->fetchrow_arrayref) { print '  ', row(@$one), "\n"; }
    }
    return;
}

sub every_way {
    my ($text, @values) = @_;
    for my $way (0, 1, 2) {
        local $db->{pg_server_prepare} = $way > 0;
        local $db->{pg_switch_prepared} = $way;
        ask($text, @values);
        ask($text, @values) if $way;
    }
    return;
}

sub common {
    every_way('SELECT id, name, ssn, dob FROM patients WHERE id < ? ORDER BY id', 4);
    every_way('SELECT * FROM wards WHERE name = ? OR id = ?', 'north', 3);
    ask('SELECT count(*) FROM no_such_table');
    ask('SELECT * FROM patients WHERE id = 1');
    local $db->{AutoCommit} = 0;
    ask('DECLARE c SCROLL CURSOR FOR SELECT p.id, p.ssn, e.notes FROM patients p JOIN encounters e ON e.patient = p.id ORDER BY e.id');
    ask('FETCH 3 FROM c');
    ask('MOVE 5 IN c');
    ask('FETCH BACKWARD 1 FROM c');
    ask('CLOSE c');
    if (!$db->do('COPY (SELECT id, ssn, dob FROM patients ORDER BY id LIMIT 4) TO STDOUT')) { print 'no copy ', told(), "\n"; $db->rollback; return; }
    my $line = '';
    while ($db->pg_getcopydata($line) >= 0) { print "  copied $line"; }
    print 'end ', told(), "\n";
    $db->rollback;
    return;
}

sub tables {
    for my $st ($db->table_info(undef, 'public', '%', 'TABLE,VIEW'), $db->column_info(undef, 'public', 'patients', '%'),
                $db->primary_key_info(undef, 'public', 'encounters'), $db->foreign_key_info(undef, 'public', 'patients', undef, 'public', 'encounters'),
                $db->statistics_info(undef, 'public', 'wards', 0, 0)) {
        if (!$st) { print 'no catalog: ', told(), "\n"; next; }
        while (my $one = $st->fetchrow_arrayref) { print '  ', row(@$one), "\n"; }
    }
    return;
}

sub whole {
    every_way('SELECT * FROM shapes ORDER BY i');
    local $SIG{__WARN__} = sub { print 'notice ', @_; };
    $db->{PrintWarn} = 1;
    ask("SELECT say('something')");
    ask('DROP TABLE IF EXISTS never_there');
    $db->{PrintWarn} = 0;
    every_way('INSERT INTO wards VALUES (?, ?, ?)', 1, 'again', 2);
    ask('INSERT INTO wards VALUES (9, ?, ?) RETURNING *', 'nine', -1);
    $db->begin_work;
    ask('INSERT INTO wards VALUES (?, ?, ?) RETURNING id', 8, 'eight', 8);
    $db->pg_savepoint('here');
    ask('SELECT 1/0');
    ask('SELECT 1');
    print 'in a failed transaction ', $db->ping, "\n";
    $db->pg_rollback_to('here');
    ask('SELECT count(*) FROM wards');
    $db->rollback;
    $db->do('CREATE TEMP TABLE filled (a int, b text, c bytea)');
    $db->do('COPY filled FROM STDIN');
    $db->pg_putcopydata("$_\tline $_\t\\\\x00ff\n") for 1 .. 2000;
    print 'copied ', $db->pg_putcopyend, ' ', told(), "\n";
    $db->do('COPY filled FROM STDIN');
    $db->pg_putcopydata("x\ty\tz\n");
    print 'wrong ', ($db->pg_putcopyend || 0), ' ', told(), "\n";
    my $st = $db->prepare('INSERT INTO filled VALUES (?, ?, ?)');
    $st->bind_param(3, undef, {pg_type => PG_BYTEA});
    print 'batch ', $st->execute_array({}, [1, 2, 'three', 4], ['a', 'b', 'c', 'd'], ["\0", undef, "\xff", 'x']) || told(), "\n";
    ask('SELECT count(*), sum(a), sum(length(c)) FROM filled');
    $db->begin_work;
    my $large = $db->pg_lo_creat($db->{pg_INV_WRITE});
    my $open = $db->pg_lo_open($large, $db->{pg_INV_READ} | $db->{pg_INV_WRITE});
    print 'large ', $db->pg_lo_write($open, 'x' x 5000, 5000), ' ', $db->pg_lo_lseek($open, 4990, 0), ' ', $db->pg_lo_tell($open), ' ';
    my $read = '';
    print $db->pg_lo_read($open, $read, 100), " $read ", $db->pg_lo_close($open), ' ', $db->pg_lo_unlink($large), "\n";
    $db->commit;
    $db->do('LISTEN ears');
    $db->do("NOTIFY ears, 'heard'");
    my $note = $db->pg_notifies;
    print 'note ', $note ? "$note->[0] $note->[2] " . ($note->[1] == $db->{pg_pid} ? 'ours' : 'theirs') : 'none', "\n";
    $db->do('SELECT pg_sleep(0.2), 7', {pg_async => PG_ASYNC});
    print 'async ', $db->pg_result, "\n";
    $db->do('SELECT pg_sleep(60)', {pg_async => PG_ASYNC});
    print 'cancelled ', ($db->pg_cancel || 0), ' ', told(), ' ', state(), "\n";
    ask('SELECT 1; SELECT 2');
    ask('-- nothing');
    return;
}

common();
tables();
whole() if $mode eq 'clear';
print 'tls ', (map { $_->[0] } @{$db->selectall_arrayref("SELECT current_setting('server_encoding')")}), "\n";
$db->disconnect;
print "end\n";
