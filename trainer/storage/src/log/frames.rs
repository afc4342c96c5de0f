//! The layout of a log's file: a header, then one frame for each append, each with its length and checksum.
//!
//! ```text
//! header   "BATONLOG"  schema u32  check u32                        16 bytes
//! frame    "FRM1"  length u32  checksum u64  before u64  body
//! body     one or more records, each: length u32, bytes
//! ```
//! All numbers are little-endian. A frame is the result of one update: it counts as a whole or not at all.
//! Its checksum is xxh3-64 of the body, seeded with the frame's own offset, so that a frame that was copied
//! to another place, or that is inside a record, is not accepted; and with `before`, the checksum of the
//! frame before it, so that it confirms the whole log up to there. If one whole frame was written over by
//! another, the next frame shows it.

use crate::{Error, Result};
use std::path::Path;
use twox_hash::XxHash3_64;

/// The newest schema that this version reads and writes.
const SCHEMA: u32 = 2;
const MAGIC: &[u8; 8] = b"BATONLOG";
const MARK: &[u8; 4] = b"FRM1";
/// Length of the file's header, in bytes.
const HEADER: usize = 16;
/// Length of a frame's head, in bytes.
pub(super) const HEAD: usize = 24;

/// The shortest body of a frame, in bytes: one empty record.
const LEAST_BODY: usize = 4;
/// The longest record, in bytes.
pub(super) const MAX_RECORD: usize = 1 << 20;
/// The longest body of a frame, in bytes: the most that one update may append.
const MAX_BODY: usize = 1 << 24;
/// The unit that reaches a disk as a whole or not at all, in bytes: the smallest sector. A page of a client
/// is several of them.
const SECTOR: usize = 512;

/// How far a log is known: everything before is durable and never changes.
///
/// The last known frame is recognised by its place and checksum. So a log that was removed and begun anew,
/// perhaps with the same file number, is not mistaken for the known one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Where the last known frame begins.
    pub(super) at: usize,
    /// Its checksum.
    checksum: u64,
    /// Where it ends: the number of bytes of the file that are known, and whole.
    pub(super) whole: usize,
    /// Whether it was only read: the disk may have less.
    pub(super) only_read: bool,
}

impl Known {
    /// Whether a file with these bytes from `at` on is the known one.
    pub(super) fn is_of(&self, bytes: &[u8]) -> bool {
        let file = Window { base: self.at, bytes };
        let found = file.frame_at(self.at).map(|body| Known::after(self.at, file.before(self.at), body));
        found.is_some_and(|found| (found.checksum, found.whole) == (self.checksum, self.whole))
    }

    /// Whether the last known frame begins with this head.
    pub(super) fn begins_with(&self, head: &[u8; HEAD]) -> bool {
        u64_at(head, 8) == self.checksum
    }

    /// A log is known up to the end of the frame at `at` with this body, after one with the checksum
    /// `before`.
    fn after(at: usize, before: u64, body: &[u8]) -> Known {
        let whole = at + HEAD + body.len();
        Known { at, checksum: checksum(at, before, body), whole, only_read: false }
    }
}

/// The content of a log's file.
pub(super) struct Contents {
    /// The records, oldest first.
    pub(super) records: Vec<Vec<u8>>,
    /// How far the file is whole; the rest is a torn tail.
    pub(super) known: Known,
}

/// Reads a log's file: `bytes` are those after `known`, or all of them if nothing is known.
///
/// An append that was incomplete when its process died is a torn tail and does not count. A part that is not
/// whole but was whole once is damage: a whole frame follows it, in its place or moved, or all of it is
/// there.
///
/// # Errors
/// [`Error::Damaged`] with the offset, [`Error::Schema`] for a log of another version.
pub(super) fn decode(path: &Path, known: Known, bytes: &[u8]) -> Result<Contents> {
    let file = Window { base: known.whole, bytes };
    let mut contents = Contents { records: Vec::new(), known };
    if file.base == 0 {
        if !check_header(path, &file)? {
            return Ok(contents);
        }
        contents.known.whole = HEADER;
    }
    while contents.known.whole < file.end() {
        let at = contents.known.whole;
        let Some(body) = file.frame_at(at) else {
            let found = match file.next_frame(at + 1) {
                Some(next) => format!("something else, followed by a whole frame at byte {next}"),
                None if let Some(moved) = file.moved_frame(at + 1) => format!(
                    "something else, followed at byte {moved} by a frame that was whole at another place: \
                     bytes before it were taken out or put in; a copy is best"
                ),
                None if file.was_whole(at) => format!(
                    "a changed one, which is the last: \
                     a copy is best; or cut the file to {at} bytes, and that step is done again"
                ),
                None => return Ok(contents),
            };
            return Err(Error::damaged(path, format!("a frame with the right checksum at byte {at}"), found));
        };
        if file.before(at) != contents.known.checksum {
            let expected = format!("the frame at byte {at} to follow the one before it");
            let found =
                "that it follows another: facts were written over; does the file system keep its locks?";
            return Err(Error::damaged(path, expected, found));
        }
        split(path, at, body, &mut contents.records)?;
        contents.known = Known::after(at, file.before(at), body);
    }
    Ok(contents)
}

