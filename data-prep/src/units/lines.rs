//! Lines of JSON: each is checked, blank ones are counted and left out.

use super::push::Push;
use crate::content::kind_of;
use crate::reading::CHUNK;
use crate::{Error, Result};
use datasets::units::MAX_UNIT_BYTES;
use serde::de::IgnoredAny;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Passes each line, without white space around it, to `push`; returns notes for the user.
///
/// # Errors
/// [`Error::Input`] names the line that is too long, not UTF-8 or not JSON.
pub(super) fn read(path: &Path, text: impl Read, push: &mut Push) -> Result<Vec<String>> {
    let mut text = BufReader::with_capacity(CHUNK, text);
    let (mut line, mut number, mut blank) = (Vec::new(), 0_u64, 0_u64);
    // One byte more than a line with its end may have.
    let most = MAX_UNIT_BYTES + 3;
    loop {
        line.clear();
        let read = (&mut text).take(most as u64).read_until(b'\n', &mut line);
        if read.map_err(Error::io("read", path))? == 0 {
            break;
        }
        number += 1;
        let json = line.trim_ascii();
        if json.is_empty() && line.len() < most {
            blank += 1;
            continue;
        }
        if json.len() > MAX_UNIT_BYTES || line.len() == most {
            let expected = format!("at most {MAX_UNIT_BYTES} bytes in a line");
            return Err(Error::input(path, expected, format!("more in line {number}")));
        }
        let checked = check(json).map_err(|found| match kind_of(json).filter(|_| number == 1) {
            Some(kind) => kind.to_owned(),
            None => format!("in line {number} {found}"),
        });
        push(checked.map_err(|found| Error::input(path, "a JSON value in each line", found))?)?;
    }
    let lines = if blank == 1 { "line" } else { "lines" };
    Ok(if blank > 0 { vec![format!("left out {blank} blank {lines}")] } else { vec![] })
}

/// The text of a line that is one JSON value; otherwise the error in it.
fn check(line: &[u8]) -> Result<&str, String> {
    if line.contains(&0) {
        return Err("a zero byte; a text in UTF-16 is to be saved as UTF-8".into());
    }
    if line.contains(&b'\r') {
        return Err("a carriage return within the line; end lines with a newline".into());
    }
    let text = std::str::from_utf8(line).map_err(|error| {
        format!("bytes that are no UTF-8, from byte {} on; save it as UTF-8", error.valid_up_to() + 1)
    })?;
    let Err(error) = serde_json::from_str::<IgnoredAny>(text) else { return Ok(text) };
    let reason = error.to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    let way_out = match line[0] {
        b'[' | b'{' if error.is_eof() => "; a document of several lines becomes one a line with jq -c",
        _ => "",
    };
    Err(format!("no JSON, at byte {}: {reason}{way_out}", error.column()))
}
