//! Rolls cold data into Parquet.
