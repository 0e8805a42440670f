<?php
// PHP's pgsql and PDO: what a session looks like. php compare.php clear|masked, the login in libpq's variables.

error_reporting(E_ALL);
set_error_handler(function ($number, $text) { echo "  warning: $text\n"; return true; });
$db = pg_pconnect("");
$quiet = ["severity" => PGSQL_DIAG_SEVERITY, "state" => PGSQL_DIAG_SQLSTATE, "text" => PGSQL_DIAG_MESSAGE_PRIMARY, "detail" => PGSQL_DIAG_MESSAGE_DETAIL,
    "hint" => PGSQL_DIAG_MESSAGE_HINT, "at" => PGSQL_DIAG_STATEMENT_POSITION, "context" => PGSQL_DIAG_CONTEXT, "table" => PGSQL_DIAG_TABLE_NAME,
    "column" => PGSQL_DIAG_COLUMN_NAME, "constraint" => PGSQL_DIAG_CONSTRAINT_NAME];

function said($result) {
    global $quiet, $db;
    if (!$result) { echo "  nothing\n"; return; }
    echo "  ", pg_result_status($result, PGSQL_STATUS_LONG), " ", pg_result_status($result, PGSQL_STATUS_STRING), " ", pg_transaction_status($db), "\n";
    foreach ($quiet as $name => $field) { if (($value = pg_result_error_field($result, $field)) !== false && $value !== null) { echo "  $name=$value\n"; } }
    for ($n = 0; $n < pg_num_fields($result); $n++) { echo "  ", pg_field_name($result, $n), ":", pg_field_type($result, $n), ":", pg_field_size($result, $n), "\n"; }
    while ($row = pg_fetch_row($result)) { echo "  ", json_encode($row), "\n"; }
}

function all_said() {
    global $db;
    while ($result = pg_get_result($db)) { said($result); }
}

function ask($text, $values = null) {
    global $db;
    echo "$text\n";
    $values === null ? pg_send_query($db, $text) : pg_send_query_params($db, $text, $values);
    all_said();
}

function every_way($text, $values) {
    global $db;
    ask($text, $values);
    static $count = 0;
    $name = "p" . ++$count;
    pg_send_prepare($db, $name, $text);
    all_said();
    foreach ([1, 2] as $time) { pg_send_execute($db, $name, $values); all_said(); }
    ask("DEALLOCATE $name");
}

function by_pdo($text, $values, $emulated) {
    global $mode;
    static $pdo = [];
    $key = $emulated ? "emulated" : "real";
    $pdo[$key] ??= new PDO("pgsql:", null, null, [PDO::ATTR_EMULATE_PREPARES => $emulated, PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_PERSISTENT => true]);
    echo "$key $text\n";
    try {
        $one = $pdo[$key]->prepare($text);
        foreach ([1, 2] as $time) { $one->execute($values); foreach ($one->fetchAll(PDO::FETCH_NUM) as $row) { echo "  ", json_encode(array_map(fn($v) => is_resource($v) ? "bytes " . stream_get_contents($v) : $v, $row)), "\n"; } }
        for ($n = 0; $n < $one->columnCount(); $n++) { $meta = $one->getColumnMeta($n); echo "  ", $meta["name"], " ", $meta["native_type"] ?? "-", " ", $meta["table"] ?? "-", "\n"; }
    } catch (PDOException $error) { echo "  ", json_encode($error->errorInfo), "\n"; }
    return $pdo[$key];
}

