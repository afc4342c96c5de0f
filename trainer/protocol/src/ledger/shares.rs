//! The shares of the current stage: its work is cut into them, and a worker that has done one takes the next
//! free one.
//!
//! Most stages have a share for each worker. If there are more, a worker with cheap shares does more of them
//! than the others. The results are kept in the order of the shares: no result depends on which worker did
//! which.

use crate::FileRef;

/// Results of the shares that are done, and the next share to take.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares {
    results: Vec<Option<FileRef>>,
    next: u32,
}

impl Shares {
    /// The shares of a stage that opens: each worker has one, and the others wait.
    pub(super) fn opened(shares: u32, workers: u32) -> Shares {
        Shares { results: vec![None; shares as usize], next: workers }
    }

    /// Keeps the result of a share; the next one is taken by its worker, if one is left.
    pub(super) fn done(&mut self, share: u32, result: &FileRef) -> Option<u32> {
        if let Some(place) = self.results.get_mut(share as usize) {
            *place = Some(result.clone());
        }
        let next = self.next;
        let left = (next as usize) < self.results.len();
        left.then(|| {
            self.next += 1;
            next
        })
    }

    /// The results so far, in the order of the shares.
    pub fn results(&self) -> impl Iterator<Item = &FileRef> {
        self.results.iter().flatten()
    }

    /// The same, with the numbers of the shares.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, &FileRef)> {
        (0..).zip(&self.results).filter_map(|(share, result)| Some((share, result.as_ref()?)))
    }

    /// The number of shares.
    pub fn count(&self) -> usize {
        self.results.len()
    }
}
