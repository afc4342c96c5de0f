//! The features stage: the frozen layers' output for every image, computed once into a store that later runs reuse.

mod compute;
mod engine;
mod gather;
mod mend;
mod prefetch;
mod recipe;
mod store;
mod units;

pub(crate) use compute::FeatureWork;
pub(crate) use gather::combine;
pub use recipe::{Recipe, plan};
pub(crate) use recipe::{cut, open_weights};
pub use store::{Rows, Store, Window};
