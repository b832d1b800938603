#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::Entry::Statement.take(bytes));
