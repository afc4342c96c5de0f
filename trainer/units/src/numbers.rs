//! The numbers of the units of a run.

/// The numbers of a run's units, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// All numbers from 0, below this count.
    All(u64),
    /// These numbers.
    These(Vec<u64>),
}

impl Numbers {
    /// The number of units.
    pub fn count(&self) -> u64 {
        match self {
            Numbers::All(count) => *count,
            Numbers::These(numbers) => numbers.len() as u64,
        }
    }

    /// The number at a place below the count.
    pub fn at(&self, place: u64) -> u64 {
        match self {
            Numbers::All(_) => place,
            Numbers::These(numbers) => numbers.get(place as usize).copied().unwrap_or(u64::MAX),
        }
    }

    /// The number of units below a number.
    pub fn below(&self, number: u64) -> u64 {
        match self {
            Numbers::All(count) => number.min(*count),
            Numbers::These(numbers) => numbers.partition_point(|other| *other < number) as u64,
        }
    }
}
