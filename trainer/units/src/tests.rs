//! Units that are numbers to be squared. Some are lost for a while, others for good.

use super::*;
use crate::state::results;
use protocol::{CutShort, FeatureStore, FileRef, Job, RunId};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::Root;
use work::{Last, Stage, Work};

/// Numbers that are squared, a few in a step.
struct Squares {
    numbers: Numbers,
    /// The try in which a unit is done: 1 for most units, more than all tries for the dead ones.
    done_in: fn(u64) -> u32,
}

struct Squaring {
    left: Vec<u64>,
    done_in: fn(u64) -> u32,
    tries: u32,
}

impl Units for Squares {
    fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    fn begin(&self, mut units: Vec<u64>, tries: u32) -> Result<Box<dyn Doing>, Failed> {
        units.reverse();
        Ok(Box::new(Squaring { left: units, done_in: self.done_in, tries }))
    }
}

impl Doing for Squaring {
    fn step(&mut self, settled: &mut Vec<Settled>) -> Result<(), Failed> {
        for unit in (0..3).map_while(|_| self.left.pop()) {
            settled.push(match (self.done_in)(unit) > self.tries {
                false => Settled::Done((unit * unit).to_string()),
                true => Settled::Lost { why: format!("{unit} is odd"), said: "a trace".into() },
            });
        }
        Ok(())
    }
}

/// The parts of a run that all its stages share.
struct Of {
    job: Job,
    course: Course,
    features: FeatureStore,
    workers: u32,
}

impl Of {
    fn new(units: u64, tries: u32, workers: u32) -> Of {
        let course = course("squares".into(), units, tries, workers);
        let features = FeatureStore { key: "none".into(), manifest: None };
        Of { job: Job::from_value(json!({})).unwrap(), course, features, workers }
    }
}

/// A run in a folder of its own.
struct Run {
    _folder: tempfile::TempDir,
    root: Root,
    run: RunId,
    numbers: Numbers,
    done_in: fn(u64) -> u32,
}

impl Run {
    fn new(numbers: Numbers, done_in: fn(u64) -> u32) -> Run {
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(folder).unwrap();
        let (root, run) = (Root::open(folder.path()).unwrap(), RunId::new("run").unwrap());
        root.run(&run).create().unwrap();
        Run { _folder: folder, root, run, numbers, done_in }
    }

    /// Runs all stages and the end, in legs of this many steps (0: one leg). Returns the files of the
    /// product.
    fn carry_out(&self, workers: u32, tries: u32, leg_steps: usize) -> BTreeMap<String, String> {
        let of = Of::new(self.numbers.count(), tries, workers);
        let course = &of.course;
        let mut state: Option<FileRef> = None;
        for number in 0..course.end() {
            let before = state.clone();
            let stage = self.stage(&of, number, before.as_ref());
            let units: Arc<dyn Units> =
                Arc::new(Squares { numbers: self.numbers.clone(), done_in: self.done_in });
            let share =
                |share| self.legs(leg_steps, |place| open(&stage, share, place, units.clone()).unwrap());
            let results: Vec<FileRef> = (0..course.shares(number, workers)).map(share).collect();
            state = combine(&stage, &results, &units).unwrap().state;
        }
        let best = state.unwrap();
        let stage = self.stage(&of, course.end(), None);
        self.legs(leg_steps, |place| {
            let last = Last { best: Some(&best), cut_short: None, unscored: None, place };
            Box::new(Ending::open(&stage, last, self.numbers.clone(), json!({"of": "squares"})).unwrap())
        });
        files(self)
    }

    fn stage<'a>(&'a self, of: &'a Of, number: u32, state: Option<&'a FileRef>) -> Stage<'a> {
        let Of { job, course, features, workers } = of;
        let (root, run, workers) = (&self.root, &self.run, *workers);
        Stage { root, run, job, course, number, workers, features, state, threads: 1 }
    }

    fn legs<'a>(&self, steps: usize, open: impl Fn(Option<&FileRef>) -> Box<dyn Work + 'a>) -> FileRef {
        let mut place: Option<FileRef> = None;
        loop {
            let (mut work, mut done) = (open(place.as_ref()), 0);
            while !work.progress().finished() && (steps == 0 || done < steps) {
                work.step().unwrap();
                done += 1;
            }
            if work.progress().finished() {
                return work.publish().unwrap();
            }
            let saved = work.save().unwrap();
            drop(work);
            place = Some(saved);
        }
    }
}

/// The files of the product.
fn files(run: &Run) -> BTreeMap<String, String> {
    let files = std::fs::read_dir(run.root.run(&run.run).model()).unwrap().map(|entry| entry.unwrap());
    let text = |path| std::fs::read_to_string(path).unwrap();
    files.map(|file| (file.file_name().into_string().unwrap(), text(file.path()))).collect()
}

/// Most units are done at once, multiples of 10 in the second try, multiples of 25 never.
fn some_fail(unit: u64) -> u32 {
    match unit {
        unit if unit % 25 == 0 => 9,
        unit if unit % 10 == 0 => 2,
        _ => 1,
    }
}

#[test]
fn every_unit_has_its_result_or_a_reason_and_the_same_bytes_however_legs_are_cut() {
    let whole = Run::new(Numbers::All(2_000), some_fail).carry_out(3, 3, 0);
    let results = &whole["results-00000.jsonl"];
    let lines: Vec<serde_json::Value> =
        results.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1_920);
    assert!(lines.iter().all(|line| line["result"] == line["unit"].as_u64().unwrap().pow(2)));
    assert!(lines.is_sorted_by_key(|line| line["unit"].as_u64()));
    let dead: Vec<Letter> = whole[DEAD].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((dead.len(), dead[1].unit, dead[1].tries), (80, 25, 3));
    assert_eq!((dead[1].why.as_str(), dead[1].said.as_str()), ("25 is odd", "a trace"));
    for (workers, steps) in [(3, 1), (1, 0), (1, 7), (8, 2)] {
        let cut = Run::new(Numbers::All(2_000), some_fail).carry_out(workers, 3, steps);
        assert!(cut == whole, "{workers} workers, legs of {steps} steps");
    }
}

