//! Corrects checksums in a changed file, mostly, so that the code after the check is reached.

use super::mutation::{Dice, mutate};
use super::samples::gzip;
use flate2::Crc;
use twox_hash::XxHash3_64;

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// A log's frames: their checksum is xxh3-64 of the body,
/// seeded with the frame's offset and the checksum before it.
pub(crate) fn ledger(dice: &mut Dice, mut log: Vec<u8>) -> Vec<u8> {
    if dice.once_in(4) {
        return log;
    }
    let frames: Vec<usize> =
        log.windows(4).enumerate().filter(|(_, w)| w == b"FRM1").map(|(at, _)| at).collect();
    let ends = frames.iter().skip(1).copied().chain([log.len()]).collect::<Vec<_>>();
    let mut before = 0;
    for (at, end) in frames.into_iter().zip(ends) {
        if end < at + 24 {
            continue;
        }
        let checksum = XxHash3_64::oneshot_with_seed(before ^ at as u64, &log[at + 24..end]);
        log[at + 4..at + 8].copy_from_slice(&((end - at - 24) as u32).to_le_bytes());
        log[at + 8..at + 16].copy_from_slice(&checksum.to_le_bytes());
        log[at + 16..at + 24].copy_from_slice(&u64::to_le_bytes(before));
        before = checksum;
    }
    log
}

/// A tar's headers: the sum of their bytes, with blanks at the sum's own place; then gzip, which may be
/// changed, too.
pub(crate) fn archive(dice: &mut Dice, mut tar: Vec<u8>) -> Vec<u8> {
    if !dice.once_in(4) {
        let mut at = 0;
        while at + 512 <= tar.len() {
            let header = &mut tar[at..at + 512];
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            let size = std::str::from_utf8(&header[124..135]).ok();
            let size = size.and_then(|size| usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).ok());
            at += 512 + size.unwrap_or(0).min(tar.len()).next_multiple_of(512);
        }
    }
    match dice.below(8) {
        0 => tar,
        1 => mutate(dice, &[gzip(&tar)], &[]),
        _ => gzip(&tar),
    }
}

/// The chunks of a PNG: CRC-32 of kind and data.
pub(crate) fn png(dice: &mut Dice, mut image: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    if dice.once_in(8) || !image.starts_with(b"\x89PNG") {
        return image;
    }
    while let Some(length) = image.get(at..at + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let end = at + 8 + length;
        if end + 4 > image.len() {
            break;
        }
        let crc = crc32(&image[at + 4..end]);
        image[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        at = end + 4;
    }
    image
}

/// The stored members of a zip, one after the other: CRC-32 in each header and in the directory.
pub(crate) fn zip(dice: &mut Dice, mut zip: Vec<u8>) -> Vec<u8> {
    if dice.once_in(8) {
        return zip;
    }
    let entries = zip.windows(4).enumerate().filter(|(_, w)| w == b"PK\x01\x02").map(|(at, _)| at);
    for entry in entries.collect::<Vec<_>>() {
        let crc = (|| {
            let size = u32_le(&zip, entry + 20)? as usize;
            let local = u32_le(&zip, entry + 42)? as usize;
            let lengths = u32_le(&zip, local.checked_add(26)?)?;
            let start = local + 30 + (lengths & 0xffff) as usize + (lengths >> 16) as usize;
            Some((local, crc32(zip.get(start..start.checked_add(size)?)?)))
        })();
        if let Some((local, crc)) = crc {
            zip[entry + 16..entry + 20].copy_from_slice(&crc.to_le_bytes());
            zip[local + 14..local + 18].copy_from_slice(&crc.to_le_bytes());
        }
    }
    zip
}
