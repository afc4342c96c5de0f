//! The mutations: for each law of `docs/protocol.md`, what turns it off.

/// One safeguard turned off.
#[derive(Clone, Copy, Debug)]
pub struct Mutation {
    /// The law of `docs/protocol.md` that it breaks.
    pub law: u32,
    /// Its name, in a few words.
    pub name: &'static str,
    /// The source file.
    pub file: &'static str,
    /// What stands there, once; nothing where another mutation of the same place has both.
    pub original: &'static str,
    /// What stands there instead; `MUTATED` says whether this mutation is on, `MUTATED(name)` whether that one is.
    pub mutant: &'static str,
}

/// All mutations.
pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        law: 1,
        name: "a leg sends the next one that it remembers",
        file: "trainer/src/handler/worker.rs",
        original: "drop(ledger);\n    let (recorded, ledger) = turn.record(fact)?;\n    turn.send(&ledger, &recorded.due)",
        mutant: "let at_begin = ledger;\n    if MUTATED(an event is sent before its fact is recorded) {\n        let mut ahead = (*turn.read()?).clone();\n        let due = ahead.record(&fact)?.due;\n        turn.send(&std::sync::Arc::new(ahead), &due)?;\n    }\n    let (mut recorded, ledger) = turn.record(fact)?;\n    if MUTATED(a leg sends the next one that it remembers) && !finished {\n        recorded.due = vec![Target::worker(target.stage, worker, target.leg + 1)];\n    }\n    if MUTATED(a worker counts the others when it begins) && finished {\n        let others = at_begin.workers.iter().enumerate().filter(|(n, _)| *n != worker as usize);\n        let last = others.into_iter().all(|(_, other)| other.result.is_some());\n        recorded.due = if last { vec![Target::combine(target.stage)] } else { Vec::new() };\n    }\n    turn.send(&ledger, &recorded.due)",
    },
    Mutation {
        law: 2,
        name: "an event that is behind is ignored, whoever recorded it",
        file: "trainer/protocol/src/decide.rs",
        original: "Ok(resend(self.due_after_leg(target, moment.invocation), format!(\"{target} is done\")))",
        mutant: "let due = if MUTATED { Vec::new() } else { self.due_after_leg(target, moment.invocation) };\n        Ok(resend(due, format!(\"{target} is done\")))",
    },
    Mutation {
        law: 3,
        name: "a result that is known is taken again",
        file: "trainer/protocol/src/ledger.rs",
        original: "|| (target.stage == stage && (worker.result.is_some() || target.leg < worker.leg))",
        mutant: "|| (!MUTATED && target.stage == stage && (worker.result.is_some() || target.leg < worker.leg))",
    },
    Mutation {
        law: 4,
        name: "a tick does nothing",
        file: "trainer/protocol/src/decide.rs",
        original: "Event::Tick { .. } => Ok(self.tick(moment)),",
        mutant: "Event::Tick { .. } if MUTATED => Ok(Decision::Ignore(String::new())),\n            Event::Tick { .. } => Ok(self.tick(moment)),",
    },
    Mutation {
        law: 4,
        name: "a start of a run that exists does nothing",
        file: "trainer/protocol/src/decide.rs",
        original: "Event::Start(start) => {",
        mutant: "Event::Start(_) if MUTATED => Ok(Decision::Ignore(String::new())),\n            Event::Start(start) => {",
    },
    Mutation {
        law: 5,
        name: "results are combined in the order in which they began",
        file: "trainer/src/handler/combine.rs",
        original: "let results: Vec<FileRef> = ledger.workers.iter().filter_map(|w| w.result.clone()).collect();",
        mutant: "let mut workers: Vec<_> = ledger.workers.iter().collect();\n    if MUTATED {\n        workers.sort_by_key(|w| w.hold.lease.as_ref().map(|lease| lease.at_ms));\n    }\n    let results: Vec<FileRef> = workers.into_iter().filter_map(|w| w.result.clone()).collect();",
    },
    Mutation {
        law: 5,
        name: "a leg forgets where the leg before it stopped",
        file: "trainer/src/handler/worker.rs",
        original: "let place = ledger.workers[worker as usize].place.as_ref();",
        mutant: "let place = ledger.workers[worker as usize].place.as_ref().filter(|_| !MUTATED);",
    },
    Mutation {
        law: 6,
        name: "a file gets its name before it is durable",
        file: "trainer/storage/src/publish.rs",
        original: "hashed.file.sync().map_err(Error::io(\"sync\", &self.temporary))?;",
        mutant: "if !MUTATED {\n            hashed.file.sync().map_err(Error::io(\"sync\", &self.temporary))?;\n        }",
    },
    Mutation {
        law: 6,
        name: "a fact counts before it is durable",
        file: "trainer/storage/src/log.rs",
        original: "file.sync().map_err(|source| medium::lost_or_io(\"sync\", path, source))?;",
        mutant: "if !MUTATED {\n        file.sync().map_err(|source| medium::lost_or_io(\"sync\", path, source))?;\n    }",
    },
    Mutation {
        law: 6,
        name: "an event is sent before its fact is recorded",
        file: "trainer/src/handler/worker.rs",
        original: "",
        mutant: "",
    },
    Mutation {
        law: 6,
        name: "progress is reported before it is durable",
        file: "trainer/src/handler/turn.rs",
        original: "let read_back = fact.read_back();",
        mutant: "let read_back = fact.read_back();\n        if MUTATED {\n            let mut ahead = (*self.read()?).clone();\n            ahead.record(&read_back)?;\n            self.services.progress.ledger(&ahead, false, self.now_ms());\n        }",
    },
    Mutation {
        law: 7,
        name: "invocations are not limited",
        file: "trainer/protocol/src/limits.rs",
        original: "if self.sent > limits.invocations {",
        mutant: "if self.sent > limits.invocations && !MUTATED {",
    },
    Mutation {
        law: 7,
        name: "limits are looked at when an event comes, not when one is sent",
        file: "trainer/src/handler/turn.rs",
        original: "if let Some(reason) = ledger.must_end(self.now_ms()) {",
        mutant: "if let Some(reason) = ledger.must_end(self.now_ms()).filter(|_| !MUTATED) {",
    },
    Mutation {
        law: 7,
        name: "a leg never looks whether its run has ended",
        file: "trainer/src/handler/worker.rs",
        original: "if lookout.is_due(now_ms) {",
        mutant: "if lookout.is_due(now_ms) && !MUTATED {",
    },
    Mutation {
        law: 7,
        name: "a model is published before the end is settled",
        file: "trainer/src/handler/finish.rs",
        original: "if ledger.over.is_none() {",
        mutant: "if ledger.over.is_none() && !MUTATED {",
    },
    Mutation {
        law: 7,
        name: "an end is recorded that is settled no more",
        file: "trainer/src/handler/turn.rs",
        original: "self.record_if(fact, |ledger| Ok(ledger.check_settled(before)?))",
        mutant: "self.record_if(fact, |ledger| if MUTATED { Ok(()) } else { Ok(ledger.check_settled(before)?) })",
    },
    Mutation {
        law: 7,
        name: "another model that is there is taken for the run's own",
        file: "trainer/storage/src/publish.rs",
        original: "if !first {\n        open(folder, &reference)?.verify()?;",
        mutant: "if !first && !MUTATED {\n        open(folder, &reference)?.verify()?;",
    },
    Mutation {
        law: 8,
        name: "the ledger is not locked",
        file: "trainer/storage/src/log.rs",
        original: "Err(source) if source.kind() == io::ErrorKind::WouldBlock => {}",
        mutant: "Err(source) if source.kind() == io::ErrorKind::WouldBlock && MUTATED => return Ok(file),\n                Err(source) if source.kind() == io::ErrorKind::WouldBlock => {}",
    },
    Mutation {
        law: 8,
        name: "a worker counts the others when it begins",
        file: "trainer/src/handler/worker.rs",
        original: "",
        mutant: "",
    },
];
