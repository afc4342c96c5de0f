//! The workload `program`: it runs a user's executable over many independent units of a data set.
//!
//! The program is `programs/NAME/run`. It reads units from its standard input, one per line, and writes one
//! line of JSON per unit to its standard output, in the same order. It has to do nothing else. Its answer to
//! a unit must depend only on that unit.

mod batches;
pub mod executable;
mod identity;
mod job;
mod process;
mod source;
mod workload;

pub use job::Job;
pub use workload::Program;
