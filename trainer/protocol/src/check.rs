//! Checks of a job's numbers and names, for the readers of its keys.

use crate::Error;

/// Checks a whole number.
///
/// # Errors
/// [`Error::Refused`] with the key.
pub fn whole(key: &str, found: u32, low: u32, high: u32) -> Result<(), Error> {
    if (low..=high).contains(&found) {
        return Ok(());
    }
    Err(Error::refused(
        &format!("job.{key}"),
        found.to_string(),
        format!("a whole number from {low} to {high}"),
    ))
}

/// Checks a number; `expected` is the range in words.
///
/// # Errors
/// [`Error::Refused`] with the key.
pub fn number(key: &str, found: f64, expected: &str, allowed: impl Fn(f64) -> bool) -> Result<(), Error> {
    if found.is_finite() && allowed(found) {
        return Ok(());
    }
    Err(Error::refused(&format!("job.{key}"), found.to_string(), format!("a number {expected}")))
}

/// Checks a list of numbers to try, each once; `expected` is their range in words.
///
/// # Errors
/// [`Error::Refused`] with the key.
pub fn values(key: &str, found: &[f64], expected: &str, allowed: impl Fn(f64) -> bool) -> Result<(), Error> {
    for (at, &value) in found.iter().enumerate() {
        number(key, value, expected, &allowed)?;
        if found[..at].contains(&value) {
            return Err(Error::refused(&format!("job.{key}"), format!("{value} twice"), "each once"));
        }
    }
    Ok(())
}

/// Checks the name of a folder or a point of a network.
///
/// # Errors
/// [`Error::Refused`] with the key.
pub fn name(key: &str, found: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if !found.is_empty() && found.len() <= 100 && !found.starts_with('.') && found.chars().all(allowed) {
        return Ok(());
    }
    let expected = "1 to 100 characters of a-z, 0-9, '.', '_' and '-', not starting with '.'";
    Err(Error::refused(&format!("job.{key}"), format!("{found:?}"), expected))
}
