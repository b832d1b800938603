"""An analyst: queries the Parquet files of the table `readings` with DuckDB. No server is asked.

    pip install duckdb
    THALWEG_DATA_DIR=./thalweg-data python3 files.py

Rows reach the files within minutes, or at once with `thalweg compact`.
"""

import os
import sys
from pathlib import Path

import duckdb

table = Path(os.environ.get("THALWEG_DATA_DIR", "./thalweg-data")) / "cold" / "tables" / "readings"
# The link names one immutable generation of files. Resolving it once means that a compaction cannot change it midway.
generation = table.resolve()
if not generation.exists():
    sys.exit(f"there is no {table}: run `thalweg compact` first, and name the data directory with THALWEG_DATA_DIR")
print(
    duckdb.sql(f"""
        SELECT device_id, count(*) AS readings, min(ts) AS first, max(ts) AS last
        FROM '{generation}/**/*.parquet'
        GROUP BY device_id
        ORDER BY device_id
    """)
)
