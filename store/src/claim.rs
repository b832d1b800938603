//! Who has a request that was handed in: the caller, who may still take it back, or the core.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Taken once: by the core when it admits the request, or by a caller that waits no longer. So a caller that takes it knows
/// that nothing was planned.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Takes it; false if it was taken before.
    pub(crate) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}
