//! The ledger, fact by fact.

use super::{PATIENCE_MS, course, file, score, started};
use crate::*;
use serde_json::json;

#[test]
fn legs_without_progress_end_the_run() {
    let mut ledger = Ledger::start(started(1, 1, json!({}))).unwrap();
    for leg in 0..2 {
        assert_eq!(ledger.over, None);
        let (target, invocation) = (Target::worker(0, 0, leg), "i".to_owned());
        ledger
            .record(&Fact::LegDone { target, place: file("p".into()), done: 0, invocation, at_ms: 0 })
            .unwrap();
    }
    assert!(matches!(&ledger.over, Some(Reason::Failed(why)) if why.contains("no progress")));
}

/// A ledger of one worker whose first leg was begun at 1,000 by invocation `i`, which may run until 11,000.
fn begun() -> (Ledger, Target) {
    let target = Target::worker(0, 0, 0);
    let mut ledger = Ledger::start(started(1, 1, json!({}))).unwrap();
    let lease = Lease { invocation: "i".into(), at_ms: 1_000, until_ms: 11_000, memory_mb: 1 };
    ledger.record(&Fact::Begun { target, lease }).unwrap();
    (ledger, target)
}

fn closed(why: Reason) -> Fact {
    Fact::Closed { why, invocation: "s".into(), at_ms: 0 }
}

fn decide(ledger: &Ledger, event: &Event, invocation: &str, now_ms: u64) -> Decision {
    ledger.decide(event, Moment { now_ms, invocation, patience_ms: PATIENCE_MS }).unwrap()
}

#[test]
fn a_tick_sends_again_what_a_leg_that_lives_has_handed_over_and_what_nobody_begins() {
    let (mut ledger, target) = begun();
    let tick = |ledger: &Ledger, now_ms| {
        decide(ledger, &Event::Tick { run: None }, "tick", now_ms) == Decision::Resend(vec![target])
    };
    // A second of the ten is kept for handing over.
    assert!(!tick(&ledger, 10_500) && tick(&ledger, 10_501));
    ledger.record(&Fact::SentAgain { targets: vec![target], forced: false, at_ms: 10_501 }).unwrap();
    // The event waits for its invocation as long as the one before it might have run, and twice the patience.
    assert!(!tick(&ledger, 11_000 + 2 * PATIENCE_MS) && tick(&ledger, 11_001 + 2 * PATIENCE_MS));
}

#[test]
fn what_another_has_in_hand_is_not_done_twice() {
    let (mut ledger, target) = begun();
    let event = ledger.event(target);
    assert!(
        matches!(decide(&ledger, &event, "j", 10_999), Decision::Ignore(why) if why.contains("invocation i"))
    );
    assert_eq!(
        decide(&ledger, &event, "i", 2_000),
        Decision::Work(target),
        "the same event, delivered again"
    );
    assert_eq!(decide(&ledger, &event, "j", 11_000), Decision::Work(target), "its time is over");
    ledger.record(&Fact::SentAgain { targets: vec![target], forced: false, at_ms: 2_000 }).unwrap();
    assert_eq!(decide(&ledger, &event, "j", 2_001), Decision::Work(target), "it was sent again since");
}

/// The first leg is told to end at 3,000, before it has done a step or after.
fn interrupted(ledger: &mut Ledger, target: Target, done: u64, at_ms: u64) -> Recorded {
    let place = (done > 0).then(|| file(format!("place-{done}")));
    let invocation = "i".into();
    ledger.record(&Fact::Interrupted { target, place, done, invocation, at_ms }).unwrap()
}

fn again(ledger: &mut Ledger, forced: bool, at_ms: u64) {
    ledger.record(&Fact::SentAgain { targets: ledger.due(), forced, at_ms }).unwrap();
}

#[test]
fn a_leg_that_was_told_to_end_keeps_its_work_and_is_no_crash() {
    let (mut ledger, target) = begun();
    let next = Target { leg: 1, ..target };
    assert_eq!(interrupted(&mut ledger, target, 7, 3_000).due, [next]);
    let piece = ledger.workers[0].clone();
    assert_eq!((piece.place.map(|place| place.name).as_deref(), piece.done), (Some("place-7"), 7));
    assert!((ledger.spend.gb_seconds(1_000_000) - 2.0 / 1_024.0).abs() < 1e-9, "billed until it ended");
    for leg in 1..500 {
        interrupted(&mut ledger, Target { leg, ..target }, 0, 4_000);
        assert_eq!((&ledger.over, ledger.workers[0].done), (&None, 7), "leg {leg}");
    }
}

