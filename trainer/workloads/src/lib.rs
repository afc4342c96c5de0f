//! The registry of workloads: the kinds that jobs name, one line each.

use factors::Factors;
use program::Program;
use transfer::Transfer;
use work::Registry;

/// Every kind of job. A job without a kind is of the first.
pub fn all() -> Registry {
    Registry::new(vec![
        ("transfer", Box::new(Transfer)), //
        ("program", Box::new(Program)),
        ("factors", Box::<Factors>::default()),
    ])
}
