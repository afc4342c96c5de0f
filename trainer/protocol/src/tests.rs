//! The protocol in a small world of its own: a queue that repeats, drops and reorders events, invocations that die at
//! any point, and a watchdog. Whatever happens, the run ends, counts each worker once and combines each stage once.

use crate::*;
use serde_json::json;

struct World {
    random: fastrand::Rng,
    facts: Vec<Fact>,
    queue: Vec<(String, Event)>,
    now_ms: u64,
    invocations: u64,
    sends: u64,
    faults: bool,
}

const PATIENCE_MS: u64 = 60_000;

fn file(name: String) -> FileRef {
    FileRef { name, bytes: 1, xxh3: "0".repeat(32) }
}

fn started(workers: u32, rounds: u32, limits: serde_json::Value) -> Fact {
    let job = json!({"dataset": "d", "network": "vgg19", "rounds": rounds, "limits": limits});
    Fact::Started {
        schema: LEDGER_SCHEMA,
        run: RunId::new("a-run").unwrap(),
        job: Box::new(Job::from_value(job).unwrap()),
        workers,
        features: FeatureStore { key: "k".into(), manifest: None },
        invocation: "the start".into(),
        at_ms: 0,
    }
}

impl World {
    fn new(seed: u64, first: Fact) -> World {
        World::begin(seed, first, true)
    }

    fn begin(seed: u64, first: Fact, faults: bool) -> World {
        let random = fastrand::Rng::with_seed(seed);
        let mut world =
            World { random, facts: vec![first], queue: vec![], now_ms: 0, invocations: 0, sends: 0, faults };
        let ledger = world.ledger();
        world.send(&ledger, &ledger.due());
        world
    }

    fn ledger(&self) -> Ledger {
        Ledger::fold(self.facts.clone()).unwrap().unwrap()
    }

    fn fault(&mut self, one_in: u64) -> bool {
        self.faults && self.random.u64(..one_in) == 0
    }

    fn send(&mut self, ledger: &Ledger, targets: &[Target]) {
        if ledger.must_end(self.now_ms).is_some() {
            return self.finish(ledger.must_end(self.now_ms).unwrap());
        }
        for target in targets {
            if self.fault(12) {
                return; // dies between two sends
            }
            self.sends += 1;
            self.invocations += 1;
            let event = ledger.event(*target);
            let copies = if self.fault(8) { 2 } else { 1 };
            for _ in 0..copies {
                self.queue.push((format!("i{}", self.invocations), event.clone()));
            }
        }
    }

    fn record(&mut self, fact: Fact) {
        let mut ledger = self.ledger();
        let recorded = ledger.record(&fact).unwrap();
        if recorded.new {
            self.facts.push(fact);
        } else if !recorded.due.is_empty() {
            let again = Fact::SentAgain { targets: recorded.due.clone(), at_ms: self.now_ms };
            ledger.record(&again).unwrap();
            self.facts.push(again);
        }
        if !self.fault(15) {
            self.send(&ledger, &recorded.due);
        }
    }

    fn finish(&mut self, why: Reason) {
        if !self.fault(5) {
            self.record(Fact::Ended { ending: Ending { why, model: None }, at_ms: self.now_ms });
        }
    }

    /// Delivers one event from anywhere in the queue.
    fn deliver(&mut self) {
        let at = self.random.usize(..self.queue.len());
        let (invocation, event) = self.queue.swap_remove(at);
        self.now_ms += self.random.u64(..2_000);
        if self.fault(25) {
            return; // dropped
        }
        if self.fault(10) {
            self.queue.push((invocation.clone(), event.clone())); // will be delivered again
        }
        self.invoke(&invocation, &event);
    }

    fn invoke(&mut self, invocation: &str, event: &Event) {
        let ledger = self.ledger();
        let moment = Moment { now_ms: self.now_ms, invocation, patience_ms: PATIENCE_MS };
        match ledger.decide(event, moment).unwrap() {
            Decision::Work(target) => self.work(&ledger, target, invocation, event),
            Decision::Finish(why) => self.finish(why),
            Decision::Resend(targets) => {
                self.facts.push(Fact::SentAgain { targets: targets.clone(), at_ms: self.now_ms });
                let ledger = self.ledger();
                self.send(&ledger, &targets);
            }
            Decision::Ignore(_) => {}
            Decision::Ahead(why) => panic!("nothing is ahead of a ledger that is always seen: {why}"),
        }
    }