#[test]
fn a_forced_start_ends_who_was_at_work_and_counts_no_crash() {
    let (mut ledger, target) = begun();
    let start = Event::from_value(json!({"start": true, "run": "a-run", "force": true})).unwrap();
    for n in 0..40 {
        let at_ms = 2_000 + n * 1_000;
        assert_eq!(decide(&ledger, &start, "s", at_ms), Decision::Resend(vec![target]));
        again(&mut ledger, true, at_ms);
        let lease = Lease { invocation: format!("i{n}"), at_ms, until_ms: at_ms + 900_000, memory_mb: 1 };
        ledger.record(&Fact::Begun { target, lease }).unwrap();
    }
    assert_eq!(ledger.over, None);
    assert!((ledger.spend.gb_seconds(42_000) - 41.0 / 1_024.0).abs() < 1e-9, "each until the next start");
    // What is begun again after that by the same event has crashed.
    for n in 0..12 {
        let lease = Lease { invocation: "x".into(), at_ms: 50_000 + n, until_ms: 900_000, memory_mb: 1 };
        ledger.record(&Fact::Begun { target, lease }).unwrap();
    }
    assert!(matches!(&ledger.over, Some(Reason::GaveUp(why)) if why.contains("began 13 times")));
}

#[test]
fn a_pause_is_neither_billed_nor_counted_in_the_hours() {
    const HOUR: u64 = 3_600_000;
    let (mut ledger, target) = begun();
    interrupted(&mut ledger, target, 1, 3_000);
    assert_eq!(ledger.worked_ms(5 * HOUR), 3_000, "it is paused");
    again(&mut ledger, false, 5 * HOUR);
    assert_eq!(ledger.worked_ms(5 * HOUR + 4_000), 7_000);
    // Another leg begins and is lost with its cloud, which says nothing.
    let at_ms = 5 * HOUR + 4_000;
    let lease = Lease { invocation: "j".into(), at_ms, until_ms: at_ms + 10_000, memory_mb: 1_024 };
    ledger.record(&Fact::Begun { target: Target { leg: 1, ..target }, lease }).unwrap();
    assert_eq!(ledger.worked_ms(9 * HOUR), 4 * HOUR + 3_000, "nobody has said that it is paused");
    again(&mut ledger, true, 9 * HOUR);
    assert_eq!(ledger.worked_ms(9 * HOUR), 17_000, "it was at work until its time was over at the latest");
    assert!((ledger.spend.gb_seconds(9 * HOUR) - 10.0).abs() < 0.01);
}

#[test]
fn after_a_clock_went_back_lost_work_is_missed_as_soon_as_ever() {
    const HOUR: u64 = 3_600_000;
    let (mut ledger, target) = begun();
    let lease = Lease { invocation: "j".into(), at_ms: HOUR, until_ms: HOUR + 10_000, memory_mb: 1 };
    ledger.record(&Fact::Begun { target, lease }).unwrap();
    let tick = |ledger: &Ledger, now_ms| decide(ledger, &Event::Tick { run: None }, "tick", now_ms);
    assert!(matches!(tick(&ledger, HOUR - 60_000), Decision::Ignore(_)), "clocks differ by so much");
    assert!(matches!(tick(&ledger, 20_000), Decision::Wait(_)));
    ledger.record(&Fact::Seen { at_ms: 20_000 }).unwrap();
    assert!(matches!(tick(&ledger, 29_500), Decision::Ignore(_)), "it may be at work");
    assert_eq!(tick(&ledger, 29_501), Decision::Resend(vec![target]));
    assert!(matches!(decide(&ledger, &ledger.event(target), "k", 29_999), Decision::Ignore(_)));
    assert_eq!(decide(&ledger, &ledger.event(target), "k", 30_000), Decision::Work(target));
}

#[test]
fn an_end_counts_only_as_it_was_settled() {
    let mut settled = Ledger::start(started(1, 2, json!({}))).unwrap();
    let open = settled.clone();
    settled.record(&closed(Reason::Stopped)).unwrap();
    settled.check_settled(&settled).unwrap();
    let error = open.check_settled(&settled).unwrap_err().to_string();
    assert!(error.contains("facts were written over"), "{error}");
    let mut other = open.clone();
    other.record(&closed(Reason::Rounds)).unwrap();
    assert!(other.check_settled(&settled).is_err(), "for another reason");
    let mut better = settled.clone();
    better.best = Some(Combined { stage: 1, state: None, features: None, score: None });
    assert!(better.check_settled(&settled).unwrap_err().to_string().contains("stage 1 the best"));
}

