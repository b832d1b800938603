//! Gauges that are read when somebody asks for them, so that nothing pays for them between.

use crate::{App, process};

/// Sets them.
pub(crate) fn observe(app: &App) {
    app.store.observe();
    app.compactor.observe();
    process::observe();
}
