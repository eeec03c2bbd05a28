"""Asks `select 1` by Flight SQL over TLS with a bearer token and with a password, and prints the answers as JSON.

Usage: log_in_flight_sql.py HOST:PORT CERTIFICATE TOKEN
"""
import json
import sys

import adbc_driver_flightsql.dbapi as flight_sql
from adbc_driver_flightsql import DatabaseOptions
from adbc_driver_manager import Error

address, certificate, token = sys.argv[1:]
trusted = {DatabaseOptions.TLS_ROOT_CERTS.value: open(certificate).read()}


def answer(scheme, **options):
    try:
        with flight_sql.connect(f"{scheme}://{address}", db_kwargs=options, autocommit=True) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 AS one")
                return cursor.fetchone()[0]
    except Error as error:
        return str(error)


print(json.dumps({
    "bearer": answer("grpc+tls", **trusted, **{DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}),
    "password": answer("grpc+tls", **trusted, username="anybody", password=token),
    "nobody": answer("grpc+tls", **trusted),
}))
