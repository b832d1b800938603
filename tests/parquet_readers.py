"""Programs that read a table's Parquet files as anybody would: a path, and no help with types, names or schemas."""

import json
from decimal import Decimal, localcontext


class DuckDb:
    """DuckDB, over the glob that the documentation names."""

    def __init__(self, table):
        import duckdb

        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'")
        self.source = f"'{table}/**/*.parquet'"

    def types(self):
        return {row[0]: row[1] for row in self.connection.execute(f"DESCRIBE SELECT * FROM {self.source}").fetchall()}

    def is_time(self, column):
        return self.types()[column].startswith("TIMESTAMP")

    def aggregates(self, column):
        """(rows, values, sum, min, max), as the engine computes them."""
        select = f'SELECT count(*), count("{column}"), sum("{column}"), min("{column}"), max("{column}") FROM {self.source}'
        return self.connection.execute(select).fetchone()

    def rows(self, columns):
        """Device, nanoseconds since 1970, and the values of `columns`."""
        return self.rows_of(["device_id", "epoch_ns(ts)", *(f'"{column}"' for column in columns)])

    def rows_of(self, expressions):
        return self.connection.execute(f"SELECT {', '.join(expressions)} FROM {self.source}").fetchall()


class ListedDuckDb(DuckDb):
    """DuckDB, over the files that the table's published list names."""

    def __init__(self, table):
        super().__init__(table)
        cold = table.parent.parent
        files = json.loads((table / "_current.json").read_text())["files"]
        self.source = f"read_parquet({[str(cold / file['path']) for file in files]})"


class PyArrow:
    """pyarrow, over the table's directory."""

    def __init__(self, table):
        import pyarrow.dataset

        self.table = pyarrow.dataset.dataset(str(table), format="parquet").to_table()

    def types(self):
        return {field.name: str(field.type) for field in self.table.schema}

    def is_time(self, column):
        return self.types()[column].startswith("timestamp")

    def aggregates(self, column):
        import pyarrow.compute as compute

        values = self.table[column]
        total, least, greatest = compute.sum(values), compute.min(values), compute.max(values)
        return self.table.num_rows, values.length() - values.null_count, total.as_py(), least.as_py(), greatest.as_py()

    def rows(self, columns):
        import pyarrow

        ts = self.table["ts"]
        nanoseconds = ts.cast(pyarrow.timestamp("ns", ts.type.tz)).cast(pyarrow.int64()).to_pylist()
        return [(device, time, *rest) for (device, *rest), time in zip(self.rows_of(["device_id", *columns]), nanoseconds)]

    def rows_of(self, columns):
        return list(zip(*(self.table[column].to_pylist() for column in columns)))


class Polars:
    """Polars, over the same glob, lazily."""

    def __init__(self, table):
        import polars

        self.frame = polars.scan_parquet(f"{table}/**/*.parquet").collect()

    def types(self):
        return {name: str(kind) for name, kind in self.frame.schema.items()}

    def is_time(self, column):
        return self.types()[column].startswith("Datetime")

    def aggregates(self, column):
        values = self.frame[column]
        return self.frame.height, values.len() - values.null_count(), values.sum(), values.min(), values.max()

    def rows(self, columns):
        nanoseconds = self.frame["ts"].dt.epoch("ns").to_list()
        return [(device, time, *rest) for (device, *rest), time in zip(self.rows_of(["device_id", *columns]), nanoseconds)]

    def rows_of(self, columns):
        return list(zip(*(self.frame[column].to_list() for column in columns)))


READERS = {"duckdb": DuckDb, "duckdb-listed": ListedDuckDb, "pyarrow": PyArrow, "polars": Polars}


def check_table(reader, items, numbers, others=()):
    """The files say what the `items` are: numbers in count, sum, least and greatest as the engine computes them, and every
    value of every row.
    """
    assert reader.is_time("ts"), reader.types()
    for column in numbers:
        values = [item[column] for item in items if isinstance(item.get(column), Decimal)]
        with localcontext(prec=100):
            expected = (len(items), len(values), sum(values), min(values), max(values))
        assert reader.aggregates(column) == expected, column
    columns = [*numbers, *others]
    expected = {
        (item["device_id"], int(item["ts"] * 1_000_000)): tuple(item.get(column) for column in columns) for item in items
    }
    rows = reader.rows(columns)
    found = {(device, time): tuple(values) for device, time, *values in rows}
    assert len(rows) == len(found), "a key comes more than once"
    assert found.keys() == expected.keys()
    for key, values in found.items():
        assert values == expected[key], key
