//! Faults on purpose, drawn from a seed: each fault really occurs on AWS.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The chances of each fault, from 0 (never, the default) to 1 (always).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Where the draws begin: with the same seed the n-th draw of each fault has the same result.
    pub seed: u64,
    /// An event is delivered twice, with the same request id.
    pub duplicate: f64,
    /// An accepted event is never delivered.
    pub drop: f64,
    /// An accepted event waits up to [`Faults::delay_ms`] first, so that events overtake one another.
    pub delay: f64,
    /// The longest such wait.
    pub delay_ms: u64,
    /// Invoke answers 429 `TooManyRequestsException`.
    pub throttle: f64,
    /// An event is accepted but its sender gets 500 `ServiceException`, so that the SDK sends it again.
    pub lose_reply: f64,
    /// The process gets SIGKILL within [`Faults::kill_ms`] of receiving an event.
    pub kill: f64,
    /// The longest time until that signal.
    pub kill_ms: u64,
    /// The process stops within [`Faults::freeze_ms`] of receiving an event, until its time limit has passed
    /// and its event is tried again. Then it continues where it was, as a sandbox does that Lambda froze
    /// during work.
    pub freeze: f64,
    /// The longest time until it stops.
    pub freeze_ms: u64,
    /// The longest time from its time limit until it continues.
    pub thaw_ms: u64,
    /// An idle process is ended instead of used again, so that the next event gets a cold one.
    pub recycle: f64,
    /// How DynamoDB behaves.
    pub table: TableFault,
}

/// How the DynamoDB stand-in behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableFault {
    /// It answers.
    #[default]
    None,
    /// Every call is answered 500 `InternalServerError`.
    Fail,
    /// No call is ever answered.
    Hang,
    /// The processes that start from now on look for it at an address where nobody listens.
    Unreachable,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            seed: 0,
            duplicate: 0.0,
            drop: 0.0,
            delay: 0.0,
            delay_ms: 1000,
            throttle: 0.0,
            lose_reply: 0.0,
            kill: 0.0,
            kill_ms: 1000,
            freeze: 0.0,
            freeze_ms: 1000,
            thaw_ms: 1000,
            recycle: 0.0,
            table: TableFault::None,
        }
    }
}

impl Faults {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let chances = [
            ("faults.duplicate", self.duplicate),
            ("faults.drop", self.drop),
            ("faults.delay", self.delay),
            ("faults.throttle", self.throttle),
            ("faults.lose_reply", self.lose_reply),
            ("faults.kill", self.kill),
            ("faults.freeze", self.freeze),
            ("faults.recycle", self.recycle),
        ];
        match chances.into_iter().find(|(_, chance)| !(0.0..=1.0).contains(chance)) {
            Some((name, found)) => {
                Err(Error::Setting { name, found: found.to_string(), expected: "a chance from 0 to 1" })
            }
            None => Ok(()),
        }
    }
}

/// The faults of one attempt.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plan {
    /// When it is killed.
    pub(crate) kill_after: Option<Duration>,
    /// When it stops, and how long after its time limit it continues.
    pub(crate) freeze: Option<(Duration, Duration)>,
}

/// The purpose of a draw. Each has a sequence of its own, so that one fault's chance does not change
/// another's draws.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Draw {
    Duplicate,
    Drop,
    Delay,
    DelayMs,
    Throttle,
    LoseReply,
    Kill,
    KillMs,
    Recycle,
    Freeze,
    FreezeMs,
    ThawMs,
}

/// Random numbers that depend only on the seed, on their purpose, and on how many were drawn for it before.
#[derive(Debug)]
pub(crate) struct Dice {
    seed: u64,
    drawn: [u64; Draw::ThawMs as usize + 1],
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: Default::default() }
    }

    /// True with the given chance.
    pub(crate) fn hit(&mut self, draw: Draw, chance: f64) -> bool {
        let uniform = (self.next(draw) >> 11) as f64 / (1u64 << 53) as f64;
        uniform < chance
    }

    /// A duration from 0 to the given milliseconds.
    pub(crate) fn within_ms(&mut self, draw: Draw, longest: u64) -> Duration {
        Duration::from_millis(self.next(draw) % longest.saturating_add(1).max(1))
    }

    /// The faults of an attempt.
    pub(crate) fn plan(&mut self, faults: &Faults) -> Plan {
        let (kill, freeze) = (self.hit(Draw::Kill, faults.kill), self.hit(Draw::Freeze, faults.freeze));
        let kill_after = self.within_ms(Draw::KillMs, faults.kill_ms);
        let freeze_after = self.within_ms(Draw::FreezeMs, faults.freeze_ms);
        let thaw_after = self.within_ms(Draw::ThawMs, faults.thaw_ms);
        Plan { kill_after: kill.then_some(kill_after), freeze: freeze.then_some((freeze_after, thaw_after)) }
    }

    fn next(&mut self, draw: Draw) -> u64 {
        let drawn = &mut self.drawn[draw as usize];
        *drawn += 1;
        mix(mix(mix(self.seed) ^ draw as u64) ^ *drawn)
    }
}

/// The step of splitmix64.
fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_come_true_as_often_as_they_say_and_repeat_with_their_seed() {
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            (0..10_000).map(|_| dice.hit(Draw::Kill, 0.3)).collect::<Vec<_>>()
        };
        let hits = draw(7).iter().filter(|hit| **hit).count();
        assert!((2800..3200).contains(&hits), "{hits} of 10000 at a chance of 0.3");
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let mut others = Dice::new(7);
        let among_others: Vec<bool> = (0..10_000)
            .map(|_| {
                others.hit(Draw::Recycle, 0.9);
                others.hit(Draw::Kill, 0.3)
            })
            .collect();
        assert_eq!(draw(7), among_others);
        let mut dice = Dice::new(1);
        assert!(!(0..1000).any(|_| dice.hit(Draw::Drop, 0.0)));
        assert!((0..1000).all(|_| dice.hit(Draw::Drop, 1.0)));
    }
}
