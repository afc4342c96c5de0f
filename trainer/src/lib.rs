//! The Lambda function: one event in, the work it asks for done, the next events out.

pub mod cloud;
pub mod errand;
mod error;
pub mod handler;
pub mod services;

pub use error::{Error, Fate};
