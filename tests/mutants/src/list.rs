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
    /// What stands there instead; `MUTATED` says whether this mutation is on,
    /// `MUTATED(name)` whether that one is.
    pub mutant: &'static str,
}

/// All mutations.
pub const MUTATIONS: &[Mutation] = &[
    Mutation {
        law: 1,
        name: "a leg sends the next one that it remembers",
        file: "trainer/src/handler/worker.rs",
        original: "drop(ledger);\n    let (recorded, ledger) = turn.record(fact)?;\n    turn.send(&ledger, &recorded.due)",
        mutant: "let at_begin = ledger;\n    let finished = matches!(fact, Fact::WorkerDone { .. });\n    if MUTATED(an event is sent before its fact is recorded) {\n        let mut ahead = (*turn.read()?).clone();\n        let due = ahead.record(&fact)?.due;\n        turn.send(&ahead, &due)?;\n    }\n    let (mut recorded, ledger) = turn.record(fact)?;\n    if MUTATED(a leg sends the next one that it remembers) && !finished {\n        recorded.due = vec![Target::worker(target.stage, worker, target.leg + 1)];\n    }\n    if MUTATED(a worker counts the others when it begins) && finished {\n        let others = at_begin.workers.iter().enumerate().filter(|(n, _)| *n != worker as usize);\n        let last = others.into_iter().all(|(_, other)| other.result.is_some());\n        recorded.due = if last { vec![Target::combine(target.stage)] } else { Vec::new() };\n    }\n    turn.send(&ledger, &recorded.due)",
    },
    Mutation {
        law: 2,
        name: "an event that is behind is ignored, whoever recorded it",
        file: "trainer/protocol/src/decide.rs",
        original: "Ok(resend(self.due_behind(target, moment.invocation), format!(\"{target} is done\")))",
        mutant: "let due = if MUTATED { Vec::new() } else { self.due_behind(target, moment.invocation) };\n        Ok(resend(due, format!(\"{target} is done\")))",
    },
    Mutation {
        law: 3,
        name: "a result that is known is taken again",
        file: "trainer/protocol/src/ledger/piece.rs",
        original: "|| (target.stage == stage && (piece.result.is_some() || target.leg < piece.leg))\n        {\n            return Ok(false);\n        }\n        if !self.at_hand(target) {",
        mutant: "|| (!MUTATED && target.stage == stage && (piece.result.is_some() || target.leg < piece.leg))\n        {\n            return Ok(false);\n        }\n        if !self.at_hand(target) && !MUTATED {",
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
        file: "trainer/src/handler/leg.rs",
        original: "if lookout.is_due(now_ms) {",
        mutant: "if lookout.is_due(now_ms) && !MUTATED {",
    },
    Mutation {
        law: 7,
        name: "a model is published before the end is settled",
        file: "trainer/src/handler.rs",
        original: "Decision::Close(reason) => turn.close(reason),",
        mutant: "Decision::Close(reason) if MUTATED && ledger.product().is_some() => {\n            let mut early = (*ledger).clone();\n            (early.over, early.stage) = (Some(reason), early.course.end());\n            finish::leg(&turn, std::sync::Arc::new(early), Target::combine(ledger.course.end()))\n        }\n        Decision::Close(reason) => turn.close(reason),",
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
    Mutation {
        law: 9,
        name: "an end is tried for ever",
        file: "trainer/protocol/src/ledger/end.rs",
        original: "self.end.unscored = Some(why.to_owned());",
        mutant: "if MUTATED {\n            return true;\n        }\n        self.end.unscored = Some(why.to_owned());",
    },
    Mutation {
        law: 9,
        name: "an end has no place to go on from",
        file: "trainer/src/handler/finish.rs",
        original: "place: ledger.combine.place.as_ref() };",
        mutant: "place: ledger.combine.place.as_ref().filter(|_| !MUTATED) };",
    },
    Mutation {
        law: 10,
        name: "what waits behind a full house is lost",
        file: "trainer/protocol/src/ledger/queue.rs",
        original: "hold.lost(self.queue.free_ms(hold.sent_ms), moment) && (begun || !waits())",
        mutant: "hold.lost(if MUTATED { 0 } else { self.queue.free_ms(hold.sent_ms) }, moment) && (begun || MUTATED || !waits())",
    },
    Mutation {
        law: 11,
        name: "a reason is a guess",
        file: "trainer/protocol/src/hold.rs",
        original: "(None, None) if heard =>",
        mutant: "(None, None) if heard && !MUTATED =>",
    },
    Mutation {
        law: 12,
        name: "trouble is taken for damage",
        file: "trainer/storage/src/error.rs",
        original: "pub fn fate(&self) -> Fate {\n        match self {",
        mutant: "pub fn fate(&self) -> Fate {\n        match self {\n            Error::Io { .. } if MUTATED => Fate::Halt,",
    },
    Mutation {
        law: 13,
        name: "a run knows nothing of what the others of the day have",
        file: "trainer/protocol/src/ceiling.rs",
        original: "let left = most - others;",
        mutant: "let left = if MUTATED { most } else { most - others };",
    },
    Mutation {
        law: 13,
        name: "a leg begins without its time in the run's share",
        file: "trainer/protocol/src/ceiling.rs",
        original: "need.check(ceiling).is_ok() && (!ceiling.counts_runs() || held())",
        mutant: "MUTATED || (need.check(ceiling).is_ok() && (!ceiling.counts_runs() || held()))",
    },
];
