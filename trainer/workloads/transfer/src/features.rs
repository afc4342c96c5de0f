//! The features stage: the frozen layers' output for every image, computed once into a store that later runs
//! reuse.

mod compute;
mod engine;
mod gather;
mod mend;
mod pass;
mod prefetch;
mod recipe;
mod statistics;
mod store;
mod units;

pub(crate) use compute::FeatureWork;
pub(crate) use gather::combine;
pub(crate) use mend::open;
pub(crate) use pass::{FeatureBatch, FeaturePass};
pub use recipe::Recipe;
pub(crate) use recipe::manifest_reference;
pub use store::{Rows, Store, Window};
