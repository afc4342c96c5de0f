//! Huffman tables; the next bits look up the effect of a code.

use super::bits::Bits;

/// Codes of up to this many bits are looked up at once.
const FAST_BITS: u32 = 10;

/// The tables for first coefficients and for the others, four of each.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) dc: [Option<Table>; 4],
    pub(super) ac: [Option<Table>; 4],
}

/// One code.
#[derive(Clone, Copy, Default)]
pub(super) struct Code {
    /// Bits of the code itself; 0 for none.
    pub(super) length: u8,
    /// Its meaning: zeros to skip, and the bits of the value that follows.
    pub(super) symbol: u8,
    /// Bits of the code and of its value.
    pub(super) bits: u8,
    /// How many coefficients it covers; 64 ends the block.
    pub(super) passes: u8,
}

impl Code {
    fn new(length: u32, symbol: u8) -> Code {
        let (zeros, size) = (symbol >> 4, symbol & 15);
        let passes = match (zeros, size) {
            (15, 0) => 16,
            (_, 0) => 64,
            (zeros, _) => zeros + 1,
        };
        Code { length: length as u8, symbol, bits: length as u8 + size, passes }
    }
}

/// One table.
pub(super) struct Table {
    fast: Vec<Code>,
    /// By length: one more than the largest code, and where its symbols begin.
    ends: [u32; 17],
    firsts: [i32; 17],
    symbols: Vec<u8>,
}

impl Tables {
    /// Reads a segment that defines tables; none if it contradicts itself.
    pub(super) fn define(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&which, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(total)?;
            let kind = if which >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            *kind.get_mut(usize::from(which & 15))? = Some(Table::new(counts, symbols)?);
            body = rest;
        }
        Some(())
    }
}

impl Table {
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Table> {
        let (mut fast, mut ends, mut firsts) = (vec![Code::default(); 1 << FAST_BITS], [0; 17], [0; 17]);
        let (mut code, mut index) = (0u32, 0usize);
        for length in 1..=16 {
            let count = usize::from(counts[length as usize - 1]);
            firsts[length as usize] = index as i32 - code as i32;
            for &symbol in &symbols[index..index + count] {
                if code >> length != 0 {
                    return None;
                }
                if length <= FAST_BITS {
                    let from = (code as usize) << (FAST_BITS - length);
                    fast[from..from + (1 << (FAST_BITS - length))].fill(Code::new(length, symbol));
                }
                code += 1;
            }
            index += count;
            ends[length as usize] = code;
            code <<= 1;
        }
        Some(Table { fast, ends, firsts, symbols: symbols.to_vec() })
    }

    /// The next code; its length is 0 if the bits are not a code. The buffer must be filled.
    #[inline(always)]
    pub(super) fn next(&self, bits: &Bits) -> Code {
        let code = self.fast[bits.peek(FAST_BITS)];
        if code.length != 0 { code } else { self.long(bits) }
    }

    #[cold]
    fn long(&self, bits: &Bits) -> Code {
        for length in FAST_BITS + 1..=16 {
            let code = bits.peek(length);
            if code < self.ends[length as usize] as usize {
                let symbol = self.symbols.get((code as i32 + self.firsts[length as usize]) as usize);
                return symbol.map_or(Code::default(), |&symbol| Code::new(length, symbol));
            }
        }
        Code::default()
    }
}
