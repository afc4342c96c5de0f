//! The ports' cloud side: Lambda, DynamoDB, S3, the clock.

mod bucket;
mod client;
mod clock;
mod invoke;
mod probe;
mod progress;

pub use bucket::S3Bucket;
pub use client::configuration;
pub use clock::SystemClock;
pub use invoke::LambdaInvoke;
pub use probe::{Names, probe};
pub use progress::{DynamoProgress, NoProgress};
