//! The rows of a table of ratings, line by line.

use super::columns::{Columns, Places};
use crate::content::kind_of;
use crate::reading::CHUNK;
use crate::{Error, Result};
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

/// The longest line, in bytes.
const MAX_LINE: usize = 1 << 16;
/// The separators: the first of these that the first line has.
const MARKS: [&[u8]; 5] = [b"::", b"\t", b",", b";", b" "];

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    /// The number of its line, from 1.
    pub(super) line: u64,
    pub(super) user: &'a [u8],
    pub(super) item: &'a [u8],
    pub(super) value: f32,
    /// 0 if times are not asked for.
    pub(super) time: f64,
}

/// Passes each row to `take`; returns the number of blank lines, which are left out.
///
/// # Errors
/// [`Error::Input`] names the line that is too long, has another number of columns than the first one, a
/// quote without an end, or a rating or time that is not a number; and the errors of `take`.
pub(super) fn read(
    path: &Path,
    text: impl Read,
    (columns, timed): (&Columns, bool),
    take: &mut dyn FnMut(Row) -> Result<()>,
) -> Result<u64> {
    let text = BufReader::with_capacity(CHUNK, text);
    let mut lines = Lines { path, text, line: Vec::new(), number: 0, blank: 0 };
    if !lines.next()? {
        return Err(Error::input(path, "a line for each rating", "an empty file"));
    }
    let mut fields = lines.begin()?;
    lines.cut(&mut fields)?;
    let count = fields.ranges.len();
    let names: Vec<String> =
        (0..count).map(|at| String::from_utf8_lossy(fields.get(&lines.line, at)).into_owned()).collect();
    let places = columns.places(path, &names, timed)?;
    if !places.heading {
        let way_out = "; if this is a heading, name its columns with --user, --item and --rating";
        let row = fields.row(&lines, &places);
        take(row.map_err(|(expected, found)| lines.refused(expected, format!("{found}{way_out}")))?)?;
    }
    while lines.next()? {
        lines.cut(&mut fields)?;
        if fields.ranges.len() != count {
            let expected = format!("{count} columns in each line, as in the first");
            return Err(lines.refused(&expected, fields.ranges.len().to_string()));
        }
        let row = fields.row(&lines, &places);
        take(row.map_err(|(expected, found)| lines.refused(expected, found))?)?;
    }
    Ok(lines.blank)
}

/// The lines of a text, one after the other.
struct Lines<'a, R> {
    path: &'a Path,
    text: BufReader<R>,
    line: Vec<u8>,
    /// The number of the line, from 1.
    number: u64,
    blank: u64,
}

impl<R: Read> Lines<'_, R> {
    /// Reads the next line that is not blank; false at the end.
    fn next(&mut self) -> Result<bool> {
        loop {
            self.line.clear();
            let read = (&mut self.text).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut self.line);
            if read.map_err(Error::io("read", self.path))? == 0 {
                return Ok(false);
            }
            self.number += 1;
            if self.line.len() > MAX_LINE {
                return Err(self.refused(&format!("at most {MAX_LINE} bytes in a line"), "more"));
            }
            while self.line.last().is_some_and(|end| b"\r\n".contains(end)) {
                self.line.pop();
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
            self.blank += 1;
        }
    }

    /// The form of the fields, by the first line.
    fn begin(&self) -> Result<Fields> {
        let no_text = self.line.iter().any(|byte| *byte < b' ' && *byte != b'\t');
        if no_text {
            let kind = kind_of(&self.line).unwrap_or("a file with control characters");
            let way_out = "; a packed file is read with gunzip -c FILE | data-prep ratings - --out OUT";
            let expected = "a text with a line for each rating";
            return Err(Error::input(self.path, expected, format!("{kind}{way_out}")));
        }
        let mark = MARKS.into_iter().find(|mark| find(&self.line, mark).is_some());
        let mark = mark.ok_or_else(|| {
            self.refused("columns separated by ::, a tab, a comma, a semicolon or a space", "one column")
        })?;
        Ok(Fields { mark, text: Vec::new(), unquoted: false, ranges: Vec::new() })
    }

    fn cut(&self, fields: &mut Fields) -> Result<()> {
        fields.cut(&self.line).map_err(|found| self.refused("quotes that end in their line", found))
    }

    fn refused(&self, expected: &str, found: impl AsRef<str>) -> Error {
        Error::input(self.path, expected, format!("{} in line {}", found.as_ref(), self.number))
    }
}

/// The fields of a line.
struct Fields {
    mark: &'static [u8],
    /// The line without its quotes, if it has some.
    text: Vec<u8>,
    unquoted: bool,
    ranges: Vec<Range<usize>>,
}

impl Fields {
    /// Cuts a line at its separators. Commas and semicolons within quotes separate nothing.
    fn cut(&mut self, line: &[u8]) -> Result<(), &'static str> {
        self.ranges.clear();
        self.unquoted = matches!(self.mark, b"," | b";") && line.contains(&b'"');
        if self.unquoted {
            return self.unquote(line);
        }
        let mut begin = 0;
        while let Some(length) = find(&line[begin..], self.mark) {
            self.ranges.push(begin..begin + length);
            begin += length + self.mark.len();
        }
        self.ranges.push(begin..line.len());
        Ok(())
    }

    fn unquote(&mut self, line: &[u8]) -> Result<(), &'static str> {
        self.text.clear();
        let (mut begin, mut at, mut quoted) = (0, 0, false);
        while at < line.len() {
            match line[at] {
                b'"' if quoted && line.get(at + 1) == Some(&b'"') => {
                    self.text.push(b'"');
                    at += 1;
                }
                b'"' => quoted = !quoted,
                byte if !quoted && byte == self.mark[0] => {
                    self.ranges.push(begin..self.text.len());
                    begin = self.text.len();
                }
                byte => self.text.push(byte),
            }
            at += 1;
        }
        self.ranges.push(begin..self.text.len());
        if quoted { Err("a quote without an end") } else { Ok(()) }
    }

    /// A field, without white space around it.
    fn get<'a>(&'a self, line: &'a [u8], at: usize) -> &'a [u8] {
        let text = if self.unquoted { &self.text } else { line };
        text[self.ranges[at].clone()].trim_ascii()
    }

    /// The row of a line; otherwise the expected and the found thing.
    fn row<'a, R>(
        &'a self,
        lines: &'a Lines<'_, R>,
        places: &Places,
    ) -> Result<Row<'a>, (&'static str, String)> {
        let field = |at| self.get(&lines.line, at);
        let shown = |at| format!("{:?}", String::from_utf8_lossy(&field(at)[..field(at).len().min(40)]));
        let number = |at| std::str::from_utf8(field(at)).ok()?.parse::<f64>().ok().filter(|n| n.is_finite());
        let value = number(places.rating).map(|value| value as f32).filter(|value| value.is_finite());
        let value = value.ok_or_else(|| ("a rating that is a number", shown(places.rating)))?;
        let time = match places.time {
            Some(at) => number(at).ok_or_else(|| ("a time that is a number, such as seconds", shown(at)))?,
            None => 0.0,
        };
        Ok(Row { line: lines.number, user: field(places.user), item: field(places.item), value, time })
    }
}

/// The place of a separator.
fn find(line: &[u8], mark: &[u8]) -> Option<usize> {
    match mark {
        [one] => line.iter().position(|byte| byte == one),
        _ => line.windows(mark.len()).position(|window| window == mark),
    }
}
