<?php
// A host for suite.txt: PHP's SQLite3 class, which loads extensions from
// sqlite3.extension_dir only.
//   php -d sqlite3.extension_dir=<directory> host.php <file of the extension> <suite>
[, $extension, $suite] = $argv;

function open_connection(string $file): SQLite3
{
    global $extension;
    $db = new SQLite3($file);
    $db->enableExceptions(true);
    $db->loadExtension($extension);
    return $db;
}

function bind(SQLite3Stmt $statement, string $name, string $type, string $text): void
{
    match ($type) {
        'text' => $statement->bindValue($name, $text, SQLITE3_TEXT),
        'integer' => $statement->bindValue($name, (int)$text, SQLITE3_INTEGER),
        'blob' => $statement->bindValue($name, hex2bin($text), SQLITE3_BLOB),
        'null' => $statement->bindValue($name, null, SQLITE3_NULL),
    };
}

function rows_of(SQLite3Stmt $statement): Generator
{
    $result = $statement->execute();
    while ($result->numColumns() && ($row = $result->fetchArray(SQLITE3_NUM))) {
        yield $row;
    }
}

// SQLite3Result runs a statement again to read its rows; querySingle() reads the first as it comes.
function row_of_one_run(SQLite3 $db, string $sql): array
{
    return [array_values($db->querySingle($sql, true))];
}

function run(SQLite3 $db, string $sql, array $parameters, callable $show, bool $once): void
{
    try {
        $statement = $db->prepare($sql);
        foreach ($parameters as $parameter) {
            bind($statement, ...$parameter);
        }
        foreach ($once ? row_of_one_run($db, $sql) : rows_of($statement) as $row) {
            echo '= ', implode('|', array_map($show, $row)), "\n";
        }
    } catch (Exception) {
        // What SQLite says, without the exception's words around it.
        echo '! ', $db->lastErrorMsg(), "\n";
    }
}

$connections = [];
$parameters = [];
foreach (file($suite, FILE_IGNORE_NEW_LINES) as $line) {
    if (preg_match('/^[=!]/', $line)) {
        continue;
    }
    echo $line, "\n";
    [$command, $rest] = array_pad(explode(' ', $line, 2), 2, '');
    $words = array_pad(explode(' ', $rest, 3), 3, '');
    switch ($command) {
        case 'open':
            $connections[$current = $words[0]] = open_connection($words[1]);
            break;
        case 'on':
            $current = $words[0];
            break;
        case 'close':
            $connections[$words[0]]->close();
            break;
        case 'bind':
            $parameters[] = $words;
            break;
        case 'sql':
        case 'once':
        case 'hex':
            $show = $command == 'hex' ? 'bin2hex' : fn($value) => $value ?? 'NULL';
            run($connections[$current], $rest, $parameters, $show, $command == 'once');
            $parameters = [];
            break;
    }
}
fwrite(STDERR, 'PHP ' . PHP_VERSION . ', SQLite ' . SQLite3::version()['versionString'] . "\n");
