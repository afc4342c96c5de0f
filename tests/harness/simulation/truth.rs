//! The durable data on the server, read as it arrives: every fact is checked when it arrives.

use super::code::protocol::{
    self, Best, Combined, Ending, Fact, FileRef, Hold, Ledger, Piece, Reason, Target,
};
use super::nfs::Nfs;
use super::random::mix;
use super::setting::{COMBINE, END, Expected, KEY, ROOT, RUN, Setting, checksum, contents, cut_off};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use twox_hash::XxHash3_64;

/// The length of a log's header, and of a frame's head.
const HEADER: usize = 16;
const HEAD: usize = 24;

/// The facts that are on the server.
pub(crate) struct Truth {
    path: PathBuf,
    bytes: Arc<Vec<u8>>,
    at: usize,
    /// The checksum of the last frame.
    before: u64,
    expected: Expected,
    /// The share of the last fact.
    share: u32,
    results: HashSet<(u32, u32)>,
    pub(crate) combined: Vec<u32>,
    pub(crate) facts: usize,
    pub(crate) resent: u64,
    /// The ledger that they fold to.
    pub(crate) ledger: Option<Ledger>,
    /// When the end of the run was first seen to be durable.
    pub(crate) ended_ms: Option<u64>,
    /// Whether a lock was given to two at once: from then on facts may be written over.
    pub(crate) unhonoured: bool,
    /// Events counted by facts that were written over.
    pub(crate) lost_sends: u64,
    /// The checksums of frames that were read, each of which stands for its whole history: one that was
    /// written over may come back. The files named by its facts were checked, and may be removed by then.
    read: HashSet<u64>,
    /// Whether the last frame was read before.
    again: bool,
    /// Whether somebody has read a ledger that contradicts itself.
    pub(crate) broken: bool,
    /// Whether the last fact is a leg that was told to end.
    pub(crate) told: bool,
}

impl Truth {
    pub(crate) fn new(setting: &Setting) -> Truth {
        Truth {
            path: Path::new(ROOT).join("runs").join(RUN).join("ledger"),
            bytes: Arc::default(),
            at: HEADER,
            before: 0,
            expected: Expected::of(setting),
            share: 0,
            results: HashSet::new(),
            combined: Vec::new(),
            facts: 0,
            resent: 0,
            ledger: None,
            ended_ms: None,
            unhonoured: false,
            lost_sends: 0,
            read: HashSet::new(),
            again: false,
            broken: false,
            told: false,
        }
    }

    /// Everything that a reader of the ledger can use, in one number; `live` are the events that may still
    /// come.
    ///
    /// Three things are left out: the order of independent facts, money, and the attempt that a file is from,
    /// because every file that a fact names is checked to have the same content.
    pub(crate) fn meaning(&self, live: &[u32]) -> u64 {
        let Some(ledger) = &self.ledger else { return 0 };
        // The process matters only if its event may be delivered again.
        let by = |id: &str| id.parse().ok().filter(|id| live.contains(id)).map_or(0, u64::from);
        let hold = |hold: &Hold| {
            let lease = hold.lease.as_ref();
            let lease =
                lease.map_or(0, |lease| mix(lease.until_ms, by(lease.invocation.trim_start_matches('i'))));
            let tries =
                u64::from(hold.begun) << 32 | u64::from(hold.resent) << 16 | u64::from(hold.unheard) << 8;
            mix(mix(hold.sent_ms, lease), tries)
        };
        let piece = |piece: &Piece| match piece.result {
            Some(_) => 1,
            None => {
                mix(mix(u64::from(piece.leg) << 32 | u64::from(piece.share), piece.done), hold(&piece.hold))
            }
        };
        let best = ledger.best.as_ref().map_or(0, |best| u64::from(best.stage) + 1);
        let end = u64::from(ledger.over.is_some()) | u64::from(ledger.ending.is_some()) << 1;
        let flags = end | u64::from(ledger.end.unscored.is_some()) << 2 | best << 3;
        let torn = XxHash3_64::oneshot(&self.bytes[self.at.min(self.bytes.len())..]);
        let parts = ledger.workers.iter().map(piece).chain([piece(&ledger.combine), flags, torn]);
        let parts = parts.chain([ledger.shares.results().count() as u64]);
        let text = format!("{ledger:?}");
        let private =
            text.split("_by: \"i").skip(1).map(|rest| by(rest.split('"').next().unwrap_or_default()));
        let queue = text.split("queue: Queue").nth(1).and_then(|rest| rest.split('}').next());
        let queue = XxHash3_64::oneshot(queue.unwrap_or_default().as_bytes());
        let idle = text.split("idle_legs: ").skip(1).map(|rest| u64::from(rest.as_bytes()[0]));
        parts.chain(private).chain(idle).chain([queue]).fold(u64::from(ledger.stage), mix)
    }

    /// The path of the ledger.
    pub(crate) fn ledger_path(&self) -> &Path {
        &self.path
    }

