// A host for suite.txt: better-sqlite3, or Node's own node:sqlite.
//   node host.js <module> <extension> <suite>
'use strict';
const fs = require('fs');
const [name, extension, suite] = process.argv.slice(2);
const module_ = require(name);
const own = name === 'node:sqlite';

function open(file) {
    const db = own ? new module_.DatabaseSync(file, { allowExtension: true }) : new module_(file);
    db.loadExtension(extension);
    return db;
}

function valueOf(type, text) {
    switch (type) {
    case 'text': return text;
    case 'integer': return BigInt(text);
    case 'blob': return Buffer.from(text, 'hex');
    default: return null;
    }
}

// The rows of a statement, as arrays; better-sqlite3 wants to know beforehand whether there are any.
function rowsOf(db, sql, parameters) {
    const statement = db.prepare(sql);
    const values = Object.keys(parameters).length ? [parameters] : [];
    if (own) {
        statement.setReadBigInts(true);
        statement.setReturnArrays(true);
        return statement.all(...values);
    }
    if (!statement.reader) {
        statement.run(...values);
        return [];
    }
    return statement.safeIntegers().raw().all(...values);
}

function run(db, sql, parameters, show) {
    try {
        for (const row of rowsOf(db, sql, parameters))
            console.log('= ' + row.map(show).join('|'));
    } catch (error) {
        console.log('! ' + error.message);
    }
}

const inHex = (value) => Buffer.from(value).toString('hex');
const shown = (value) => (value === null ? 'NULL' : String(value));
const connections = {};
let current;
let parameters = {};
for (const line of fs.readFileSync(suite, 'utf8').split('\n').slice(0, -1)) {
    if (/^[=!]/.test(line))
        continue;
    console.log(line);
    const [, command, rest] = /^(\S*) ?(.*)$/.exec(line);
    const [, first, second, third] = /^(\S*) ?(\S*) ?(.*)$/.exec(rest);
    if (command === 'open') {
        connections[current = first] = open(second);
    } else if (command === 'on') {
        current = first;
    } else if (command === 'close') {
        connections[first].close();
    } else if (command === 'bind') {
        parameters[first.slice(1)] = valueOf(second, third);
    } else if (['sql', 'once', 'hex'].includes(command)) {
        run(connections[current], rest, parameters, command === 'hex' ? inHex : shown);
        parameters = {};
    }
}
const [[library]] = rowsOf(own ? new module_.DatabaseSync(':memory:') : new module_(':memory:'), 'SELECT sqlite_version()', {});
console.error(`${own ? name : name + ' ' + require(name + '/package.json').version}, Node ${process.version}, SQLite ${library}`);
