//! Which units a run does.

/// The numbers of a run's units, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// All of so many, from 0.
    All(u64),
    /// These.
    These(Vec<u64>),
}

impl Numbers {
    /// How many.
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

    /// How many are below a number.
    pub fn below(&self, number: u64) -> u64 {
        match self {
            Numbers::All(count) => number.min(*count),
            Numbers::These(numbers) => numbers.partition_point(|other| *other < number) as u64,
        }
    }
}
