//! Whole-system simulation: one thread, a seeded clock, a disk that loses what a real one may lose, a workload, and a model
//! that knows what the answers must be.

pub mod clock;
pub mod disk;
pub mod random;
