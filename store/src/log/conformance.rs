//! Contract tests that every `Log` must pass.
