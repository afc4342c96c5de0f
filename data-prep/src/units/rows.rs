//! Tables: each row below the heading becomes an object of strings.

use super::push::Push;
use crate::content::kind_of;
use crate::reading::CHUNK;
use crate::{Error, Result};
use csv::ByteRecord;
use datasets::units::MAX_UNIT_BYTES;
use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

/// A separate row after the text. If a quote was opened and not closed, this row is part of the quote, and so
/// it is missing at the end.
const END: &[u8] = b"\n\0";

/// Passes each row to `push` as JSON. `mark` separates the columns; without it, the separator of the heading
/// does.
///
/// # Errors
/// [`Error::Input`] names the line of a row that has another number of columns than the heading, is too long,
/// is not UTF-8, or has a zero byte or a quote without an end. It also reports a heading that has a name
/// twice.
pub(super) fn read(path: &Path, text: impl Read, mark: Option<u8>, push: &mut Push) -> Result<Vec<String>> {
    let mut text = BufReader::with_capacity(CHUNK, text);
    let head = text.fill_buf().map_err(Error::io("read", path))?;
    // A heading may begin as other files do, but has no zero byte.
    let kind = kind_of(head).filter(|_| head.contains(&0));
    let first = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mark = mark.unwrap_or_else(|| mark_of(first));
    let ahead = u64::from(!first.ends_with(b"\r"));
    let left = Rc::new(Cell::new(0));
    let bounded = Bounded { text: text.chain(Cursor::new(END)), left: left.clone() };
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(mark).buffer_capacity(CHUNK);
    let mut table =
        Table { path, rows: builder.from_reader(bounded), left, row: ByteRecord::new(), line: 1, ahead };
    let expected = "a table with a heading";
    if let Some(kind) = kind {
        return Err(Error::input(path, expected, kind));
    }
    if !table.next()? {
        return Err(Error::input(path, expected, "an empty file"));
    }
    let keys = table.keys().map_err(|found| Error::input(path, expected, found))?;
    let mut json = Vec::new();
    while table.next()? {
        table.write(&keys, &mut json)?;
        push(std::str::from_utf8(&json).expect("JSON that was written from strings"))?;
    }
    Ok(vec![])
}

/// The most frequent one of comma, tab and semicolon in the first line.
fn mark_of(line: &[u8]) -> u8 {
    let count = |mark: &&u8| line.iter().filter(|byte| byte == mark).count();
    b",\t;".iter().rev().max_by_key(count).map_or(b',', |mark| *mark)
}

struct Table<'a, R> {
    path: &'a Path,
    rows: csv::Reader<Bounded<R>>,
    left: Rc<Cell<u64>>,
    row: ByteRecord,
    /// The line in which the row begins.
    line: u64,
    /// The number of lines that the reader is ahead after a row: none if a carriage return ended the row.
    ahead: u64,
}

impl<R: Read> Table<'_, R> {
    /// Reads the next row; false after the last row of the text.
    fn next(&mut self) -> Result<bool> {
        if !self.read_row()? {
            return Ok(false);
        }
        let within = self.row.iter().flatten().filter(|&&byte| byte == b'\n').count() as u64;
        self.line = self.rows.position().line().saturating_sub(within + self.ahead);
        let row = std::mem::take(&mut self.row);
        let has_zero = row.iter().any(|field| field.contains(&0));
        if has_zero {
            let is_last = !self.read_row()?;
            if is_last && row.len() == 1 && &row[0] == b"\0" {
                return Ok(false);
            }
            if is_last {
                // No line end ended the row.
                self.line += self.ahead;
                return Err(self.refused("rows of texts", "a quote without an end"));
            }
            return Err(self.refused("rows of texts", "a zero byte"));
        }
        self.row = row;
        Ok(true)
    }

    fn read_row(&mut self) -> Result<bool> {
        let next = self.rows.position().line() + 1 - self.ahead;
        // A field's quotes may be doubled, and the reader reads ahead.
        self.left.set((2 * MAX_UNIT_BYTES + 2 * CHUNK) as u64);
        self.rows.read_byte_record(&mut self.row).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                self.line = next;
                self.too_long()
            }
            csv::ErrorKind::Io(error) => Error::io("read", self.path)(error),
            other => self.refused("a table", &format!("{other:?}")),
        })
    }

    /// The columns' names as JSON, each followed by a colon.
    fn keys(&self) -> Result<Vec<Vec<u8>>, String> {
        let mut seen = HashSet::new();
        let key = |name: &[u8]| {
            let name = std::str::from_utf8(name).map_err(|_| "a heading that is no UTF-8".to_owned())?;
            if !seen.insert(name.to_owned()) {
                return Err(format!("two columns of the name {name:?}; give each a name of its own"));
            }
            let mut json = serde_json::to_vec(name).expect("a string");
            json.push(b':');
            Ok(json)
        };
        self.row.iter().map(key).collect()
    }

    /// Writes the row as an object.
    fn write(&self, keys: &[Vec<u8>], json: &mut Vec<u8>) -> Result<()> {
        if self.row.len() != keys.len() {
            let expected = format!("{} columns in each row, as in the heading", keys.len());
            return Err(self.refused(&expected, &self.row.len().to_string()));
        }
        json.clear();
        for (number, (key, field)) in keys.iter().zip(&self.row).enumerate() {
            json.push(if number == 0 { b'{' } else { b',' });
            json.extend_from_slice(key);
            let field = std::str::from_utf8(field)
                .map_err(|_| self.refused("a text, saved as UTF-8", "other bytes"))?;
            serde_json::to_writer(&mut *json, field).expect("a string into memory");
        }
        json.push(b'}');
        if json.len() > MAX_UNIT_BYTES { Err(self.too_long()) } else { Ok(()) }
    }

    fn too_long(&self) -> Error {
        let expected = format!("at most {MAX_UNIT_BYTES} bytes in a row, and an end of each quote");
        self.refused(&expected, "more")
    }

    fn refused(&self, expected: &str, found: &str) -> Error {
        Error::input(self.path, expected, format!("{found} in the row of line {}", self.line))
    }
}

/// A text with a limit on the bytes that may be read; the limit can be raised.
struct Bounded<R> {
    text: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(buffer)?;
        match self.left.get().checked_sub(read as u64) {
            Some(left) => self.left.set(left),
            None => return Err(io::ErrorKind::FileTooLarge.into()),
        }
        Ok(read)
    }
}