    /// Reads new data from the server; an error says what is wrong with it.
    pub(crate) fn look(&mut self, nfs: &Nfs, setting: &Setting, now_ms: u64) -> Result<(), String> {
        let Some(bytes) = nfs.contents(&self.path) else { return Ok(()) };
        if Arc::ptr_eq(bytes, &self.bytes) {
            return Ok(());
        }
        let bytes = bytes.clone();
        let before = std::mem::replace(&mut self.bytes, bytes.clone());
        // A header is not a fact.
        let known = if self.facts > 0 { self.at.min(before.len()) } else { 0 };
        if bytes.get(..known) == before.get(..known) {
            return self.read(&bytes, nfs, setting, now_ms);
        }
        if !self.unhonoured {
            return Err("facts that were durable were written over".into());
        }
        // From here on everybody reads another history.
        let common = bytes.iter().zip(before.iter()).take_while(|(now, then)| now == then).count();
        let sent = |ledger: &Option<Ledger>| ledger.as_ref().map_or(0, |ledger| ledger.spend.sent);
        let sent_before = sent(&self.ledger);
        (self.at, self.before, self.facts, self.resent) = (HEADER, 0, 0, 0);
        (self.ledger, self.ended_ms) = (None, None);
        self.results.clear();
        self.combined.clear();
        self.read(&bytes[..common], nfs, setting, now_ms)?;
        self.lost_sends += sent_before - sent(&self.ledger);
        self.read(&bytes, nfs, setting, now_ms)
    }

    /// Reads the whole frames after the known ones.
    fn read(&mut self, bytes: &[u8], nfs: &Nfs, setting: &Setting, now_ms: u64) -> Result<(), String> {
        while let Some((body, checksum, before)) = frame(bytes, self.at) {
            let at = self.at;
            if self.before != before {
                return self.broken(format!("the frame at byte {at} follows another one"));
            }
            (self.at, self.before) = (at + HEAD + body.len(), checksum);
            self.again = !self.read.insert(checksum);
            let mut rest = body;
            while let Some((length, tail)) = rest.split_first_chunk::<4>() {
                let (record, tail) =
                    tail.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or("a frame is cut")?;
                rest = tail;
                let fact =
                    serde_json::from_slice(record).map_err(|e| format!("at byte {at}: no fact: {e}"))?;
                self.share = self.share_of(&fact);
                self.fact(&fact, nfs, setting, now_ms)?;
            }
        }
        match (self.at + 1..bytes.len()).find(|&at| frame(bytes, at).is_some()) {
            Some(next) => self.broken(format!("at byte {} is no frame, but at byte {next}", self.at)),
            None => Ok(()),
        }
    }