    fn work(&mut self, ledger: &Ledger, target: Target, invocation: &str, event: &Event) {
        let until_ms = self.now_ms + 10_000;
        let lease = Lease { invocation: invocation.into(), at_ms: self.now_ms, until_ms, memory_mb: 1_024 };
        self.facts.push(Fact::Begun { target, lease });
        if self.fault(10) {
            // Killed; the platform delivers the same event again, mostly.
            if self.random.u64(..4) > 0 {
                self.queue.push((invocation.into(), event.clone()));
            }
            return;
        }
        let (invocation, at_ms) = (invocation.to_owned(), self.now_ms);
        let fact = match target.worker {
            None => {
                let score = Score { loss: 1.0, top1: 0.5, top5: 1.0, images: 10 };
                let state = Some(file(format!("combined-{}", target.stage)));
                let features = (target.stage == 0).then(|| file("features.json".into()));
                let combined = Combined { stage: target.stage, state, features, score: Some(score) };
                Fact::CombineDone { combined, invocation, at_ms }
            }
            Some(worker) if target.leg < 2 => {
                let place = file(format!("place-{worker}-{}", target.leg));
                let done = ledger.workers[worker as usize].done + 1;
                Fact::LegDone { target, place, done, invocation, at_ms }
            }
            Some(worker) => {
                let result = file(format!("result-{worker}"));
                Fact::WorkerDone { target, result, invocation, at_ms }
            }
        };
        self.record(fact);
    }

    /// Runs with faults for a while, then without, and checks what must hold.
    fn run(mut self, faulty_steps: u64) -> World {
        for step in 0..20_000 {
            self.faults = step < faulty_steps;
            if self.ledger().ending.is_some() {
                return self;
            }
            if self.queue.is_empty() || self.fault(40) {
                self.now_ms += PATIENCE_MS;
                self.invoke("tick", &Event::Tick { run: None });
            } else {
                self.deliver();
            }
            let ledger = self.ledger();
            assert!(self.sends <= ledger.spend.sent, "{} sends, {} recorded", self.sends, ledger.spend.sent);
        }
        panic!("the run does not end: {:?}", self.ledger());
    }
}

fn combines(facts: &[Fact]) -> Vec<u32> {
    let stage = |fact: &Fact| match fact {
        Fact::CombineDone { combined, .. } => Some(combined.stage),
        _ => None,
    };
    facts.iter().filter_map(stage).collect()
}

#[test]
fn every_run_ends_with_each_stage_combined_once() {
    for seed in 0..400 {
        println!("seed {seed}");
        let world = World::new(seed, started(1 + (seed % 5) as u32, 3, json!({}))).run(300);
        let ledger = world.ledger();
        let why = ledger.ending.unwrap().why;
        // Giving up is right only after many lost legs, with the reason.
        if why == Reason::Rounds {
            assert_eq!(combines(&world.facts), [0, 1, 2, 3], "seed {seed}");
        } else {
            assert!(matches!(why, Reason::Failed(_)), "seed {seed}: {why}");
        }
    }
}

#[test]
fn a_sliced_run_sums_after_every_round() {
    for seed in 0..100 {
        let Fact::Started { mut job, run, features, .. } = started(3, 3, json!({})) else { unreachable!() };
        (job.reduce, job.patience) = (Some(Reduce::Sliced), Some(3));
        let (invocation, schema) = (String::new(), LEDGER_SCHEMA);
        let first = Fact::Started { schema, run, job, workers: 3, features, invocation, at_ms: 0 };
        let world = World::new(seed, first).run(200);
        let ledger = world.ledger();
        if ledger.ending.as_ref().unwrap().why == Reason::Rounds {
            assert_eq!(combines(&world.facts), [0, 1, 2, 3, 4, 5, 6], "seed {seed}");
            assert_eq!(
                (ledger.rounds_done(), ledger.best.unwrap().stage),
                (3, 2),
                "seed {seed}: equal scores"
            );
        }
    }
}

#[test]
fn without_faults_every_event_is_sent_once() {
    let world = World::begin(1, started(4, 5, json!({})), false).run(0);
    // 4 workers × 3 legs and a combine, in 6 stages.
    assert_eq!(world.ledger().spend.sent, 6 * (4 * 3 + 1));
    assert_eq!(world.ledger().ending.unwrap().why, Reason::Rounds);
}

#[test]
fn a_limit_on_invocations_is_never_passed() {
    for seed in 0..100 {
        println!("seed {seed}");
        let world = World::new(seed, started(5, 50, json!({"invocations": 60}))).run(500);
        assert!(world.sends <= 60, "seed {seed}: {} events sent", world.sends);
        let why = world.ledger().ending.unwrap().why;
        assert!(matches!(why, Reason::Limit(_) | Reason::Failed(_)), "{why}");
    }
}

#[test]
fn a_known_fact_changes_nothing() {
    let world = World::new(3, started(3, 2, json!({}))).run(100);
    let ledger = world.ledger();
    for fact in world.facts.iter().filter(|f| matches!(f, Fact::LegDone { .. } | Fact::WorkerDone { .. })) {
        let mut again = ledger.clone();
        assert!(!again.record(fact).unwrap().new);
        assert_eq!((again.stage, &again.workers, &again.last), (ledger.stage, &ledger.workers, &ledger.last));
    }
}

