//! One consistent set of places to look for a row.
