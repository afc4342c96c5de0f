//! Whether every block of a JPEG's picture is in the file.
//!
//! Decoders fill missing blocks with grey and report nothing. So the codes of every scan are followed here,
//! without computing a pixel: each block must have its codes before the next marker, and each coefficient all
//! its bits.

mod band;
mod bits;
mod frame;
mod huffman;
mod scan;

use frame::{Fault, Frame};
use huffman::Tables;
use scan::Scan;

/// A progressive picture has about ten scans; decoders stop at a hundred.
const MAX_SCANS: usize = 100;

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;

/// Checks that the picture of a JPEG is whole.
///
/// Rare kinds (lossless, arithmetic, height at the end) are left to the decoder.
///
/// # Errors
/// The missing part, in words.
pub(super) fn check(content: &[u8]) -> Result<(), &'static str> {
    match walk(content) {
        Ok(()) | Err(Fault::Unusual) => Ok(()),
        Err(Fault::NoEnd) => Err("a truncated JPEG: it ends before its end marker"),
        Err(Fault::Missing) => Err("a truncated JPEG: blocks of the picture are missing"),
        Err(Fault::Damaged) => Err("a damaged JPEG: it has a code without a meaning"),
        Err(Fault::MissingScans) => Err("a truncated JPEG: whole scans of the picture are missing"),
    }
}

fn walk(content: &[u8]) -> Result<(), Fault> {
    let (mut tables, mut frame) = (Tables::default(), None::<Frame>);
    let (mut at, mut restart, mut scans) = (2, 0, 0);
    loop {
        let (marker, after) = next_marker(content, at).ok_or(Fault::NoEnd)?;
        if marker == END_OF_IMAGE {
            break;
        }
        // Markers without a length: leftover restarts, and a start where none should be.
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            at = after;
            continue;
        }
        let length = content.get(after..after + 2).ok_or(Fault::NoEnd)?;
        let end = after + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
        let body = content.get(after + 2..end).ok_or(Fault::NoEnd)?;
        at = end;
        match marker {
            0xc4 => tables.define(body).ok_or(Fault::Damaged)?,
            0xc0..=0xc2 if frame.is_none() => frame = Some(Frame::new(marker == 0xc2, body)?),
            // Another frame, of a kind that is not followed, or the number of lines after the picture.
            0xc0..=0xcf | 0xdc => return Err(Fault::Unusual),
            0xdd => restart = body.first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes)),
            START_OF_SCAN => {
                scans += 1;
                let frame = frame.as_mut().filter(|_| scans <= MAX_SCANS).ok_or(Fault::Unusual)?;
                at = Scan::new(body, frame)?.walk((content, at), usize::from(restart), &tables, frame)?;
            }
            _ => {}
        }
    }
    match frame {
        Some(frame) if frame.is_complete() => Ok(()),
        Some(_) => Err(Fault::MissingScans),
        None => Err(Fault::Unusual),
    }
}

/// The next marker from `at` on, and the place after it.
fn next_marker(content: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += content.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        match content.get(at + 1)? {
            0xff => at += 1,
            0x00 => at += 2,
            &marker => return Some((marker, at + 2)),
        }
    }
}

#[cfg(test)]
mod tests;
