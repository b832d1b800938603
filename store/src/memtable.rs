//! Recent rows in memory, ordered by key.
