//! The Lambda function: it receives one event, does its work, and sends the next events.

pub mod cloud;
pub mod errand;
mod error;
pub mod handler;
pub mod services;

pub use error::{Error, Fate};
