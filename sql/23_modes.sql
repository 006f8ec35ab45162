-- Who may use the store's files: its owner, and who may use the main database's file.
.shell umask 077; kvsql private.db "CREATE VIRTUAL TABLE kv USING kv(path='private')" "INSERT INTO kv VALUES('a', 1)" "SELECT kv_compact('kv') >= 0"
.shell stat -c '%a %n' private.db private private/* | sed 's/_[0-9]*/_<n>/'
.shell umask 022; kvsql open.db "CREATE VIRTUAL TABLE kv USING kv" "INSERT INTO kv VALUES('a', 1)" "SELECT kv_compact('kv') >= 0"
.shell stat -c '%a %n' open.db open.db-kv open.db-kv/kv open.db-kv/kv/* | sed 's/_[0-9]*/_<n>/'

-- Whatever the umask is when files are added.
.shell umask 077; kvsql open.db "INSERT INTO kv VALUES('b', 2)" "SELECT kv_compact('kv') >= 0"
.shell stat -c '%a %n' open.db-kv/kv/* | sed 's/_[0-9]*/_<n>/'

-- A database that is opened to others opens its stores, as new files come, but not the directory.
.shell chmod 660 private.db; umask 077; kvsql private.db "INSERT INTO kv VALUES('b', 2)" "SELECT kv_compact('kv') >= 0"
.shell stat -c '%a %n' private private/* | sed 's/_[0-9]*/_<n>/'
-- A store that was opened to others stays so, whoever writes.
.shell chmod 755 private; chmod 644 private/*; umask 077
.shell kvsql other.db "CREATE VIRTUAL TABLE temp.kv USING kv(path='private')" "INSERT INTO kv VALUES('c', 3)" "SELECT kv_compact('kv') >= 0"
.shell stat -c '%a %n' private/* | sed 's/_[0-9]*/_<n>/'

-- In memory, and temporary: nobody else's business.
.shell umask 0; mkdir tmp; TMPDIR=$PWD/tmp kvsql :memory: "CREATE VIRTUAL TABLE kv USING kv" "INSERT INTO kv VALUES('a', 1)" ".shell stat -c %a tmp/sqlite-kv-* tmp/*/LOCK"; ls tmp
