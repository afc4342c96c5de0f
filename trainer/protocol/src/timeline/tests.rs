//! The timeline of runs in which something happens.

use super::*;
use crate::{Combined, Ending, FeatureStore, FileRef, Job, LEDGER_SCHEMA, Lease, Reason, RunId};

const START: u64 = 1_000_000;

fn file() -> FileRef {
    FileRef { name: "a".into(), bytes: 1, xxh3: "0".repeat(32) }
}

fn started(workers: u32) -> Fact {
    let job = serde_json::json!({"dataset": "d", "network": "vgg19"});
    Fact::Started {
        schema: LEDGER_SCHEMA,
        run: RunId::new("a").unwrap(),
        job: Box::new(Job::from_value(job).unwrap()),
        course: Box::new(crate::tests::course(&["train"], 20)),
        workers,
        features: FeatureStore { key: "k".into(), manifest: None },
        invocation: String::new(),
        at_ms: START,
    }
}

fn begun(target: Target, by: &str, at: u64, until: u64) -> Fact {
    let lease = Lease { invocation: by.into(), at_ms: START + at, until_ms: START + until, memory_mb: 1_024 };
    Fact::Begun { target, lease }
}

fn done(target: Target, by: &str, at: u64) -> Fact {
    Fact::WorkerDone { target, result: file(), invocation: by.into(), at_ms: START + at }
}

fn leg_done(target: Target, by: &str, at: u64) -> Fact {
    Fact::LegDone { target, place: file(), done: 5, invocation: by.into(), at_ms: START + at }
}

#[test]
fn a_pause_is_no_work() {
    let (first, other) = (Target::worker(0, 0, 0), Target::worker(0, 1, 0));
    let (place, invocation) = (None, "a".to_owned());
    let timeline = timeline(&[
        started(2),
        begun(first, "a", 100, 900_000),
        begun(other, "b", 200, 900_000),
        Fact::Interrupted { target: first, place, done: 0, invocation, at_ms: START + 5_000 },
        Fact::SentAgain { targets: vec![other], forced: true, at_ms: START + 500_000 },
    ]);
    let attempts: Vec<_> = timeline.stages[&0].attempts.iter().map(|a| (a.end, a.until_ms - START)).collect();
    assert_eq!(attempts, [(AttemptEnd::Done, 5_000), (AttemptEnd::Died, 7_000)]);
}

fn combined(stage: u32, by: &str, at: u64) -> Fact {
    let combined = Combined { stage, state: None, features: Some(file()), score: None };
    Fact::CombineDone { combined, invocation: by.into(), at_ms: START + at }
}

fn timeline(facts: &[Fact]) -> Timeline {
    let mut timeline = Timeline::default();
    facts.iter().for_each(|fact| timeline.take(fact));
    timeline
}

/// A stage whose worker 0 has two legs and whose worker 1 dies, is begun again, and then once more at the
/// same time.
fn eventful() -> Vec<Fact> {
    let (first, second) = (Target::worker(0, 0, 0), Target::worker(0, 0, 1));
    let other = Target::worker(0, 1, 0);
    vec![
        started(2),
        begun(first, "a", 100, 10_000),
        begun(other, "b", 200, 10_000),
        leg_done(first, "a", 5_100),
        begun(second, "c", 5_200, 20_000),
        begun(other, "b", 6_000, 16_000),
        Fact::SentAgain { targets: vec![other], forced: false, at_ms: START + 7_000 },
        begun(other, "d", 7_100, 17_000),
        done(second, "c", 8_000),
        done(other, "b", 9_000),
        begun(Target::combine(0), "e", 9_100, 19_000),
        combined(0, "e", 9_600),
    ]
}

