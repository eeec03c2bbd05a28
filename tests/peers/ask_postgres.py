"""Asks a running service by the Postgres wire with psycopg, and prints what it is told as one JSON object.

Usage: ask_postgres.py "host=… port=… user=… password=… sslmode=…"

The queries of `grafana` are those that Grafana's PostgreSQL data source sends: its macros expanded as its documentation
says, and the look-ups of its query editor.
"""
import json
import sys

import psycopg

FROM, TO = "2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z"
SCHEMAS = """SELECT CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END FROM
    generate_series(array_lower(string_to_array(current_setting('search_path'),','),1),
    array_upper(string_to_array(current_setting('search_path'),','),1)) as i,
    string_to_array(current_setting('search_path'),',') s"""
GRAFANA = {
    "time_filter": f"SELECT time, value FROM samples WHERE time BETWEEN '{FROM}' AND '{TO}' AND rack = 'r1' ORDER BY time",
    "time_group": 'SELECT floor(extract(epoch from time)/60)*60 AS "time", avg(value) AS value FROM samples '
    f"WHERE time BETWEEN '{FROM}' AND '{TO}' GROUP BY 1 ORDER BY 1",
    "unix_epoch_filter": "SELECT count(*) FROM samples WHERE extract(epoch from time) >= 1767607200 AND "
    "extract(epoch from time) <= 1767610800",
    "tables": f"""SELECT CASE WHEN quote_ident(table_schema) IN ({SCHEMAS}) THEN quote_ident(table_name)
        ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table"
        FROM information_schema.tables WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog',
        '_timescaledb_cache', '_timescaledb_catalog', '_timescaledb_internal', '_timescaledb_config',
        'timescaledb_information', 'timescaledb_experimental')
        ORDER BY CASE WHEN quote_ident(table_schema) IN ({SCHEMAS}) THEN 0 ELSE 1 END, 1""",
    "columns": f"""SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns
        WHERE CASE WHEN array_length(parse_ident('public.samples'),1) = 2
        THEN quote_ident(table_schema) = (parse_ident('public.samples'))[1] AND quote_ident(table_name) = (parse_ident('public.samples'))[2]
        ELSE quote_ident(table_name) = 'public.samples' AND quote_ident(table_schema) IN ({SCHEMAS}) END""",
    "version": "SELECT current_setting('server_version_num')::int/100 AS version",
    "health": "SELECT 1",
}
REFUSED = [
    "INSERT INTO samples (rack) VALUES ('x')",
    "COPY samples TO '/tmp/samples.parquet'",
    "CREATE EXTERNAL TABLE secrets STORED AS CSV LOCATION '/etc/passwd'",
    "CREATE TABLE x AS SELECT 1",
    "DROP TABLE samples",
    "EXPLAIN ANALYZE INSERT INTO samples (rack) VALUES ('x')",
    "SELECT nothing FROM samples",
]


def refused(connection, statement, **how):
    try:
        connection.execute(statement, **how).fetchall()
    except psycopg.Error as error:
        return f"{error.sqlstate} {error.diag.message_primary or error}"
    return None


def answered(connection, statement):
    try:
        return connection.execute(statement).fetchall()
    except psycopg.Error as error:
        return f"failed: {error}"


told = {}
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    by_rack = "SELECT rack, count(*), max(value) FROM samples WHERE rack = %s AND value < %s GROUP BY rack"
    told["text"] = connection.execute(by_rack, ("r1", 100.0)).fetchall()
    told["binary"] = connection.execute(by_rack, ("r2", 100.0), binary=True).fetchall()
    told["prepared"] = connection.execute(by_rack, ("r1", 45.0), prepare=True).fetchall()
    told["time"] = connection.execute("SELECT min(time) FROM samples", binary=True).fetchone()[0].isoformat()
    told["labels"] = connection.execute("SELECT labels FROM samples LIMIT 1").fetchone()[0]
    told["refused"] = {statement: refused(connection, statement) for statement in REFUSED}
    told["refused_prepared"] = {statement: refused(connection, statement, prepare=True) for statement in REFUSED}
    told["grafana"] = {name: answered(connection, statement) for name, statement in GRAFANA.items()}
    told["after_errors"] = connection.execute("SELECT 1").fetchone()[0]
with psycopg.connect(sys.argv[1]) as connection:
    with connection.cursor("readings") as cursor:
        cursor.itersize = 2
        cursor.execute("SELECT value FROM samples WHERE rack = 'r1' ORDER BY time")
        told["cursor"] = [row[0] for row in cursor]
print(json.dumps(told, default=str))
