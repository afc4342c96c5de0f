//! A workload in a hundred lines: the smallest divisor of every number from 2 to a bound. It has all that
//! `docs/adding.md` asks of one, on the engine for independent units.

use protocol::check::whole;
use protocol::{Error, FeatureStore, FileRef, Job, Keys, refuse_rest};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use storage::Root;
use units::{Doing, Ending, Numbers, Settled, Units, course};
use work::{Combined, Failed, Last, Opened, Plan, Stage, Work, Workload, at_once};

/// The workload: one line of a registry names it.
pub struct Divisors;

/// Its keys of a job.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    up_to: u32,
}

impl Keys for Asked {
    const NAMES: &[&str] = &["up_to"];
    const ALIASES: &[(&str, &str)] = &[("bound", "up_to")];
}

impl Asked {
    fn of(job: &Job) -> Result<Asked, Error> {
        let mut keys = job.keys.clone();
        let asked = Asked::take(&mut keys)?;
        refuse_rest(&keys, &[Asked::NAMES], &[Asked::ALIASES])?;
        whole("up_to", asked.up_to, 2, 1_000_000)?;
        Ok(asked)
    }

    fn source(&self) -> Source {
        Source(Numbers::All(u64::from(self.up_to) + 1))
    }
}

/// The units are the numbers themselves.
struct Source(Numbers);

/// Numbers that are being divided, the next one last.
struct Dividing(Vec<u64>);

impl Units for Source {
    fn numbers(&self) -> &Numbers {
        &self.0
    }

    fn begin(&self, mut units: Vec<u64>, _tries: u32) -> Result<Box<dyn Doing>, Failed> {
        units.reverse();
        Ok(Box::new(Dividing(units)))
    }
}

impl Doing for Dividing {
    /// A thousand numbers take some hundredths of a second.
    fn step(&mut self, settled: &mut Vec<Settled>) -> Result<(), Failed> {
        let next = (0..1_000).map_while(|_| self.0.pop());
        settled.extend(next.map(|number| match number {
            0 | 1 => Settled::Lost { why: format!("{number} has no divisor above 1"), said: String::new() },
            number => Settled::Done(smallest_divisor(number).to_string()),
        }));
        Ok(())
    }
}

fn smallest_divisor(number: u64) -> u64 {
    (2..)
        .take_while(|divisor| divisor * divisor <= number)
        .find(|divisor| number.is_multiple_of(*divisor))
        .unwrap_or(number)
}

impl Workload for Divisors {
    fn check(&self, job: &Job) -> Result<(), Failed> {
        Ok(Asked::of(job).map(drop)?)
    }

    fn plan(&self, _: &Root, job: &Job, workers: u32) -> Result<Plan, Failed> {
        let asked = Asked::of(job)?;
        let units = asked.source().numbers().count();
        Ok(Plan {
            job: Box::new(job.clone()),
            course: Box::new(course(format!("divisors up to {}", asked.up_to), units, 1, workers)),
            features: FeatureStore { key: "none".into(), manifest: None },
        })
    }

    fn open(&self, stage: &Stage<'_>, share: u32, place: Option<&FileRef>) -> Opened {
        units::open(stage, share, place, Arc::new(Asked::of(stage.job)?.source()))
    }

    fn combine<'a>(
        &'a self,
        stage: &Stage<'a>,
        results: &'a [FileRef],
        _place: Option<&FileRef>,
    ) -> Result<Box<dyn Work<Combined> + 'a>, Failed> {
        let stage = *stage;
        Ok(at_once(move || {
            let units: Arc<dyn Units> = Arc::new(Asked::of(stage.job)?.source());
            units::combine(&stage, results, &units)
        }))
    }

    fn finish<'a>(&'a self, stage: &Stage<'a>, last: Last<'a>) -> Result<Box<dyn Work + 'a>, Failed> {
        let asked = Asked::of(stage.job)?;
        let made_of = json!({"divisors_up_to": asked.up_to});
        Ok(Box::new(Ending::open(stage, last, asked.source().0, made_of)?))
    }
}
