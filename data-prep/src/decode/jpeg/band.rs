//! A band of coefficients of one component, as progressive JPEGs store them: some first, their last bits
//! later.

use super::bits::Bits;
use super::frame::Fault;
use super::huffman::{Code, Table};

/// The coefficients of a scan, and the table of its codes.
pub(super) struct Band<'a> {
    pub(super) table: &'a Table,
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Band<'_> {
    /// The first bits of the coefficients, for each block in `nonzero`.
    pub(super) fn first(&self, bits: &mut Bits, nonzero: &mut [u64]) -> Result<(), Fault> {
        let mut block = 0;
        while block < nonzero.len() {
            let mut at = self.from;
            block += 1;
            while at <= self.to {
                let Code { symbol, .. } = self.code(bits)?;
                let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
                match (zeros, size) {
                    (15, 0) => at += 16,
                    (_, 0) => {
                        // This block has ended, and so have this many others.
                        block += run(bits, zeros)? - 1;
                        break;
                    }
                    _ => {
                        at += zeros;
                        nonzero[block - 1] |= 1u64.checked_shl(at).ok_or(Fault::Damaged)?;
                        bits.read(size).ok_or(Fault::Missing)?;
                        at += 1;
                    }
                }
            }
            self.check(bits)?;
        }
        Ok(())
    }

    /// One more bit of the coefficients that are not 0, and those that become so, for each block in
    /// `nonzero`.
    pub(super) fn refine(&self, bits: &mut Bits, nonzero: &mut [u64]) -> Result<(), Fault> {
        let mut ended = 0;
        for mask in nonzero {
            let mut at = self.from;
            while at <= self.to && ended == 0 {
                let Code { symbol, .. } = self.code(bits)?;
                let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
                if size == 0 && zeros < 15 {
                    ended = run(bits, zeros)?;
                    break;
                }
                // The sign of the coefficient that becomes nonzero.
                bits.read(size).ok_or(Fault::Missing)?;
                let end = self.pass_zeros(*mask, at, zeros);
                bits.skip_many(ones(*mask, at, end)).ok_or(Fault::Missing)?;
                if size > 0 && end <= self.to {
                    *mask |= 1 << end;
                }
                at = end + 1;
            }
            if ended > 0 {
                bits.skip_many(ones(*mask, at, self.to + 1)).ok_or(Fault::Missing)?;
                ended -= 1;
            }
            self.check(bits)?;
        }
        Ok(())
    }

    /// The place after `zeros` zeros from `at` on, where the next zero is; at most one beyond the band.
    fn pass_zeros(&self, mask: u64, mut at: u32, mut zeros: u32) -> u32 {
        while at <= self.to {
            if mask >> at & 1 == 0 {
                if zeros == 0 {
                    break;
                }
                zeros -= 1;
            }
            at += 1;
        }
        at
    }

    fn code(&self, bits: &mut Bits) -> Result<Code, Fault> {
        bits.fill().ok_or(Fault::Missing)?;
        let code = self.table.next(bits);
        if code.length == 0 {
            return Err(Fault::Damaged);
        }
        bits.skip(code.length.into());
        Ok(code)
    }

    fn check(&self, bits: &Bits) -> Result<(), Fault> {
        if bits.is_within() { Ok(()) } else { Err(Fault::Missing) }
    }
}

/// How many blocks have ended, this one included.
fn run(bits: &mut Bits, exponent: u32) -> Result<usize, Fault> {
    Ok((1 << exponent) + bits.read(exponent).ok_or(Fault::Missing)? as usize)
}

/// How many coefficients from `from` to before `to` are not 0.
fn ones(mask: u64, from: u32, to: u32) -> usize {
    let below = |at: u32| if at < 64 { (1u64 << at) - 1 } else { u64::MAX };
    (mask & below(to) & !below(from)).count_ones() as usize
}
