//! Weighted sums in f64: a reduction computes them from the values of the workers.
use super::vector::Vector;

/// Arrays that are added in one pass over the totals, which are read and written once for all of them.
const TOGETHER: usize = 4;

/// Adds to each total its value of every part times the part's weight, part by part: a product and a sum,
/// each rounded, so the same bits everywhere.
pub(crate) struct Weighted<'a> {
    pub(crate) totals: &'a mut [f64],
    pub(crate) parts: &'a [(f64, &'a [f32])],
}

impl Weighted<'_> {
    pub(super) fn check(&self) {
        let expected = self.totals.len();
        assert!(self.parts.iter().all(|(_, values)| values.len() == expected), "a value for each total");
    }
}

/// Lanes are independent, so the compiler makes the vectors, of the instruction set of the function that this
/// is inlined into.
///
/// # Safety
/// `V`'s instruction set exists.
#[inline(always)]
pub(super) unsafe fn run<V: Vector>(job: &mut Weighted) {
    let (groups, rest) = job.parts.as_chunks::<TOGETHER>();
    for group in groups {
        add(job.totals, *group);
    }
    for part in rest {
        add(job.totals, [*part]);
    }
}

#[inline(always)]
fn add<const N: usize>(totals: &mut [f64], parts: [(f64, &[f32]); N]) {
    let n = totals.len();
    let parts = parts.map(|(weight, values)| (weight, &values[..n]));
    for at in 0..n {
        for (weight, values) in parts {
            totals[at] += weight * f64::from(values[at]);
        }
    }
}