#[test]
fn retries_and_duplicates_are_told_apart() {
    let timeline = timeline(&eventful());
    let stage = &timeline.stages[&0];
    let ends: Vec<_> =
        stage.attempts.iter().map(|a| (a.invocation.as_str(), a.end, a.until_ms - START)).collect();
    use AttemptEnd::{Died, Done, Duplicate};
    let expected = [
        ("a", Done, 5_100),
        ("b", Died, 6_000),
        ("c", Done, 8_000),
        ("b", Done, 9_000),
        ("d", Duplicate, 9_000),
        ("e", Done, 9_600),
    ];
    assert_eq!(ends, expected);
    assert_eq!((stage.resent, stage.ended_ms), (1, Some(START + 9_600)));
    assert_eq!(timeline.stages[&1].began_ms, START + 9_600);
}

#[test]
fn what_outlives_its_time_has_died_and_what_the_end_finds_is_stopped() {
    let target = Target::worker(0, 0, 0);
    let mut facts = vec![started(2), begun(target, "a", 0, 1_000), begun(target, "b", 5_000, 9_000)];
    facts.push(begun(Target::worker(0, 1, 0), "c", 5_000, 9_000));
    facts.push(done(target, "b", 6_000));
    facts.push(Fact::Closed { why: Reason::Stopped, invocation: "s".into(), at_ms: START + 7_000 });
    let ending = Ending { why: Reason::Stopped, model: None, unscored: None };
    facts.push(Fact::Ended { ending, at_ms: START + 8_000 });
    let timeline = timeline(&facts);
    let ends: Vec<_> = timeline.stages[&0].attempts.iter().map(|a| (a.end, a.until_ms - START)).collect();
    use AttemptEnd::{Died, Done, Stopped};
    assert_eq!(ends, [(Died, 1_000), (Done, 6_000), (Stopped, 7_000)]);
}

#[test]
fn a_start_read_again_begins_anew() {
    let mut facts = eventful();
    facts.extend(eventful());
    assert_eq!(timeline(&facts), timeline(&eventful()));
}

#[test]
fn the_text_says_what_the_attempts_say() {
    let timeline = timeline(&eventful());
    let (share, text) = write_rows(&timeline.stages[&0], 2, 1_000);
    assert_eq!((share, text.as_str()), (1, "10+500 10+280|20+580x 0+300 -190+190=/910+50"));
    let rows = rows(&text);
    assert_eq!(rows.len(), 3);
    let bar = |from_ms, length_ms, end| Bar { from_ms, length_ms, end, attempts: 1 };
    assert_eq!(rows[0], [bar(100, 5_000, AttemptEnd::Done), bar(5_200, 2_800, AttemptEnd::Done)]);
    assert_eq!(rows[1][1..], [bar(6_000, 3_000, AttemptEnd::Done), bar(7_100, 1_900, AttemptEnd::Duplicate)]);
    assert_eq!(rows[2], [bar(9_100, 500, AttemptEnd::Done)]);
}

#[test]
fn a_thousand_workers_fit_and_lose_no_attempt() {
    let mut facts = vec![started(1_000)];
    for worker in 0..1_000 {
        for leg in 0..5 {
            let (target, at) = (Target::worker(0, worker, leg), u64::from(leg) * 800_000);
            facts.push(begun(target, "a", at, at + 900_000));
            facts.push(leg_done(target, "a", at + 790_000));
        }
    }
    let timeline = timeline(&facts);
    let (share, text) = write_rows(&timeline.stages[&0], 1_000, 2_000);
    assert!(text.len() <= 2_000 && share > 1, "{share}: {} bytes", text.len());
    let rows = rows(&text);
    assert_eq!(rows.len() as u32, 1_000_u32.div_ceil(share) + 1);
    assert_eq!(rows.iter().flatten().map(|bar| bar.attempts).sum::<u32>(), 5_000);
    assert_eq!(rows[0][0].from_ms + rows[0][0].length_ms, 4 * 800_000 + 790_000);
}

#[test]
fn a_text_of_no_sense_gives_no_bars() {
    for text in
        ["", "+", "1+", "1+2q", "x+1", "1+99999999999", "9223372036854775807+1", "1+1*x", "é+1", "1+1é"]
    {
        assert!(rows(text).iter().flatten().next().is_none(), "{text:?}");
    }
}
