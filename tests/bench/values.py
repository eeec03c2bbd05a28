#!/usr/bin/env python3
"""How many bytes a value of `samples` takes as a double and as a scaled integer, written in several ways.

    tests/bench/values.py DATA/store/samples/date=2026-01-01/part-….parquet
    tests/bench/values.py --scale 100 FILE       # integers of hundredths; of thousandths when not said

The rows are those of the file, in its order and row groups: take one that maintenance has merged. Printed first is what
share of the values would not come back to the last bit, and by how much at most. Sizes are of whole files with this one
column.
"""
import argparse
import io

import pyarrow
import pyarrow.compute as compute
import pyarrow.parquet as parquet

DICTIONARY = {"use_dictionary": True, "dictionary_pagesize_limit": 1 << 20}
SPLIT = {"use_dictionary": False, "column_encoding": "BYTE_STREAM_SPLIT"}
DELTA = {"use_dictionary": False, "column_encoding": "DELTA_BINARY_PACKED"}


def bytes_of(file, column, **how):
    """Of all values, written so, by row groups as in the file."""
    written = io.BytesIO()
    writer = None
    for group in range(file.num_row_groups):
        table = pyarrow.table({"value": column(file.read_row_group(group, columns=["value"])["value"])})
        writer = writer or parquet.ParquetWriter(written, table.schema, compression="zstd", **how)
        writer.write_table(table, row_group_size=max(1, table.num_rows))
    writer.close()
    return written.tell()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="a Parquet file of table samples")
    parser.add_argument("--scale", type=int, default=1000, help="integers are values times this")
    parser.add_argument("--level", type=int, default=3, help="of zstd: as maintenance writes")
    arguments = parser.parse_args()
    file = parquet.ParquetFile(arguments.file)
    rows = file.metadata.num_rows
    if rows == 0:
        parser.error(f"{arguments.file} has no rows")

    def scaled(values):
        return compute.cast(compute.round(compute.multiply(values, float(arguments.scale))), pyarrow.int64(), safe=False)

    changed = known = 0
    most = 0.0
    for group in range(file.num_row_groups):
        values = file.read_row_group(group, columns=["value"])["value"]
        again = compute.divide(compute.cast(scaled(values), pyarrow.float64()), float(arguments.scale))
        changed += compute.sum(compute.not_equal(again, values)).as_py() or 0
        most = max(most, compute.max(compute.abs(compute.subtract(again, values))).as_py() or 0.0)
        known += len(values) - values.null_count
    print(f"{rows} rows; {100 * changed / max(1, known):.1f} % of their values come back changed, by {most:.1e} at most")
    for name, column, how in [
        ("double, dictionary", lambda values: values, DICTIONARY),
        ("double, byte stream split", lambda values: values, SPLIT),
        ("integer, delta", scaled, DELTA),
        ("integer, dictionary", scaled, DICTIONARY),
        ("integer, byte stream split", scaled, SPLIT),
    ]:
        size = bytes_of(file, column, compression_level=arguments.level, **how)
        print(f"{name:28} {size / rows:.3f} bytes a value")


if __name__ == "__main__":
    main()
