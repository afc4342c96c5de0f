//! How ratings are held out for validation and for the test. A draw depends on the seed and on the two ids,
//! not on the order of the lines.

use crate::{Error, Result};
use datasets::ratings::Rating;
use serde::Serialize;
use std::cmp::Ordering;
use twox_hash::XxHash3_64;

/// How ratings are held out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deal {
    /// Of which ratings a share is held out.
    pub by: By,
    /// The share of the ratings that validate.
    pub val_share: f64,
    /// The share of the ratings that test.
    pub test_share: f64,
    /// Keys the draw.
    pub seed: u64,
}

impl Default for Deal {
    fn default() -> Deal {
        Deal { by: By::Share, val_share: 0.1, test_share: 0.1, seed: 1 }
    }
}

/// Of which ratings a share is held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Of all, drawn.
    Share,
    /// Of each user's, drawn. Each user keeps one rating to train on.
    User,
    /// Of all, the latest: they test, and those before them validate.
    Time,
}

impl Deal {
    /// Checks the shares.
    ///
    /// # Errors
    /// [`Error::Option`].
    pub(super) fn check(&self) -> Result<()> {
        for (option, share) in [("--val-share", self.val_share), ("--test-share", self.test_share)] {
            if !(0.0..1.0).contains(&share) {
                return Err(Error::option(option, "a share from 0 to below 1", share.to_string()));
            }
        }
        let both = self.val_share + self.test_share;
        if both < 1.0 {
            return Ok(());
        }
        Err(Error::option("--test-share", "less than 1 together with --val-share", both.to_string()))
    }
}

/// The ratings that are dealt.
pub(super) struct Split<'a> {
    pub(super) deal: &'a Deal,
    pub(super) ratings: &'a [Rating],
    /// The time of each; empty unless they are dealt by it.
    pub(super) times: &'a [f64],
    /// The hashes of the users' and the items' ids.
    pub(super) hashes: [&'a [u64]; 2],
}

impl Split<'_> {
    /// The ratings at these places, which are in the order of the users: those that train, validate and test.
    pub(super) fn deal(&self, mut order: Vec<u32>) -> [Vec<Rating>; 3] {
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        if self.deal.by == By::User {
            let same = |a: &u32, b: &u32| self.of(*a).user == self.of(*b).user;
            order.chunk_by_mut(same).for_each(|of_one| self.part(of_one, &mut parts));
        } else {
            self.part(&mut order, &mut parts);
        }
        parts
    }

    /// Deals some ratings.
    fn part(&self, places: &mut [u32], parts: &mut [Vec<Rating>; 3]) {
        let share = |share: f64| (share * places.len() as f64).round() as usize;
        let most = places.len().saturating_sub(1);
        let test = share(self.deal.test_share).min(most);
        let held_out = (test + share(self.deal.val_share)).min(most);
        let mut keyed: Vec<(f64, u64, u32)> = places.iter().map(|&at| self.key(at)).collect();
        // Only the borders must be in their places.
        for border in [held_out, test] {
            let end = if border == test { held_out } else { keyed.len() };
            if border > 0 && border < end {
                keyed[..end].select_nth_unstable_by(border, compare);
            }
        }
        let [train, val, for_test] = parts;
        for (to, range) in [(for_test, 0..test), (val, test..held_out), (train, held_out..keyed.len())] {
            to.extend(keyed[range].iter().map(|(_, _, at)| self.of(*at)));
        }
    }

    fn of(&self, place: u32) -> Rating {
        self.ratings[place as usize]
    }

    /// The key of a rating: those with the lowest keys are held out.
    fn key(&self, place: u32) -> (f64, u64, u32) {
        let Rating { user, item, .. } = self.of(place);
        let [users, items] = self.hashes;
        let ids = [users[user as usize].to_le_bytes(), items[item as usize].to_le_bytes()].concat();
        let draw = XxHash3_64::oneshot_with_seed(self.deal.seed, &ids);
        (self.times.get(place as usize).map_or(0.0, |time| -time), draw, place)
    }
}

fn compare(a: &(f64, u64, u32), b: &(f64, u64, u32)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2))
}
