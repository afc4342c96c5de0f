//! The reports of the contracts' runs: facts with texts and numbers of the greatest length.

use protocol::items::{Cell, Shown, Table};
use protocol::{
    Best, Combined, Course, Fact, FeatureStore, FileRef, Job, LEDGER_SCHEMA, Lease, Ledger, Measure, RunId,
    Score, Target,
};
use serde_json::json;

/// When the runs of these tests begin, in milliseconds since 1970.
pub(crate) const START: u64 = 1_795_000_000_000;

pub(crate) fn file() -> FileRef {
    FileRef { name: "f".repeat(40), bytes: 1, xxh3: "0".repeat(32) }
}

pub(crate) fn started(run: &str, workers: u32, features: Option<FileRef>, at_ms: u64) -> Fact {
    let long = "a".repeat(100);
    let job = json!({"dataset": long, "network": "vgg19", "weights": long, "rounds": 200, "seed": u64::MAX});
    Fact::Started {
        schema: LEDGER_SCHEMA,
        run: RunId::new(run).unwrap(),
        job: Box::new(Job::from_value(job).unwrap()),
        course: Box::new(course()),
        workers,
        features: FeatureStore { key: "key".into(), manifest: features },
        invocation: String::new(),
        at_ms,
    }
}

/// 200 rounds whose scores have three numbers, with a long title.
pub(crate) fn course() -> Course {
    let measure = |name: &str, share| Measure { name: name.into(), higher: share, share };
    Course {
        title: "a".repeat(200),
        before: vec!["features".into()],
        shares: Vec::new(),
        round: vec!["train".into()],
        rounds: 200,
        called: "round".into(),
        unit: "images".into(),
        measures: vec![measure("top-1", true), measure("loss", false), measure("top-5", true)],
        best: Best::Measured,
        score_every: 1,
        patience: Some(10),
    }
}

/// A score whose numbers need all their digits.
pub(crate) fn score() -> Score {
    Score { values: vec![1.0 / 3.0, 0.123_456_789_012_345_68, 1.0 / 7.0], of: 10_000 }
}

/// A table of every kind of cell.
pub(crate) fn shown() -> Shown {
    let cells = vec![Cell::Text("cat".into()), Cell::Count(u64::MAX), Cell::Number(1.0)];
    let columns = ["class", "images", "right"].map(String::from).into();
    let table = Table { title: "A table".into(), columns, rows: vec![cells], ..Table::default() };
    Shown { tables: vec![table], samples: Vec::new() }
}

pub(crate) fn ledger(run: &str, workers: u32) -> Ledger {
    Ledger::start(started(run, workers, None, START)).unwrap()
}

/// A run whose first round every worker did in `legs` legs, up to its combine.
pub(crate) fn first_round(run: &str, workers: u32, legs: u32) -> Vec<Fact> {
    let mut facts = vec![started(run, workers, Some(file()), START)];
    let lease =
        |at_ms| Lease { invocation: "i".repeat(36), at_ms, until_ms: at_ms + 900_000, memory_mb: 3_008 };
    let mut work = |target, from_ms: u64| {
        facts.push(Fact::Begun { target, lease: lease(START + from_ms) });
        let (invocation, at_ms) = ("i".repeat(36), START + from_ms + 840_000);
        facts.push(match target.worker {
            None => {
                let combined =
                    Combined { stage: 1, state: Some(file()), features: None, score: Some(score()) };
                Fact::CombineDone { combined, invocation, at_ms }
            }
            Some(_) if target.leg + 1 < legs => {
                Fact::LegDone { target, place: file(), done: u64::from(target.leg) + 1, invocation, at_ms }
            }
            Some(_) => Fact::WorkerDone { target, result: file(), invocation, at_ms },
        });
    };
    for worker in 0..workers {
        (0..legs).for_each(|leg| work(Target::worker(1, worker, leg), u64::from(leg) * 850_000));
    }
    work(Target::combine(1), u64::from(legs) * 850_000);
    facts
}