#[test]
fn legs_without_progress_end_the_run() {
    let mut ledger = Ledger::start(started(1, 1, json!({}))).unwrap();
    for leg in 0..2 {
        assert_eq!(ledger.must_end(0), None);
        let (target, invocation) = (Target::worker(0, 0, leg), "i".to_owned());
        ledger
            .record(&Fact::LegDone { target, place: file("p".into()), done: 0, invocation, at_ms: 0 })
            .unwrap();
    }
    assert!(matches!(ledger.must_end(0), Some(Reason::Failed(why)) if why.contains("no progress")));
}

#[test]
fn an_event_that_is_delivered_no_more_is_sent_again_once_its_last_attempt_has_had_its_time() {
    let target = Target::worker(0, 0, 0);
    let begun = |times: u64| {
        let mut ledger = Ledger::start(started(1, 1, json!({}))).unwrap();
        for at_ms in (0..times).map(|n| n * 1_000) {
            let lease = Lease { invocation: "i".into(), at_ms, until_ms: at_ms + 10_000, memory_mb: 1 };
            ledger.record(&Fact::Begun { target, lease }).unwrap();
        }
        ledger
    };
    let tick = |ledger: &Ledger, now_ms| {
        let moment = Moment { now_ms, invocation: "tick", patience_ms: PATIENCE_MS };
        ledger.decide(&Event::Tick { run: None }, moment).unwrap() == Decision::Resend(vec![target])
    };
    // After two attempts the platform may deliver it once more; after three it does not.
    assert!(!tick(&begun(2), 11_000 + PATIENCE_MS) && tick(&begun(2), 11_001 + PATIENCE_MS));
    let mut third = begun(3);
    assert!(!tick(&third, 12_000) && tick(&third, 12_001));
    third.record(&Fact::SentAgain { targets: vec![target], at_ms: 12_001 }).unwrap();
    assert!(!tick(&third, 12_002 + PATIENCE_MS) && tick(&third, 12_002 + 2 * PATIENCE_MS));
}

#[test]
fn an_end_counts_only_as_it_was_settled() {
    let mut settled = Ledger::start(started(1, 2, json!({}))).unwrap();
    let open = settled.clone();
    settled.record(&Fact::Closed { why: Reason::Stopped, at_ms: 0 }).unwrap();
    settled.check_settled(&settled).unwrap();
    let error = open.check_settled(&settled).unwrap_err().to_string();
    assert!(error.contains("facts were written over"), "{error}");
    let mut other = open.clone();
    other.record(&Fact::Closed { why: Reason::Rounds, at_ms: 0 }).unwrap();
    assert!(other.check_settled(&settled).is_err(), "for another reason");
    let mut better = settled.clone();
    better.best = Some(Combined { stage: 1, state: None, features: None, score: None });
    assert!(better.check_settled(&settled).unwrap_err().to_string().contains("round 1 the best"));
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
    assert!(ledger.record(&Fact::Closed { why: Reason::Stopped, at_ms: 0 }).unwrap().new);
    let before = ledger.clone();
    let features = Some(file("f".into()));
    let combined = Combined { stage: 0, state: None, features, score: None };
    let recorded = ledger.record(&Fact::CombineDone { combined, invocation, at_ms: 0 }).unwrap();
    assert!(!recorded.new && recorded.due.is_empty());
    assert_eq!((ledger.stage, &ledger.last, &ledger.best), (before.stage, &before.last, &before.best));
    assert!(!ledger.record(&Fact::Closed { why: Reason::Rounds, at_ms: 0 }).unwrap().new);
    assert_eq!(ledger.must_end(0), Some(Reason::Stopped));
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
    let score = |top1| Score { loss: 1.0, top1, top5: 1.0, images: 97 };
    let combined = |stage, top1| {
        let combined = Combined { stage, state: None, features: None, score: Some(score(top1)) };
        Fact::CombineDone { combined, invocation: "i".into(), at_ms: 0 }
    };
    let top1 = |fact: &Fact| match fact {
        Fact::CombineDone { combined, .. } => combined.score.unwrap().top1,
        _ => unreachable!(),
    };
    // 12 of 97: JSON gives it back one bit smaller.
    let (ours, read) = (combined(1, 12.0 / 97.0), combined(1, 12.0 / 97.0).read_back());
    let text = serde_json::to_string(&ours).unwrap();
    assert_eq!(top1(&read), top1(&serde_json::from_str(&text).unwrap()));
    assert!(!score(top1(&read)).beats(&score(top1(&serde_json::from_str(&text).unwrap()))));
}

#[test]
fn a_ledger_of_a_later_schema_is_refused_by_name() {
    let mut first = started(1, 1, json!({}));
    let Fact::Started { schema, .. } = &mut first else { unreachable!() };
    *schema = LEDGER_SCHEMA + 1;
    let error = Ledger::fold([first]).unwrap_err().to_string();
    assert!(error.contains("ledger of a-run") && error.contains("schema 2"), "{error}");
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
