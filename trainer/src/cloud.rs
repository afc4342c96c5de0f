//! The ports' cloud side: Lambda, DynamoDB, the clock.

mod client;
mod clock;
mod invoke;
mod progress;

pub use client::configuration;
pub use clock::SystemClock;
pub use invoke::LambdaInvoke;
pub use progress::{DynamoProgress, NoProgress};