/// How a log's file is read: [`decode`] or [`decode_or_salvage`].
pub(super) type Decode = fn(&Path, Known, &[u8]) -> Result<Contents>;

/// As [`decode`], but returns everything whole of a damaged log. The damage counts as known, and stays.
///
/// # Errors
/// [`Error::Schema`].
pub(super) fn decode_or_salvage(path: &Path, known: Known, bytes: &[u8]) -> Result<Contents> {
    match decode(path, known.clone(), bytes) {
        Err(Error::Damaged { .. }) => {}
        decoded => return decoded,
    }
    let file = Window { base: known.whole, bytes };
    let mut contents = Contents { records: Vec::new(), known };
    let mut from = file.base.max(HEADER);
    while let Some(at) = file.next_frame(from) {
        let Some(body) = file.frame_at(at) else { break };
        split(path, at, body, &mut contents.records)?;
        contents.known = Known::after(at, file.before(at), body);
        from = contents.known.whole;
    }
    contents.known.whole = file.end();
    Ok(contents)
}

/// The bytes to append to a log that is `known` to its end: the header if the file is empty, then one frame
/// with all `records`; and how far the log is known with them.
///
/// # Errors
/// [`Error::Unfit`] if a record, or all together, are too long.
pub(super) fn encode(path: &Path, known: &Known, records: &[Vec<u8>]) -> Result<(Vec<u8>, Known)> {
    let mut bytes = if known.whole == 0 { header() } else { Vec::new() };
    let start = bytes.len();
    bytes.resize(start + HEAD, 0);
    for record in records {
        if record.len() > MAX_RECORD {
            return Err(too_long(path, "a record", MAX_RECORD, record.len()));
        }
        bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
        bytes.extend_from_slice(record);
    }
    let length = bytes.len() - start - HEAD;
    if length > MAX_BODY {
        return Err(too_long(path, "the records of one update", MAX_BODY, length));
    }
    let with_frame = Known::after(known.whole + start, known.checksum, &bytes[start + HEAD..]);
    bytes[start..start + 4].copy_from_slice(MARK);
    bytes[start + 4..start + 8].copy_from_slice(&(length as u32).to_le_bytes());
    bytes[start + 8..start + 16].copy_from_slice(&with_frame.checksum.to_le_bytes());
    bytes[start + 16..start + HEAD].copy_from_slice(&known.checksum.to_le_bytes());
    Ok((bytes, with_frame))
}

fn too_long(path: &Path, what: &str, most: usize, found: usize) -> Error {
    Error::unfit(format!("{what} for {}", path.display()), format!("at most {most} bytes"), found.to_string())
}

fn header() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&SCHEMA.to_le_bytes());
    let check = XxHash3_64::oneshot(&bytes) as u32;
    bytes.extend_from_slice(&check.to_le_bytes());
    bytes
}

/// Whether the file has its header; `false` for a file whose first append was not completed.
fn check_header(path: &Path, file: &Window<'_>) -> Result<bool> {
    let (expected, bytes) = (header(), file.bytes);
    if bytes.starts_with(&expected) {
        return Ok(true);
    }
    let head = &bytes[..bytes.len().min(HEADER)];
    let whole = head.len() == HEADER && head.starts_with(MAGIC);
    if whole && XxHash3_64::oneshot(&head[..12]) as u32 == u32_at(head, 12) {
        return Err(Error::Schema { file: path.to_owned(), found: u32_at(head, 8), known: SCHEMA });
    }
    let torn = expected.starts_with(head) || head.iter().all(|&byte| byte == 0);
    if torn && file.next_frame(HEADER).or_else(|| file.moved_frame(0)).is_none() {
        return Ok(false);
    }
    Err(Error::damaged(path, "the header of a Baton log", format!("{:?}", String::from_utf8_lossy(head))))
}

