//! How users or items are dealt to workers: each has some that follow each other, so that it reads only its
//! own part of the ratings, and the dearest part is as cheap as it can be.
//!
//! Users are in the order of their counts. So parts of the dear ones end close to the mean, and the many
//! cheap ones fill the last parts evenly.

use std::ops::Range;

/// The work for a row with this many ratings, in multiplications of its equations with this many unknowns.
pub(crate) fn cost(ratings: u64, unknowns: u64) -> u64 {
    ratings * (unknowns + 1) * (unknowns + 1) + unknowns * unknowns * unknowns + 64
}

/// The rows of each worker; `starts` are those of the ratings of each row. Rows without ratings are nobody's.
///
/// The deal depends only on these numbers.
pub(crate) fn deal(starts: &[u64], unknowns: u64, workers: u32) -> Vec<Range<usize>> {
    let mut sums = vec![0];
    for row in starts.windows(2).take_while(|row| row[0] < row[1]) {
        sums.push(sums[sums.len() - 1] + cost(row[1] - row[0], unknowns));
    }
    let all = sums[sums.len() - 1];
    let dearest = sums.windows(2).map(|row| row[1] - row[0]).max().unwrap_or(0);
    let (mut low, mut high) = (dearest.max(all.div_ceil(u64::from(workers))), all);
    while low < high {
        let middle = low + (high - low) / 2;
        if parts(&sums, middle, workers).is_some() {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    parts(&sums, high, workers).unwrap_or_default()
}

/// The rows of each worker if none has more work than `most`; none if that does not suffice.
fn parts(sums: &[u64], most: u64, workers: u32) -> Option<Vec<Range<usize>>> {
    let mut first = 0;
    let part = |_| {
        let end = sums.partition_point(|sum| *sum <= sums[first] + most) - 1;
        let part = first..end;
        first = end;
        part
    };
    let parts: Vec<Range<usize>> = (0..workers).map(part).collect();
    (first + 1 == sums.len()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(counts: impl Iterator<Item = u64>) -> Vec<u64> {
        let sums = counts.scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        std::iter::once(0).chain(sums).collect()
    }

    #[test]
    fn every_row_with_ratings_is_dealt_once() {
        for (counts, workers) in [(vec![5, 3, 1, 0, 0], 2), (vec![1], 3), (vec![9, 9, 9], 1), (vec![2; 7], 7)]
        {
            let rows = deal(&starts(counts.iter().copied()), 4, workers);
            assert_eq!(rows.len(), workers as usize);
            let all: Vec<usize> = rows.into_iter().flatten().collect();
            assert_eq!(all, (0..counts.iter().filter(|count| **count > 0).count()).collect::<Vec<_>>());
        }
        assert_eq!(deal(&[0, 0], 4, 2), [0..0, 0..0]);
    }

    /// A million ratings of 6,040 users, whose counts differ a thousandfold.
    #[test]
    fn no_worker_idles_though_counts_differ_a_thousandfold() {
        let counts = (0..6_040).map(|user| (2_500.0 * f64::exp(-f64::from(user) / 860.0)) as u64 + 2);
        let starts = starts(counts);
        for workers in [2, 3, 8, 32, 100] {
            let rows = deal(&starts, 11, workers);
            let work = |rows: &Range<usize>| -> u64 {
                rows.clone().map(|row| cost(starts[row + 1] - starts[row], 11)).sum()
            };
            let work: Vec<u64> = rows.iter().map(work).collect();
            let (most, all) = (work.iter().max().unwrap(), work.iter().sum::<u64>());
            let idle = 1.0 - all as f64 / (*most as f64 * f64::from(workers));
            println!("{workers} workers are idle for {:.2} % of a stage", 100.0 * idle);
            assert!(idle < if workers <= 32 { 0.02 } else { 0.08 }, "{workers} workers: {idle}");
        }
    }
}
