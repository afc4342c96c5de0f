//! How an input is made: a valid file, changed in a few places that a counter-based generator chooses.
//!
//! Invariant: an input depends only on the target, the seed and its number, so that one alone can be made
//! again.

/// Numbers at which readers break: signs, limits of a width, small counts.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x10000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// The same in text, and words that only text can have.
const WORDS: [&str; 20] = [
    "0",
    "1",
    "-1",
    "00",
    "1e309",
    "-0.0",
    "1e-400",
    "0.5",
    "NaN",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "65536",
    "4294967296",
    "9223372036854775808",
    "18446744073709551616",
    "1000000",
    "\"../x\"",
];

/// The longest input, in bytes.
const LONGEST: usize = 1 << 16;

/// Numbers that look random: each is a hash of its place (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of one input.
    pub(crate) fn new(target: &str, seed: u64, number: u64) -> Dice {
        let name = target
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let mut dice = Dice(name ^ seed.rotate_left(32));
        dice.0 = dice.next() ^ number;
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }

    pub(crate) fn of<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        let index = self.below(things.len());
        &things[index]
    }

    /// True once in `times` times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Changes a valid file in one to eight places. `tokens` are the words of the format.
pub(crate) fn mutate(dice: &mut Dice, corpus: &[Vec<u8>], tokens: &[&[u8]]) -> Vec<u8> {
    let mut bytes = dice.of(corpus).clone();
    let changes = 1 + (dice.next() & dice.next() & 7);
    for _ in 0..changes {
        change(dice, &mut bytes, corpus, tokens);
    }
    bytes.truncate(LONGEST.max(corpus.iter().map(Vec::len).max().unwrap_or(0)));
    bytes
}

fn change(dice: &mut Dice, bytes: &mut Vec<u8>, corpus: &[Vec<u8>], tokens: &[&[u8]]) {
    let at = place(dice, bytes.len());
    let length = 1 + dice.below(16).min(dice.below(256));
    let end = (at + length).min(bytes.len());
    match dice.below(12) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        2 if at < bytes.len() => bytes[at] = dice.next() as u8,
        3 | 4 => number(dice, bytes, at),
        5 | 6 => word(dice, bytes, at),
        7 => bytes.truncate(at),
        8 => drop(bytes.drain(at..end)),
        9 => {
            let slice = bytes[at..end].to_vec();
            let times = if dice.once_in(8) { 1 + dice.below(200) } else { 1 };
            (0..times).for_each(|_| drop(bytes.splice(at..at, slice.iter().copied())));
        }
        10 => {
            let other = dice.of(corpus);
            let from = place(dice, other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ if !tokens.is_empty() => {
            let token = dice.of(tokens).to_vec();
            let replaced = if dice.once_in(2) { (at + token.len()).min(bytes.len()) } else { at };
            bytes.splice(at..replaced, token);
        }
        _ => drop(bytes.splice(at..at, (0..length).map(|_| dice.next() as u8))),
    }
}

/// A place in the file; mostly near its start, where headers are, or its end.
fn place(dice: &mut Dice, length: usize) -> usize {
    match dice.below(4) {
        0 => dice.below(length.min(256) + 1),
        1 => length - dice.below(length.min(256) + 1),
        _ => dice.below(length + 1),
    }
}

/// Puts a number of 1, 2, 4 or 8 bytes there, in either byte order.
fn number(dice: &mut Dice, bytes: &mut [u8], at: usize) {
    let width = *dice.of(&[1, 2, 4, 8]);
    let Some(place) = bytes.get_mut(at..at + width) else { return };
    let mut little = [0; 8];
    little[..width].copy_from_slice(place);
    let old = u64::from_le_bytes(little);
    let new = match dice.below(4) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        _ => *dice.of(&NUMBERS),
    };
    place.copy_from_slice(&new.to_le_bytes()[..width]);
    if dice.once_in(2) {
        place.reverse();
    }
}

/// Replaces a run of digits by another number or value.
fn word(dice: &mut Dice, bytes: &mut Vec<u8>, at: usize) {
    let from = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found);
    let Some(from) = from else { return };
    let digits = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    bytes.splice(from..from + digits, dice.of(&WORDS).bytes());
}