/// The bytes of a file from `base` on. Offsets are counted from the start of the file.
struct Window<'a> {
    base: usize,
    bytes: &'a [u8],
}

impl<'a> Window<'a> {
    fn end(&self) -> usize {
        self.base + self.bytes.len()
    }

    /// The body of the whole frame that begins at `at`, if one does.
    fn frame_at(&self, at: usize) -> Option<&'a [u8]> {
        let tail = self.bytes.get(at - self.base..)?;
        let head = tail.get(..HEAD)?;
        let length = u32_at(head, 4) as usize;
        if !head.starts_with(MARK) || length > MAX_BODY {
            return None;
        }
        let body = tail.get(HEAD..HEAD + length)?;
        (checksum(at, u64_at(head, 16), body) == u64_at(head, 8)).then_some(body)
    }

    /// The checksum of the frame before the whole one at `at`.
    fn before(&self, at: usize) -> u64 {
        u64_at(self.bytes, at - self.base + 16)
    }

    /// Whether the last bytes of the file, from `at` on, which are not a frame, were one once: two of the
    /// three signs of a whole frame (its mark, room for its length, its checksum) are right, which is never
    /// true of a part of a frame, and no sector is missing.
    ///
    /// A torn append is shorter than its frame, or it has zeros where a page did not arrive before the ones
    /// after it.
    fn was_whole(&self, at: usize) -> bool {
        let tail = self.bytes.get(at - self.base..).and_then(|tail| tail.split_at_checked(HEAD));
        let Some((head, body)) = tail else { return false };
        let mark = head.starts_with(MARK);
        let length = (LEAST_BODY..=body.len()).contains(&(u32_at(head, 4) as usize));
        let checksum = u64_at(head, 8) == checksum(at, u64_at(head, 16), body);
        u8::from(mark) + u8::from(length) + u8::from(checksum) >= 2 && !self.misses_a_sector(at)
    }

    /// Whether from `from` on there is a sector of nothing but zeros.
    fn misses_a_sector(&self, from: usize) -> bool {
        let (first, rest) =
            self.bytes[from - self.base..].split_at((SECTOR - from % SECTOR).min(self.end() - from));
        [first].into_iter().chain(rest.chunks(SECTOR)).any(|sector| sector.iter().all(|&byte| byte == 0))
    }

    /// The first offset from `from` on where a whole frame begins.
    fn next_frame(&self, from: usize) -> Option<usize> {
        self.marks(from).find(|&at| self.frame_at(at).is_some())
    }

    /// The first offset from `from` on where a frame begins that was whole at another place: its length leads
    /// from its mark to the file's end or to another mark. Its checksum cannot help, because it depends on
    /// the place.
    fn moved_frame(&self, from: usize) -> Option<usize> {
        let is_one = |&at: &usize| {
            let tail = &self.bytes[at - self.base..];
            let length = tail.get(4..HEAD).map(|head| u32_at(head, 0) as usize);
            let length = length.filter(|length| (LEAST_BODY..=MAX_BODY).contains(length));
            let behind = length.and_then(|length| tail.get(HEAD + length..));
            behind.is_some_and(|behind| behind.is_empty() || behind.starts_with(MARK))
        };
        self.marks(from).find(is_one)
    }

    /// The offsets from `from` on where a frame may begin.
    fn marks(&self, from: usize) -> impl Iterator<Item = usize> {
        let tail = self.bytes.get(from - self.base..).unwrap_or_default();
        let marks = tail.windows(MARK.len()).enumerate().filter(|(_, window)| window == MARK);
        marks.map(move |(index, _)| from + index)
    }
}

/// Cuts the body of the frame at `at` into its records.
fn split(path: &Path, at: usize, mut body: &[u8], records: &mut Vec<Vec<u8>>) -> Result<()> {
    while !body.is_empty() {
        let record = body.get(..4).and_then(|head| body.get(4..4 + u32_at(head, 0) as usize));
        let Some(record) = record else {
            let expected = format!("whole records in the frame at byte {at}");
            return Err(Error::damaged(path, expected, "a record that is longer than its frame"));
        };
        records.push(record.to_vec());
        body = &body[4 + record.len()..];
    }
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn checksum(at: usize, before: u64, body: &[u8]) -> u64 {
    XxHash3_64::oneshot_with_seed(before ^ at as u64, body)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests;
