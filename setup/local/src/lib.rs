//! The local cloud: Lambda's Runtime API and Invoke, the DynamoDB calls that Baton makes,
//! and the function's processes.
//!
//! It runs the same binary that AWS runs, unchanged, and knows nothing about training. All listeners are on
//! the loopback and serve only those who show the token. No process outlives the [`LocalCloud`] that started
//! it.

mod address;
mod api;
mod cloud;
mod door;
mod dynamodb;
mod error;
mod faults;
mod invocation;
mod invoke;
mod lineage;
mod log;
mod memory;
mod options;
mod payload;
mod process;
mod queue;
pub mod readers;
mod runtime_api;
mod sandbox;
mod status;
mod system;

pub use address::{Address, Token};
pub use cloud::LocalCloud;
pub use door::{Door, Shown};
pub use error::Error;
pub use faults::{Faults, TableFault};
pub use log::{Log, Source};
pub use options::Options;
pub use status::{Counts, Failure, Kill, LiveProcess, Status};
