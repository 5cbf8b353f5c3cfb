#!/bin/sh
# Writes the fixture of the upgrade tests as the release writes it that is checked out: examples/before/write.sh [FOLDER], from anywhere.
#
# Needs python3 (its sqlite3) and PostgreSQL's programs; pg_dump is the one beside the server unless PG_DUMP names another.
set -eu

cd "$(dirname "$0")/../../../.."
to=$(realpath "${1:-crates/unified-messaging/tests/fixtures/before}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
before="cargo run --quiet --package unified-messaging --example before --"
dump=${PG_DUMP:-$(command -v pg_dump || ls /usr/lib/postgresql/*/bin/pg_dump | tail -n 1)}

$before "sqlite://$work/ums.sqlite" "$to/sqlite.json"
# Small pages: most tables hold a few rows. The journal's mode is what the store leaves.
python3 - "$work/ums.sqlite" <<'PYTHON'
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in ("journal_mode = DELETE", "page_size = 1024"):
    database.execute("PRAGMA " + statement)
database.execute("VACUUM")
database.execute("PRAGMA journal_mode = WAL")
database.close()
PYTHON
cp "$work/ums.sqlite" "$to/ums.sqlite"
chmod 644 "$to/ums.sqlite"

export before dump to
cargo xtask postgres sh -ec '
    $before "$UMS_TEST_POSTGRES_URL" "$to/postgres.json"
    # Only what any client can run on any server.
    "$dump" --inserts --no-owner --no-privileges "$UMS_TEST_POSTGRES_URL" |
        grep --extended-regexp --invert-match "^(--|SET |SELECT pg_catalog.set_config|\\\\|$)" > "$to/postgres.sql"
'
