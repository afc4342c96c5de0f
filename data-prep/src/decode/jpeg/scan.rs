//! One scan of a JPEG, walked block by block.

use super::band::Band;
use super::bits::{Bits, unstuff};
use super::frame::{Fault, Frame};
use super::huffman::{Table, Tables};

/// The header of a scan.
pub(super) struct Scan {
    /// Index of each component with its tables for the first and the other coefficients.
    components: Vec<(usize, usize, usize)>,
    /// The coefficients.
    from: u32,
    to: u32,
    /// Whether their first bits came before.
    refines: bool,
}

impl Scan {
    /// Reads a scan's header, and notes its content in the frame.
    pub(super) fn new(body: &[u8], frame: &mut Frame) -> Result<Scan, Fault> {
        let count = usize::from(*body.first().ok_or(Fault::Damaged)?);
        let (components, rest) = body[1..].split_at_checked(2 * count).ok_or(Fault::Damaged)?;
        let [from, to, bits, ..] = *rest else { return Err(Fault::Damaged) };
        let place = |&[id, tables]: &[u8; 2]| {
            let index = frame.components.iter().position(|component| component.id == id)?;
            Some((index, usize::from(tables >> 4), usize::from(tables & 15)))
        };
        let components: Option<Vec<_>> = components.as_chunks().0.iter().map(place).collect();
        let components = components.filter(|c| (1..=4).contains(&c.len())).ok_or(Fault::Damaged)?;
        let (from, to, to_come) = if frame.progressive { (from, to, bits & 15) } else { (0, 63, 0) };
        let fits = from <= to && to < 64 && (from > 0 || to == 0 || !frame.progressive);
        if !fits || (from > 0 && components.len() > 1) {
            return Err(Fault::Damaged);
        }
        for &(index, ..) in &components {
            frame.components[index].to_come[from.into()..=to.into()].fill(to_come);
            if from > 0 && frame.components[index].nonzero.is_empty() {
                frame.components[index].nonzero = vec![0; frame.blocks(index)];
            }
        }
        let refines = frame.progressive && bits >> 4 != 0;
        Ok(Scan { components, from: from.into(), to: to.into(), refines })
    }

    /// Walks the scan's codes from `at` on; the place of the marker after them.
    pub(super) fn walk(
        &self,
        (content, mut at): (&[u8], usize),
        restart: usize,
        tables: &Tables,
        frame: &mut Frame,
    ) -> Result<usize, Fault> {
        let alone = self.components.len() == 1;
        let (mut units, mut done) =
            (if alone { frame.blocks(self.components[0].0) } else { frame.units() }, 0);
        let blocks = self.blocks(frame, alone);
        let mut clean = Vec::new();
        while units > 0 {
            let count = if restart == 0 { units } else { units.min(restart) };
            at = unstuff(content, at, &mut clean);
            let mut bits = Bits::new(&clean);
            match (frame.progressive, self.from, self.refines) {
                (false, ..) => self.whole(&mut bits, count, &blocks, tables)?,
                (true, 0, false) => self.first(&mut bits, count, &blocks, tables)?,
                // One bit a block.
                (true, 0, true) => bits.skip_many(count * blocks.len()).ok_or(Fault::Missing)?,
                (true, ..) => {
                    let (component, _, ac) = self.components[0];
                    let table = table(&tables.ac, ac)?;
                    let blocks = &mut frame.components[component].nonzero[done..done + count];
                    let band = Band { table, from: self.from, to: self.to };
                    if self.refines {
                        band.refine(&mut bits, blocks)?
                    } else {
                        band.first(&mut bits, blocks)?
                    }
                }
            }
            if !bits.is_within() {
                return Err(Fault::Missing);
            }
            (units, done) = (units - count, done + count);
            if units > 0 {
                // The next stretch begins after a restart marker.
                let marker = content.get(at + 1).ok_or(Fault::NoEnd)?;
                at = if matches!(marker, 0xd0..=0xd7) { at + 2 } else { return Err(Fault::Missing) };
            }
        }
        Ok(at)
    }

    /// The tables of each block in one unit of the scan.
    fn blocks(&self, frame: &Frame, alone: bool) -> Vec<(usize, usize)> {
        let of = |&(index, dc, ac): &(usize, usize, usize)| {
            let component = &frame.components[index];
            let blocks = if alone { 1 } else { component.across * component.down };
            std::iter::repeat_n((dc, ac), blocks)
        };
        self.components.iter().flat_map(of).collect()
    }

    /// Blocks with all their coefficients.
    fn whole(
        &self,
        bits: &mut Bits,
        units: usize,
        blocks: &[(usize, usize)],
        tables: &Tables,
    ) -> Result<(), Fault> {
        let both = |&(dc, ac): &(usize, usize)| Ok((table(&tables.dc, dc)?, table(&tables.ac, ac)?));
        let blocks: Vec<(&Table, &Table)> = blocks.iter().map(both).collect::<Result<_, Fault>>()?;
        for _ in 0..units {
            for (dc, ac) in &blocks {
                pass(bits, dc)?;
                let mut coefficient = 1;
                while coefficient < 64 {
                    coefficient += pass(bits, ac)?;
                }
            }
            if !bits.is_within() {
                return Err(Fault::Missing);
            }
        }
        Ok(())
    }

    /// The first coefficient of each block.
    fn first(
        &self,
        bits: &mut Bits,
        units: usize,
        blocks: &[(usize, usize)],
        tables: &Tables,
    ) -> Result<(), Fault> {
        let tables =
            blocks.iter().map(|&(dc, _)| table(&tables.dc, dc)).collect::<Result<Vec<_>, Fault>>()?;
        for _ in 0..units {
            for table in &tables {
                pass(bits, table)?;
            }
        }
        Ok(())
    }
}

fn table(tables: &[Option<Table>; 4], index: usize) -> Result<&Table, Fault> {
    // Films of JPEGs leave out the standard tables.
    tables.get(index).and_then(Option::as_ref).ok_or(Fault::Unusual)
}

/// Skips one code and its value; returns how many coefficients they were.
#[inline(always)]
fn pass(bits: &mut Bits, table: &Table) -> Result<usize, Fault> {
    bits.fill().ok_or(Fault::Missing)?;
    let code = table.next(bits);
    if code.length == 0 {
        return Err(Fault::Damaged);
    }
    bits.skip(code.bits.into());
    Ok(code.passes.into())
}
