//! The workload `program`: an executable of the user over many independent units of a data set.
//!
//! The program lies in `programs/NAME/` as `run`. It reads units from its standard input, a line each, and
//! writes one line of JSON for each to its standard output, in their order. Nothing else is asked of it. What
//! it answers to a unit must depend on the unit alone.

mod batches;
pub mod executable;
mod identity;
mod job;
mod process;
mod source;
mod workload;

pub use job::Job;
pub use workload::Program;
