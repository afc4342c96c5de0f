//! The local cloud: Lambda's Runtime API and Invoke, the DynamoDB calls that Baton makes, and the function's processes.
//!
//! It runs the same binary that AWS runs, unchanged, and knows nothing of training. Everything listens on the
//! loopback only, and no process outlives the [`LocalCloud`] that started it.

mod api;
mod cloud;
mod dynamodb;
mod error;
mod faults;
mod invocation;
mod lineage;
mod log;
mod memory;
mod options;
mod process;
mod queue;
mod runtime_api;
mod sandbox;
mod status;

pub use cloud::LocalCloud;
pub use error::Error;
pub use faults::{Faults, TableFault};
pub use log::{Log, Source};
pub use options::Options;
pub use status::{Counts, Failure, Kill, LiveProcess, Status};
