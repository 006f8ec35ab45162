# A host for suite.txt: Python's sqlite3 module, or APSW.
#   host.py <module> <extension> <suite>
import importlib
import platform
import sys

name, extension, suite = sys.argv[1:]
module = importlib.import_module(name)


def open_connection(file):
    # Without an isolation level, the sqlite3 module starts no transactions of its own.
    connection = module.Connection(file) if name == "apsw" else module.connect(file, isolation_level=None)
    if hasattr(connection, "loadextension"):  # APSW before 3.43
        connection.enableloadextension(True)
        connection.loadextension(extension)
    else:
        connection.enable_load_extension(True)
        connection.load_extension(extension)
    return connection


def value_of(kind, text):
    return {"text": str, "integer": int, "blob": bytes.fromhex, "null": lambda _: None}[kind](text)


def in_hex(value):
    return (value.encode() if isinstance(value, str) else bytes(value)).hex()


def shown(value):
    return "NULL" if value is None else str(value)


def run(connection, sql, parameters, show):
    try:
        for row in connection.cursor().execute(sql, parameters):
            print("= " + "|".join(map(show, row)))
    except module.Error as error:
        # APSW puts its exception's name in front.
        print("! " + str(error).removeprefix(type(error).__name__ + ": "))


def main():
    connections = {}
    current = None
    parameters = {}
    for line in open(suite, encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith(("=", "!")):
            continue
        print(line)
        command, _, rest = line.partition(" ")
        words = rest.split(" ", 2)
        if command == "open":
            connections[words[0]] = open_connection(words[1])
            current = words[0]
        elif command == "on":
            current = words[0]
        elif command == "close":
            connections.pop(words[0]).close()
        elif command == "bind":
            parameters[words[0][1:]] = value_of(words[1], words[2] if len(words) > 2 else "")
        elif command in ("sql", "once", "hex"):
            run(connections[current], rest, parameters, in_hex if command == "hex" else shown)
            parameters = {}


sys.stdout.reconfigure(encoding="utf-8")
version = module.apswversion() if name == "apsw" else platform.python_version()
library = module.sqlitelibversion() if name == "apsw" else module.sqlite_version
print(f"{name} {version}, SQLite {library}", file=sys.stderr)
main()
