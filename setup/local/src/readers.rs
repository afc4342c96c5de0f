//! The readers of callers' input, without a listener and a process: for tests that attack them.

use crate::{dynamodb, invoke, lineage::Trace};

/// The longest trace header for a function, in bytes.
const LONGEST_TRACE: usize = 256;

/// Tables in memory, and the calls on them.
#[derive(Debug)]
pub struct Tables(dynamodb::Tables);

impl Tables {
    /// Tables of these names, with the string keys `pk` and `sk`.
    pub fn with(names: &[String]) -> Self {
        Self(dynamodb::Tables::with(names))
    }

    /// Carries out one call; `target` is its name as in the header `x-amz-target`.
    ///
    /// # Errors
    /// The service's answer if it refuses the call.
    pub fn call(&self, target: &str, body: &[u8]) -> Result<String, String> {
        let answer = self.0.call(target, body);
        answer.map(|answer| answer.to_string()).map_err(|refusal| refusal.body().to_string())
    }
}

/// Reads an Invoke of the function `baton`: the name from the path, the kind and the trace from its headers,
/// and its body.
///
/// # Errors
/// The message of the refusal.
pub fn invoke(name: &str, kind: Option<&str>, trace: Option<&str>, body: &[u8]) -> Result<(), String> {
    let passed_on = Trace::of(trace, "baton").header();
    assert!(passed_on.len() <= LONGEST_TRACE, "a trace that grows: {passed_on}");
    invoke::read("baton", name, kind, body).map(drop).map_err(|refused| refused.message)
}
