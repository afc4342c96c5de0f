//! The protocol, the storage and the handler once more, from the same sources,
//! with mutations that tests switch on.
//!
//! Each mutation turns one safeguard off, and the simulator must find it. The shipped crates have none.

mod list;
pub mod mutation;

pub use list::{MUTATIONS, Mutation};

include!(concat!(env!("OUT_DIR"), "/mutants.rs"));
