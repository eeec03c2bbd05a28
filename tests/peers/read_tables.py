"""Reads the tables of a store directly with deltalake, polars and duckdb, and prints what each counts and sums as JSON.

Usage: read_tables.py FOLDER/store

duckdb reads the Parquet files that the newest version of the Delta table names, since its Delta extension is not part of
the package.
"""
import json
import sys

import duckdb
import polars
from deltalake import DeltaTable

told = {}
for table in ("samples", "blocks"):
    path = f"{sys.argv[1]}/{table}"
    value = "value" if table == "samples" else "mean"
    delta = DeltaTable(path)
    arrow = delta.to_pyarrow_table() if hasattr(delta, "to_pyarrow_table") else None
    files = delta.file_uris()
    by_duckdb = duckdb.sql(
        f"SELECT rack, count(*), sum({value}) FROM read_parquet({files}, hive_partitioning = true) GROUP BY rack ORDER BY rack"
    ).fetchall()
    frame = polars.scan_delta(path).group_by("rack").agg(polars.len().alias("n"), polars.col(value).sum()).sort("rack")
    by_polars = frame.collect().rows()
    totals = {}
    for rack, number in zip(arrow["rack"].to_pylist(), arrow[value].to_pylist()):
        count, total = totals.get(rack, (0, 0.0))
        totals[rack] = (count + 1, total + number)
    by_deltalake = [[rack, *totals[rack]] for rack in sorted(totals)]
    told[table] = {
        "deltalake": by_deltalake,
        "duckdb": [list(row) for row in by_duckdb],
        "polars": [list(row) for row in by_polars],
        "files": len(files),
    }
print(json.dumps(told))
