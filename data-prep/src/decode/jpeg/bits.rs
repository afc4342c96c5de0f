//! The bits of one stretch of codes, between two markers.

/// Zeros after the codes, so that reading ahead stays within the buffer.
const PADDING: usize = 16;

/// The bits of a stretch, the first one highest.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    buffer: u64,
    /// Bits in the buffer.
    held: u32,
}

/// The codes from `at` to the next marker, without the zeros that are stuffed in after each 0xff, into
/// `clean`; the marker's place, or the content's end.
pub(super) fn unstuff(content: &[u8], mut at: usize, clean: &mut Vec<u8>) -> usize {
    clean.clear();
    while let Some(rest) = content.get(at..) {
        let Some(length) = rest.iter().position(|&byte| byte == 0xff) else {
            clean.extend_from_slice(rest);
            at = content.len();
            break;
        };
        clean.extend_from_slice(&rest[..length]);
        at += length;
        match content.get(at + 1) {
            Some(0x00) => {
                clean.push(0xff);
                at += 2;
            }
            // A marker may be preceded by any number of these.
            Some(0xff) => at += 1,
            _ => break,
        }
    }
    clean.extend_from_slice(&[0; PADDING]);
    at
}

impl<'a> Bits<'a> {
    /// The bits that [`unstuff`] has extracted.
    pub(super) fn new(clean: &'a [u8]) -> Bits<'a> {
        Bits { bytes: clean, at: 0, buffer: 0, held: 0 }
    }

    /// Fills the buffer with 56 bits or more; nothing far beyond the end.
    #[inline(always)]
    pub(super) fn fill(&mut self) -> Option<()> {
        let word = u64::from_be_bytes(*self.bytes.get(self.at..)?.first_chunk()?);
        self.buffer |= word >> self.held;
        let bytes = (63 - self.held) >> 3;
        self.at += bytes as usize;
        self.held += bytes * 8;
        Some(())
    }

    /// The next bits, at most 56 after [`Bits::fill`].
    #[inline(always)]
    pub(super) fn peek(&self, count: u32) -> usize {
        (self.buffer >> (64 - count)) as usize
    }

    /// Skips some bits, which are in the buffer.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.held -= count;
    }

    /// Reads up to 16 bits.
    pub(super) fn read(&mut self, count: u32) -> Option<u32> {
        self.fill()?;
        let bits = if count == 0 { 0 } else { self.peek(count) as u32 };
        self.skip(count);
        Some(bits)
    }

    /// Skips any number of bits.
    pub(super) fn skip_many(&mut self, mut count: usize) -> Option<()> {
        while count > 0 {
            self.fill()?;
            let step = count.min(48);
            self.skip(step as u32);
            count -= step;
        }
        Some(())
    }

    /// Whether no more bits were read than there are.
    pub(super) fn is_within(&self) -> bool {
        self.at * 8 - self.held as usize <= (self.bytes.len() - PADDING) * 8
    }
}