#[test]
fn a_start_that_died_before_all_was_sent_sends_the_rest_when_it_is_delivered_again() {
    let mut ledger = Ledger::start(started(2, 1, json!({}))).unwrap();
    let lease = Lease { invocation: "i".into(), at_ms: 1, until_ms: 10_000, memory_mb: 1 };
    ledger.record(&Fact::Begun { target: Target::worker(0, 0, 0), lease }).unwrap();
    let event = Event::from_value(json!({"start": true, "run": "a-run"})).unwrap();
    let decide = |invocation| {
        ledger.decide(&event, Moment { now_ms: 2, invocation, patience_ms: PATIENCE_MS }).unwrap()
    };
    assert_eq!(decide("the start"), Decision::Resend(vec![Target::worker(0, 1, 0)]));
    assert!(matches!(decide("another start"), Decision::Ignore(_)));
}

#[test]
fn no_combine_counts_once_it_is_settled_that_the_run_ends() {
    let mut ledger = Ledger::start(started(1, 5, json!({}))).unwrap();
    let target = Target::worker(0, 0, 0);
    let (result, invocation) = (file("r".into()), "i".to_owned());
    ledger.record(&Fact::WorkerDone { target, result, invocation: invocation.clone(), at_ms: 0 }).unwrap();
    assert!(ledger.record(&closed(Reason::Stopped)).unwrap().new);
    let before = ledger.clone();
    let features = Some(file("f".into()));
    let combined = Combined { stage: 0, state: None, features, score: None };
    let recorded = ledger.record(&Fact::CombineDone { combined, invocation, at_ms: 0 }).unwrap();
    assert!(!recorded.new && recorded.due.is_empty());
    assert_eq!((ledger.stage, &ledger.last, &ledger.best), (before.stage, &before.last, &before.best));
    assert!(!ledger.record(&closed(Reason::Rounds)).unwrap().new);
    assert_eq!((ledger.must_end(0), &ledger.over), (None, &Some(Reason::Stopped)));
}

#[test]
fn an_event_ahead_of_the_ledger_is_to_be_delivered_again() {
    let ledger = Ledger::start(started(2, 2, json!({}))).unwrap();
    let moment = Moment { now_ms: 1, invocation: "i", patience_ms: PATIENCE_MS };
    for target in [Target::worker(1, 0, 0), Target::worker(0, 0, 1), Target::combine(0), Target::combine(1)] {
        let decision = ledger.decide(&ledger.event(target), moment).unwrap();
        assert!(matches!(decision, Decision::Ahead(_)), "{target}: {decision:?}");
    }
}

#[test]
fn a_score_is_judged_alike_by_who_records_it_and_who_reads_it() {
    let combined = |stage, top1| {
        let combined = Combined { stage, state: None, features: None, score: Some(score(top1)) };
        Fact::CombineDone { combined, invocation: "i".into(), at_ms: 0 }
    };
    let top1 = |fact: &Fact| match fact {
        Fact::CombineDone { combined, .. } => combined.score.as_ref().unwrap().values[0],
        _ => unreachable!(),
    };
    // 12 of 97: JSON returns it one bit smaller.
    let (ours, read) = (combined(1, 12.0 / 97.0), combined(1, 12.0 / 97.0).read_back());
    let text = serde_json::to_string(&ours).unwrap();
    assert_eq!(top1(&read), top1(&serde_json::from_str(&text).unwrap()));
    let again = score(top1(&serde_json::from_str(&text).unwrap()));
    assert!(!course(&["train"], 1).beats(&score(top1(&read)), &again));
}

/// The ledger of one worker's run of some rounds, with a changed course; tests end its stages one by one.
fn changed(rounds: u32, change: impl FnOnce(&mut Course)) -> Ledger {
    let mut first = started(1, rounds, json!({}));
    let Fact::Started { course, .. } = &mut first else { unreachable!() };
    change(course);
    Ledger::start(first).unwrap()
}

/// Ends a stage with a top-1, or without a score; returns the best stage then.
fn end(ledger: &mut Ledger, stage: u32, top1: Option<f64>) -> Option<u32> {
    assert_eq!((ledger.stage, ledger.over.as_ref()), (stage, None));
    let (invocation, at_ms) = (format!("i{stage}"), 0);
    let (target, result) = (Target::worker(stage, 0, 0), file(format!("result-{stage}")));
    ledger.record(&Fact::WorkerDone { target, result, invocation: invocation.clone(), at_ms }).unwrap();
    let state = (stage > 0).then(|| file(format!("state-{stage}")));
    let features = (stage == 0).then(|| file("features.json".into()));
    let score = top1.map(score);
    let combined = Combined { stage, state, features, score };
    ledger.record(&Fact::CombineDone { combined, invocation, at_ms }).unwrap();
    ledger.best.as_ref().map(|best| best.stage)
}

