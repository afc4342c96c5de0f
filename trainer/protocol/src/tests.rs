//! The protocol in a small world of its own: a queue that repeats, drops and reorders events, invocations
//! that die at any point, and a watchdog. In every case the run ends, counts each worker once and combines
//! each stage once.

use crate::*;
use serde_json::json;

mod ledger;

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

/// A course of features and rounds with these stages.
pub(crate) fn course(round: &[&str], rounds: u32) -> Course {
    let measure = |name: &str, higher| Measure { name: name.into(), higher, share: higher };
    Course {
        title: "a network on pictures".into(),
        before: vec!["features".into()],
        shares: Vec::new(),
        round: round.iter().map(|stage| (*stage).into()).collect(),
        rounds,
        called: "round".into(),
        unit: "images".into(),
        measures: vec![measure("top-1", true), measure("loss", false)],
        best: Best::Measured,
        score_every: 1,
        patience: None,
    }
}

fn score(top1: f64) -> Score {
    Score { values: vec![top1, 1.0], of: 97 }
}

fn started(workers: u32, rounds: u32, limits: serde_json::Value) -> Fact {
    let job = json!({"dataset": "d", "network": "vgg19", "rounds": rounds, "limits": limits});
    Fact::Started {
        schema: LEDGER_SCHEMA,
        run: RunId::new("a-run").unwrap(),
        job: Box::new(Job::from_value(job).unwrap()),
        course: Box::new(course(&["train"], rounds)),
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
        if let Some(ending) = ledger.ready() {
            return self.end(ending);
        }
        if let Some(why) = ledger.must_end(self.now_ms) {
            return self.close(why);
        }
        if let Some(why) = ledger.must_cut(self.now_ms) {
            return self.record(Fact::Cut { why, invocation: "the cut".into(), at_ms: self.now_ms });
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
            let (targets, at_ms) = (recorded.due.clone(), self.now_ms);
            let again = Fact::SentAgain { targets, forced: false, at_ms };
            ledger.record(&again).unwrap();
            self.facts.push(again);
        }
        if !self.fault(15) {
            self.send(&ledger, &recorded.due);
        }
    }

    fn close(&mut self, why: Reason) {
        if !self.fault(5) {
            self.record(Fact::Closed { why, invocation: "the close".into(), at_ms: self.now_ms });
        }
    }

    fn end(&mut self, ending: Ending) {
        if !self.fault(5) {
            self.record(Fact::Ended { ending, at_ms: self.now_ms });
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
            Decision::Close(why) => self.close(why),
            Decision::Cut(why) => {
                self.record(Fact::Cut { why, invocation: invocation.into(), at_ms: self.now_ms });
            }
            Decision::End(ending) => self.end(ending),
            Decision::Reopen => panic!("nobody starts a run that has ended"),
            Decision::Resend(targets) => {
                let (again, at_ms) = (targets.clone(), self.now_ms);
                self.facts.push(Fact::SentAgain { targets: again, forced: false, at_ms });
                let ledger = self.ledger();
                self.send(&ledger, &targets);
            }
            Decision::Wait(_) => self.record(Fact::Seen { at_ms: self.now_ms }),
            Decision::Ignore(_) => {}
            Decision::Ahead(why) => panic!("nothing is ahead of a ledger that is always seen: {why}"),
        }
    }

    fn work(&mut self, ledger: &Ledger, target: Target, invocation: &str, event: &Event) {
        let until_ms = self.now_ms + 10_000;
        let lease = Lease { invocation: invocation.into(), at_ms: self.now_ms, until_ms, memory_mb: 1_024 };
        let due = self.ledger().record(&Fact::Begun { target, lease: lease.clone() }).unwrap().due;
        self.facts.push(Fact::Begun { target, lease });
        if !due.is_empty() {
            let ledger = self.ledger();
            return self.send(&ledger, &due);
        }
        if self.fault(10) {
            // Killed; the platform delivers the same event again, mostly.
            if self.random.u64(..4) > 0 {
                self.queue.push((invocation.into(), event.clone()));
            }
            return;
        }
        let (invocation, at_ms) = (invocation.to_owned(), self.now_ms);
        let fact = match target.worker {
            None if target.leg < 2 && ledger.end.unscored.is_none() => {
                let (place, done) = (file(format!("place-{}", target.leg)), ledger.combine.done + 1);
                Fact::LegDone { target, place, done, invocation, at_ms }
            }
            None if ledger.over.is_some() => {
                let (why, unscored) = (ledger.over.clone().unwrap(), ledger.end.unscored.clone());
                let ending = Ending { why, model: Some(file("model.json".into())), unscored };
                return self.end(ending);
            }
            None => {
                let score = score(0.5);
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

    /// Runs with faults for a while, then without, and checks the promises.
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
            assert!(matches!(why, Reason::GaveUp(_)), "seed {seed}: {why}");
        }
    }
}

#[test]
fn a_sliced_run_sums_after_every_round() {
    for seed in 0..100 {
        let mut first = started(3, 3, json!({}));
        let Fact::Started { course, .. } = &mut first else { unreachable!() };
        **course = Course { patience: Some(3), ..self::course(&["train", "sums"], 3) };
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
    // 4 workers of 3 legs and a combine of 3 legs, in 6 stages; and 3 legs of the end.
    assert_eq!(world.ledger().spend.sent, 6 * (4 * 3 + 3) + 3);
    assert_eq!(world.ledger().ending.unwrap().why, Reason::Rounds);
}

#[test]
fn a_limit_on_invocations_is_never_passed() {
    for seed in 0..100 {
        println!("seed {seed}");
        let world = World::new(seed, started(5, 50, json!({"invocations": 60}))).run(500);
        let ledger = world.ledger();
        assert!(world.sends <= 60 + end_events(&ledger.job.limits), "seed {seed}: {} sent", world.sends);
        let why = ledger.ending.unwrap().why;
        assert!(matches!(why, Reason::Limit(_) | Reason::GaveUp(_)), "{why}");
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
