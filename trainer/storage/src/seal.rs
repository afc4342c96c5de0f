//! JSON documents that contain their own checksum, so that one changed byte is found when they are read.
//!
//! The last entry of a sealed document is `"check"`:
//! xxh3-128 of the whole text with zeros in the checksum's place.

use crate::{Error, Result};
use std::path::Path;
use twox_hash::XxHash3_128;

const KEY: &str = "\"check\": \"";
const DIGITS: usize = 32;

/// Adds the checksum to a JSON object that is written over several lines.
///
/// # Panics
/// When the text does not end as such an object does: the caller's mistake.
pub fn seal(json: &str) -> String {
    let open = json.trim_end().strip_suffix("\n}").expect("an object over several lines");
    let blank = format!("{open},\n  {KEY}{}\"\n}}\n", "0".repeat(DIGITS));
    let at = open.len() + ",\n  ".len() + KEY.len();
    format!("{}{:032x}{}", &blank[..at], XxHash3_128::oneshot(blank.as_bytes()), &blank[at + DIGITS..])
}

/// Checks the checksum of a document and removes it; a document without one, made by hand, is returned as it
/// is.
///
/// # Errors
/// [`Error::Damaged`].
pub fn unseal(path: &Path, text: &[u8]) -> Result<Vec<u8>> {
    let key = text.windows(KEY.len()).rposition(|window| window == KEY.as_bytes());
    let Some((key, stated)) = key.and_then(|key| Some((key, text.get(key + KEY.len()..)?.get(..DIGITS)?)))
    else {
        return Ok(text.to_vec());
    };
    let mut blank = text.to_vec();
    blank[key + KEY.len()..][..DIGITS].fill(b'0');
    let check = format!("{:032x}", XxHash3_128::oneshot(&blank));
    if check.as_bytes() != stated {
        let found = format!("another one; if it was changed on purpose, leave out the line {KEY}…\"");
        let expected = format!("a text with the checksum {}", String::from_utf8_lossy(stated));
        return Err(Error::damaged(path, expected, found));
    }
    let comma = text[..key].iter().rposition(|&byte| byte == b',').unwrap_or(key);
    let after = &text[key + KEY.len() + DIGITS + 1..];
    Ok([&text[..comma], after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn every_changed_byte_of_a_sealed_document_is_found() {
        let document = json!({"classes": ["ant", "bee"], "mean": 0.485, "schema": 1});
        let sealed = seal(&serde_json::to_string_pretty(&document).unwrap());
        let path = Path::new("weights.json");
        let read =
            |text: &[u8]| -> Result<Option<Value>> { Ok(serde_json::from_slice(&unseal(path, text)?).ok()) };
        assert_eq!(read(sealed.as_bytes()).unwrap(), Some(document.clone()));
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone().into_bytes();
                changed[at] ^= 1 << bit;
                match read(&changed) {
                    Err(error) => assert!(error.to_string().contains("weights.json is damaged"), "{error}"),
                    // The key itself is damaged: no document has the key that is there.
                    Ok(found) => {
                        assert!(found.is_none_or(|found| found.as_object().unwrap().len() == 4), "byte {at}")
                    }
                }
            }
        }
    }

    #[test]
    fn a_document_without_a_checksum_is_as_it_is() {
        assert_eq!(unseal(Path::new("a"), b"{\"a\": 1}").unwrap(), b"{\"a\": 1}");
    }
}
