"""Asks a running service by Flight SQL with the ADBC driver, and prints what it is told as one JSON object.

Usage: ask_flight_sql.py grpc://HOST:PORT [TOKEN [CERTIFICATE]]

With a certificate the address is grpc+tls://HOST:PORT.
"""
import json
import sys

import adbc_driver_flightsql.dbapi as flight_sql
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_manager import Error

address, rest = sys.argv[1], sys.argv[2:]
options = {}
if rest:
    options[DatabaseOptions.AUTHORIZATION_HEADER.value] = f"Bearer {rest[0]}"
if len(rest) > 1:
    options[DatabaseOptions.TLS_ROOT_CERTS.value] = open(rest[1]).read()


def refused(cursor, statement, parameters=None):
    try:
        cursor.execute(statement, parameters)
        cursor.fetchall()
    except Error as error:
        return str(error)
    return None


told = {}
with flight_sql.connect(address, db_kwargs=options, autocommit=True) as connection:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rack, count(*) AS readings, max(value) AS highest FROM samples GROUP BY rack ORDER BY rack")
        told["columns"] = [column[0] for column in cursor.description]
        told["statement"] = cursor.fetchall()
        by_rack = "SELECT max(value) FROM samples WHERE rack = $1 AND value < $2"
        cursor.adbc_prepare(by_rack)
        cursor.execute(by_rack, ("r1", 100.0))
        told["prepared"] = cursor.fetchall()
        cursor.execute(by_rack, ("r2", 100.0))
        told["prepared_again"] = cursor.fetchall()
        cursor.execute("SELECT time, value FROM samples ORDER BY rack, time LIMIT 1")
        told["time"] = cursor.fetchone()[0].isoformat()
        told["refused"] = {
            statement.split()[0]: refused(cursor, statement)
            for statement in [
                "INSERT INTO samples (rack) VALUES ('x')",
                "COPY samples TO '/tmp/samples.parquet'",
                "CREATE EXTERNAL TABLE secrets STORED AS CSV LOCATION '/etc/passwd'",
                "SET datafusion.execution.batch_size = 1",
                "SELECT nothing FROM samples",
            ]
        }
        told["two_rows_refused"] = refused(cursor, by_rack, None)
    info = connection.adbc_get_info()
    told["vendor"] = info.get("vendor_name")
    told["table_types"] = sorted(connection.adbc_get_table_types())
    objects = connection.adbc_get_objects(depth="tables").read_all().to_pylist()
    told["catalogs"] = [catalog["catalog_name"] for catalog in objects]
    told["schemas"] = [
        schema["db_schema_name"] for catalog in objects for schema in catalog["catalog_db_schemas"]
    ]
    told["tables"] = sorted(
        table["table_name"]
        for catalog in objects
        for schema in catalog["catalog_db_schemas"]
        for table in schema["db_schema_tables"]
    )
    told["samples_columns"] = connection.adbc_get_table_schema("samples").names
print(json.dumps(told, default=str))