#[test]
fn results_of_many_units_lie_in_files_of_fixed_length() {
    let run = Run::new(Numbers::All(40_000), |_| 1);
    let files = run.carry_out(4, 1, 0);
    let lengths: Vec<usize> =
        (0..3).map(|n| files[&format!("results-{n:05}.jsonl")].lines().count()).collect();
    assert_eq!((files.len(), lengths), (4, vec![16_384, 16_384, 7_232]));
    let index = Index::open(&run.root.run(&run.run).model()).unwrap();
    assert_eq!(index.counts, Counts { units: 40_000, done: 40_000, dead: 0 });
    assert_eq!((index.made_of, index.dead_letters), (json!({"of": "squares"}), None));
    assert!(run.carry_out(4, 1, 0) == files, "again");
}

#[test]
fn some_units_alone_are_done() {
    let files = Run::new(Numbers::These(vec![4, 50, 51, 99_999]), some_fail).carry_out(2, 2, 1);
    let units = |name: &str| -> Vec<u64> {
        let unit =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["unit"].as_u64().unwrap();
        files[name].lines().map(unit).collect()
    };
    assert_eq!((units("results-00000.jsonl"), units(DEAD)), (vec![4, 51, 99_999], vec![50]));
    let none = Run::new(Numbers::All(0), some_fail).carry_out(2, 2, 0);
    assert_eq!(none.keys().collect::<Vec<_>>(), [INDEX]);
}

#[test]
fn a_damaged_share_is_done_again_and_damaged_results_are_named() {
    let run = Run::new(Numbers::All(100), |_| 1);
    run.carry_out(2, 1, 0);
    let stage = run.root.run(&run.run).stage(0);
    let of = Of::new(100, 1, 2);
    let at = run.stage(&of, 0, None);
    let units: Arc<dyn Units> = Arc::new(Squares { numbers: run.numbers.clone(), done_in: |_| 1 });
    let done = |share| run.legs(0, |place| open(&at, share, place, units.clone()).unwrap());
    let shares: Vec<FileRef> = (0..of.course.shares(0, 2)).map(done).collect();
    std::fs::write(stage.join(&shares[1].name), vec![b'x'; shares[1].bytes as usize]).unwrap();
    let state = combine(&at, &shares, &units).unwrap().state.unwrap();
    let files = state::State::read(&run.root.run(&run.run).combined(), &state).unwrap().files;
    let lost = results(&at).join(&files[0][0].name);
    std::fs::write(&lost, vec![b'x'; files[0][0].bytes as usize]).unwrap();
    let last = Last { best: Some(&state), cut_short: None, unscored: None, place: None };
    let mut ending = Ending::open(&at, last, run.numbers.clone(), json!({})).unwrap();
    let error = ending.step().unwrap_err();
    assert!(error.words.contains(&files[0][0].name) && error.words.contains("damaged"), "{error}");
}

/// The files of a run that ended in a stage; some of its shares are done, and one is half done.
fn stopped_in(stage: u32) -> BTreeMap<String, String> {
    let run = Run::new(Numbers::All(1_000), some_fail);
    let of = Of::new(1_000, 3, 2);
    let units: Arc<dyn Units> = Arc::new(Squares { numbers: run.numbers.clone(), done_in: some_fail });
    let mut state: Option<FileRef> = None;
    for number in 0..stage {
        let at = run.stage(&of, number, state.as_ref());
        let share = |share| run.legs(0, |place| open(&at, share, place, units.clone()).unwrap());
        let results: Vec<FileRef> = (0..of.course.shares(number, 2)).map(share).collect();
        state = combine(&at, &results, &units).unwrap().state;
    }
    let at = run.stage(&of, stage, state.as_ref());
    let done = run.legs(0, |place| open(&at, 0, place, units.clone()).unwrap());
    let mut half = open(&at, 1, None, units.clone()).unwrap();
    half.step().unwrap();
    let shares = vec![(0, done), (1, half.save().unwrap())];
    let cut = CutShort { stage, shares, why: "stopped".into() };
    let end = run.stage(&of, of.course.end(), state.as_ref());
    run.legs(1, |place| {
        let last = Last { best: state.as_ref(), cut_short: Some(&cut), unscored: None, place };
        Box::new(Ending::open(&end, last, run.numbers.clone(), json!({})).unwrap())
    });
    files(&run)
}

#[test]
fn a_run_that_ends_within_a_stage_keeps_what_it_has() {
    for (stage, tries) in [(0, 0), (1, 1)] {
        let files = stopped_in(stage);
        let dead: Vec<Letter> = files[DEAD].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let done = files["results-00000.jsonl"].lines().count();
        assert_eq!(done + dead.len(), 1_000, "every unit has a result or a reason");
        assert!(dead.is_sorted_by_key(|letter| letter.unit) && done > if stage == 0 { 200 } else { 880 });
        let waited = dead.iter().filter(|letter| letter.tries == tries).count();
        assert!(waited > 20, "{waited} units waited for stage {stage}");
        let reason = "no result when the run ended: stopped";
        assert_eq!(dead.iter().any(|letter| letter.why == reason), stage == 0);
    }
}