#[test]
fn of_a_tuning_the_last_rung_with_a_score_counts_and_ends_it() {
    let mut ledger = changed(3, |course| course.best = Best::Last);
    // The features, the range test, and rungs of 6 and of 2 trials, the last one worse than the one before.
    for (stage, top1, best) in
        [(0, None, None), (1, None, None), (2, Some(0.9), Some(2)), (3, Some(0.8), Some(3))]
    {
        assert_eq!(end(&mut ledger, stage, top1), best, "after stage {stage}");
    }
    assert_eq!(ledger.over, Some(Reason::Rounds));
}

/// Of a run whose results add up, the end publishes those of the stage that it cuts short: of shares that are
/// done, and of one that is not.
#[test]
fn an_end_within_a_stage_keeps_the_results_so_far() {
    let cut = |best: Best| {
        let mut first = started(3, 3, json!({}));
        let Fact::Started { course, .. } = &mut first else { unreachable!() };
        course.best = best;
        let mut ledger = Ledger::start(first).unwrap();
        let (target, result, invocation) = (Target::worker(0, 0, 0), file("result".into()), "w0".to_owned());
        ledger.record(&Fact::WorkerDone { target, result, invocation, at_ms: 1 }).unwrap();
        let (target, place, invocation) = (Target::worker(0, 1, 0), file("place".into()), "w1".into());
        ledger.record(&Fact::LegDone { target, place, done: 5, invocation, at_ms: 1 }).unwrap();
        ledger.record(&Fact::Closed { why: Reason::Stopped, invocation: "s".into(), at_ms: 2 }).unwrap();
        (ledger.cut_short(), ledger.ready().is_none(), ledger.due().len())
    };
    assert_eq!(cut(Best::Measured), (None, false, 0), "a model needs all shares");
    let (found, publishes, due) = cut(Best::All);
    let shares = vec![(0, file("result".into())), (1, file("place".into()))];
    assert_eq!(found, Some(CutShort { stage: 0, shares, why: "stopped".into() }));
    assert_eq!((publishes, due), (true, 1), "its end is due");
}

#[test]
fn a_round_that_is_not_scored_replaces_only_another_such_and_ends_nothing() {
    let mut ledger = changed(20, |course| (course.score_every, course.patience) = (3, Some(2)));
    let stages = [(0, None, None), (1, None, Some(1)), (2, None, Some(2)), (3, Some(0.5), Some(3))];
    let later = [(4, None, Some(3)), (5, None, Some(3)), (6, Some(0.4), Some(3))];
    for (stage, top1, best) in stages.into_iter().chain(later) {
        assert_eq!(end(&mut ledger, stage, top1), best, "after stage {stage}");
    }
    assert_eq!(ledger.over, Some(Reason::Patience));
}

#[test]
fn a_ledger_of_another_schema_is_refused_by_name() {
    for other in [LEDGER_SCHEMA - 1, LEDGER_SCHEMA + 1] {
        let mut first = started(1, 1, json!({}));
        let Fact::Started { schema, .. } = &mut first else { unreachable!() };
        *schema = other;
        let error = Ledger::fold([first]).unwrap_err().to_string();
        assert!(error.contains("ledger of a-run") && error.contains(&format!("schema {other}")), "{error}");
    }
}

#[test]
fn money_is_counted_for_what_was_killed_too() {
    let mut ledger = Ledger::start(started(1, 1, json!({"dollars": 0.01}))).unwrap();
    let target = Target::worker(0, 0, 0);
    let lease = |n: u64| Lease {
        invocation: format!("i{n}"),
        at_ms: n * 900_000,
        until_ms: (n + 1) * 900_000,
        memory_mb: 1_024,
    };
    ledger.record(&Fact::Begun { target, lease: lease(0) }).unwrap();
    assert!((ledger.spend.gb_seconds(450_000) - 450.0).abs() < 1e-9);
    assert!((ledger.spend.gb_seconds(5_000_000) - 900.0).abs() < 1e-9, "no more than its time limit");
    ledger.record(&Fact::Begun { target, lease: lease(1) }).unwrap();
    assert!(matches!(ledger.must_end(1_800_000), Some(Reason::Limit(what)) if what.contains("dollars")));
}

#[test]
fn a_job_is_the_same_however_often_it_is_read_and_written() {
    for n in 1..14_000 {
        let text = format!(
            r#"{{"dataset": "d", "network": "vgg19", "learning_rate": 0.{}}}"#,
            1_234_567_890_123_457_u64 * n
        );
        let job = Job::parse(text.as_bytes()).unwrap();
        let again = Job::parse(&serde_json::to_vec(&job).unwrap()).unwrap();
        assert_eq!(again, job, "{text}");
    }
}