    fn fact(&mut self, fact: &Fact, nfs: &Nfs, setting: &Setting, now_ms: u64) -> Result<(), String> {
        self.facts += 1;
        self.told = matches!(fact, Fact::Interrupted { .. });
        match self.record(fact) {
            // A fact recorded after a part of it had been written over counts once, or not at all.
            Ok(false) if self.unhonoured => return Ok(()),
            Ok(_) => {}
            Err(error) => return self.broken(error.to_string()),
        }
        if self.ledger.as_ref().is_some_and(|ledger| ledger.over.is_some()) {
            self.ended_ms.get_or_insert(now_ms);
        }
        match fact {
            Fact::Begun { target, lease } if lease.until_ms > lease.at_ms + setting.limit_ms => {
                let (of, most) = (lease.until_ms - lease.at_ms, setting.limit_ms);
                Err(format!("{target} has a lease of {of} ms, and the platform's limit is {most} ms"))
            }
            Fact::LegDone { target, place, done, .. }
            | Fact::Interrupted { target, place: Some(place), done, .. } => {
                let text = self.written(setting, *target, "place", *done);
                self.check(nfs, &self.stage(target.stage), place, &text)
            }
            Fact::WorkerDone { target, result, .. } => {
                let (stage, share) = (target.stage, self.share);
                if !self.results.insert((stage, share)) {
                    return Err(format!("share {share} is counted twice in stage {stage}"));
                }
                let text = self.written(setting, *target, "result", setting.steps(stage, share));
                self.check(nfs, &self.stage(stage), result, &text)
            }
            Fact::CombineDone { combined, .. } => self.combine(combined, nfs),
            Fact::Ended { ending, .. } => self.end(ending, nfs),
            Fact::SentAgain { targets, .. } => {
                self.resent += targets.len() as u64;
                if self.ending().is_some() && !self.unhonoured {
                    return Err("an event is sent again after the end".into());
                }
                Ok(())
            }
            Fact::Reopened { .. } => {
                self.ended_ms = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Adds a fact to the ledger; false if it says nothing new.
    fn record(&mut self, fact: &Fact) -> Result<bool, protocol::Error> {
        let Some(ledger) = &mut self.ledger else {
            self.ledger = Some(Ledger::start(fact.clone())?);
            return Ok(true);
        };
        Ok(ledger.record(fact)?.new)
    }

    /// A stage is combined once, into the one file that a run without faults gives.
    fn combine(&mut self, combined: &Combined, nfs: &Nfs) -> Result<(), String> {
        let Combined { stage, state, features, .. } = combined;
        if self.combined.contains(stage) {
            return Err(format!("stage {stage} is combined twice"));
        }
        self.combined.push(*stage);
        let (folder, file) = match (state, features) {
            (Some(state), None) => (self.path.with_file_name("combined"), state),
            (None, Some(features)) => (Path::new(ROOT).join("features").join(KEY), features),
            _ => return Err("a combine gave neither a state nor features, or both".into()),
        };
        let number = self.expected.before[*stage as usize + 1];
        self.check(nfs, &folder, file, &contents("combined", *stage, 0, 0, number))
    }

    /// The model is that of the product's state, or of the stage that was cut short.
    fn end(&self, ending: &Ending, nfs: &Nfs) -> Result<(), String> {
        match (self.product(), &ending.model) {
            (None, None) => Ok(()),
            // The model could not be published: the run says so, and has none.
            (Some(_), None) if matches!(ending.why, Reason::GaveUp(_)) => Ok(()),
            (Some((stage, number)), Some(model)) => {
                let text = contents("model", stage, 0, 0, number);
                self.check(nfs, &self.path.with_file_name("model"), model, &text)
            }
            (product, model) => Err(format!("the product is {product:?}, the model {model:?}")),
        }
    }

    /// Every reader of the ledger gets the error, until it is written over again.
    pub(crate) fn broken(&mut self, what: String) -> Result<(), String> {
        if !self.unhonoured {
            return Err(what);
        }
        self.broken = true;
        Ok(())
    }

    /// The share that a worker had until it recorded this.
    fn share_of(&self, fact: &Fact) -> u32 {
        let (Fact::LegDone { target, .. }
        | Fact::Interrupted { target, .. }
        | Fact::WorkerDone { target, .. }) = fact
        else {
            return 0;
        };
        let workers = self.ledger.as_ref().map(|ledger| &ledger.workers);
        let piece = workers.zip(target.worker).and_then(|(workers, number)| workers.get(number as usize));
        piece.map_or(0, |piece| piece.share)
    }

    /// The stage and the number of the product.
    fn product(&self) -> Option<(u32, u64)> {
        let ledger = self.ledger.as_ref()?;
        if let Some(cut) = ledger.cut_short() {
            return Some((cut.stage, cut_off(&cut)));
        }
        let of = if ledger.course.best == Best::All { &ledger.last } else { &ledger.best };
        let stage = of.as_ref().filter(|combined| combined.state.is_some())?.stage;
        Some((stage, self.expected.before[stage as usize + 1]))
    }

    /// The folder of a stage.
    fn stage(&self, number: u32) -> PathBuf {
        self.path.with_file_name("stages").join(format!("{number:04}"))
    }

    /// The content of a piece's place or result after so many steps, in a run without faults.
    fn written(&self, setting: &Setting, target: Target, what: &str, steps: u64) -> String {
        let stage = target.stage;
        let product = self.product().map_or(0, |(_, number)| number);
        let (worker, number) = match target.worker {
            Some(_) => {
                (self.share, setting.worker(stage, self.share, self.expected.before[stage as usize], steps))
            }
            None if stage == setting.course().end() => (END, setting.closed(stage, product, steps)),
            None => (COMBINE, setting.closed(stage, self.expected.folded[stage as usize], steps)),
        };
        contents(what, stage, worker, steps, number)
    }

    /// A file that a fact names must be whole on the server when the fact is, and have the content of a run
    /// without faults.
    fn check(&self, nfs: &Nfs, folder: &Path, file: &FileRef, text: &str) -> Result<(), String> {
        let path = folder.join(&file.name);
        if file.xxh3 != checksum(text.as_bytes()) {
            return Err(format!("{} is not {text:?}, which a run without faults gives", path.display()));
        }
        match nfs.contents(&path) {
            _ if self.again => Ok(()),
            Some(bytes) if bytes.as_slice() == text.as_bytes() => Ok(()),
            found => Err(format!("a fact names {}, and the server has {found:?}", path.display())),
        }
    }

    /// Why the run ended, once it has.
    pub(crate) fn ending(&self) -> Option<&Reason> {
        self.ledger.as_ref().and_then(|ledger| ledger.ending.as_ref()).map(|ending| &ending.why)
    }
}

/// The whole frame at a place of the log: its body, its checksum, and that of the frame that it follows.
fn frame(bytes: &[u8], at: usize) -> Option<(&[u8], u64, u64)> {
    let head = bytes.get(at..at + HEAD).filter(|head| head.starts_with(b"FRM1"))?;
    let length = u32::from_le_bytes(head[4..8].try_into().ok()?) as usize;
    let body = bytes.get(at + HEAD..at + HEAD + length)?;
    let number = |at: usize| Some(u64::from_le_bytes(head[at..at + 8].try_into().ok()?));
    let (checksum, before) = (number(8)?, number(16)?);
    (XxHash3_64::oneshot_with_seed(before ^ at as u64, body) == checksum).then_some((body, checksum, before))
}