function common() {
    global $db;
    every_way('SELECT id, name, ssn, dob FROM patients WHERE id < $1 ORDER BY id', [4]);
    every_way('SELECT p.*, e.notes FROM patients p JOIN encounters e ON e.patient = p.id WHERE e.id = $1', [7]);
    ask('SELECT 1; SELECT ssn FROM patients WHERE id = 2; SELECT nothing; SELECT 3');
    echo json_encode(pg_select($db, 'patients', ['id' => 3])), "\n";
    echo json_encode(pg_meta_data($db, 'patients')), "\n";
    echo json_encode(pg_copy_to($db, 'patients')), "\n";
    foreach ([true, false] as $emulated) {
        by_pdo('SELECT * FROM patients WHERE id = ? OR name = ?', [1, 'patient 4'], $emulated);
        by_pdo('SELECT ssn, notes FROM patients p JOIN encounters e ON e.patient = p.id WHERE e.id < :top ORDER BY e.id', ['top' => 3], $emulated);
        by_pdo('SELECT * FROM nowhere', [], $emulated);
    }
    $cursor = by_pdo('SELECT 1', [], false)->prepare('SELECT id, ssn FROM patients ORDER BY id', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
    $cursor->execute();
    foreach ([PDO::FETCH_ORI_FIRST, PDO::FETCH_ORI_LAST, PDO::FETCH_ORI_PRIOR] as $way) { echo "  ", json_encode($cursor->fetch(PDO::FETCH_NUM, $way)), "\n"; }
    $cursor->closeCursor();
}

function whole() {
    global $db;
    every_way('SELECT * FROM shapes WHERE i = $1', [1]);
    ask("SELECT say('so')");
    echo pg_last_notice($db), "\n";
    ask('INSERT INTO wards VALUES ($1, $2, $3)', [1, 'again', 2]);
    ask('INSERT INTO wards VALUES ($1, $2, $3)', [9, 'nine', -1]);
    ask('BEGIN');
    ask('SELECT 1/0');
    ask('SELECT 1');
    ask('COMMIT');
    ask('CREATE TEMP TABLE filled (a int, b text)');
    echo json_encode(pg_copy_from($db, 'filled', array_map(fn($n) => "$n\tline $n\n", range(1, 1500)))), "\n";
    ask('SELECT count(*), sum(a) FROM filled');
    echo json_encode(pg_copy_from($db, 'filled', ["x\ty\n"])), " ", pg_last_error($db), "\n";
    ask('BEGIN');
    $large = pg_lo_create($db);
    $open = pg_lo_open($db, $large, "w+");
    echo pg_lo_write($open, str_repeat("x", 40000)), pg_lo_seek($open, 39990, PGSQL_SEEK_SET) ? " sought " : " ", pg_lo_read($open, 100), "\n";
    pg_lo_close($open);
    pg_lo_unlink($db, $large);
    ask('COMMIT');
    ask('LISTEN ears');
    ask("NOTIFY ears, 'words'");
    $note = pg_get_notify($db, PGSQL_ASSOC);
    echo $note ? "$note[message] $note[payload] " . ($note["pid"] == pg_get_pid($db) ? "ours" : "theirs") : "none", "\n";
    pg_send_query($db, 'SELECT pg_sleep(60)');
    echo pg_connection_busy($db) ? "busy " : "idle ", pg_cancel_query($db) ? "cancelled\n" : "not cancelled\n";
    all_said();
    pg_send_query($db, 'SELECT pg_sleep(0.1), 5');
    all_said();
    foreach ([true, false] as $emulated) {
        by_pdo('SELECT * FROM shapes ORDER BY i', [], $emulated);
        $pdo = by_pdo("SELECT 'it''s ' || :a || ' \\ ' || :b", ['a' => "quo'te", 'b' => 'back\\slash'], $emulated);
        by_pdo('INSERT INTO wards VALUES (1, ?, 2)', ['again'], $emulated);
        $pdo->beginTransaction();
        by_pdo('SELECT 1/0', [], $emulated);
        by_pdo('SELECT 1', [], $emulated);
        $pdo->rollBack();
        $pdo->exec('CREATE TEMP TABLE IF NOT EXISTS poured (a int, b text)');
        echo json_encode($pdo->pgsqlCopyFromArray('poured', ["1\tone", "2\ttwo"])), json_encode($pdo->pgsqlCopyToArray('poured')), "\n";
    }
    echo pg_connection_reset($db) ? "again\n" : "lost\n";
    ask('SELECT 1');
}

common();
if ($argv[1] === "clear") { whole(); }
echo "end\n";
