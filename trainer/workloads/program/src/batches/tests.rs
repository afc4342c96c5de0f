//! Programs that answer, and programs that crash, hang, write garbage, too much, or nothing.

use super::*;
use crate::identity::RUN;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;
use tempfile::TempDir;

/// Units whose lines are their numbers.
struct Counted;

impl Lines for Counted {
    fn lines(&self, units: &[u64]) -> Result<Vec<String>, Failed> {
        Ok(units.iter().map(u64::to_string).collect())
    }
}

/// A program with this shell script and a limit of this many seconds per unit.
fn program(script: &str, seconds: f64) -> (TempDir, Limits) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join(RUN);
    fs::write(&run, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    let (arguments, dataset) = (Vec::new(), folder.path().to_owned());
    let time = Duration::from_secs_f64(seconds);
    let limits = Limits {
        run,
        arguments,
        folder: folder.path().to_owned(),
        dataset,
        time,
        memory_mb: None,
        batch: 64,
        threads: 1,
    };
    (folder, limits)
}

fn settled(limits: &Limits, units: u64, keep_going: bool) -> Result<Vec<Settled>, Failed> {
    let mut batches =
        Batches::new(Arc::new(limits.clone()), Arc::new(Counted), (0..units).collect(), keep_going);
    let mut settled = Vec::new();
    while settled.len() < units as usize {
        batches.step(&mut settled)?;
    }
    Ok(settled)
}

/// Runs a script on units from 0; returns the answers, or the reason if there is none.
fn run(script: &str, units: u64) -> Vec<Result<String, String>> {
    let (_folder, limits) = program(script, 2.0);
    let all = settled(&limits, units, true).unwrap();
    let outcome = |settled| match settled {
        Settled::Done(answer) => Ok(answer),
        Settled::Lost { why, .. } => Err(why),
    };
    all.into_iter().map(outcome).collect()
}

#[test]
fn every_unit_is_answered_in_order() {
    let answers = run("while read -r n; do echo \"{\\\"n\\\": $n}\"; done", 300);
    let expected: Vec<_> = (0..300).map(|n| Ok(format!("{{\"n\": {n}}}"))).collect();
    assert_eq!(answers, expected);
}

#[test]
fn one_bad_unit_among_many_is_found_whatever_it_does() {
    for (deed, why) in [
        ("exit 3", "it ended with exit code 3"),
        ("kill -11 $$", "it was killed by signal 11 (SIGSEGV)"),
        ("echo garbage; continue", "an answer is no JSON: \"garbage\""),
        ("continue", "it wrote 0 lines for 1 unit"),
        ("echo 1; echo 2; continue", "it wrote more than 1 line for 1 unit"),
        ("printf '\\377\\n'; continue", "an answer is no text: \"\u{fffd}\""),
        ("head -c 1100000 /dev/zero | tr '\\0' 1; echo; continue", "an answer has more than 1048576 bytes"),
    ] {
        let script = format!("while read -r n; do if [ $n = 77 ]; then {deed}; fi; echo $n; done");
        let answers = run(&script, 100);
        for (n, answer) in answers.into_iter().enumerate() {
            let expected = if n == 77 { Err(why.to_owned()) } else { Ok(n.to_string()) };
            assert_eq!(answer, expected, "{deed}");
        }
    }
}

#[test]
fn a_program_that_hangs_is_ended_with_all_that_it_started() {
    let (folder, limits) = program(
        "while read -r n; do if [ $n = 1 ]; then sleep 61 & echo $! > child; wait; fi; echo $n; done",
        2.0,
    );
    let begun = Instant::now();
    let all = settled(&limits, 3, false).unwrap();
    assert_eq!(all[1], Settled::Lost { why: "it did not end within 2 s".into(), said: String::new() });
    assert_eq!((&all[0], &all[2]), (&Settled::Done("0".into()), &Settled::Done("2".into())));
    assert!(begun.elapsed() < Duration::from_secs(20));
    let child = fs::read_to_string(folder.path().join("child")).unwrap();
    // A killed process is there until the system gives it a processor once more.
    let state = || fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    let gone = || state().is_empty() || state().contains(") Z");
    while !gone() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(gone(), "the sleeping child lives: {}", state());
}

#[test]
fn the_end_of_what_it_said_is_kept() {
    let (_folder, limits) =
        program("while read -r n; do seq 100000 >&2; echo \"the reason is $n\" >&2; exit 1; done", 5.0);
    let [Settled::Lost { why, said }] = &settled(&limits, 1, false).unwrap()[..] else { panic!("answered") };
    assert_eq!(why, "it ended with exit code 1");
    assert!(said.ends_with("100000\nthe reason is 0") && said.len() <= 2_000, "{} bytes", said.len());
}

#[test]
fn a_limit_of_memory_holds() {
    let (_folder, mut limits) =
        program("read -r n; head -c 300000000 /dev/zero | tail -c 1 >/dev/null; echo 1", 20.0);
    assert_eq!(settled(&limits, 1, false).unwrap(), [Settled::Done("1".into())]);
    limits.memory_mb = Some(64);
    let awk = "exec awk 'BEGIN { s = \"x\"; while (length(s) < 200000000) s = s s; print 1 }'";
    fs::write(&limits.run, format!("#!/bin/sh\nread -r n\n{awk}\n")).unwrap();
    let all = settled(&limits, 1, false).unwrap();
    assert!(matches!(&all[0], Settled::Lost { .. }), "{all:?}");
    limits.memory_mb = None;
    assert_eq!(settled(&limits, 1, false).unwrap(), [Settled::Done("1".into())]);
}

#[test]
fn a_program_that_answers_nothing_is_given_up() {
    let (_folder, limits) = program("echo usage: run FILE >&2; exit 2", 5.0);
    let failed = settled(&limits, 1_000, false).unwrap_err();
    assert!(failed.words.contains("exit code 2") && failed.words.contains("usage: run FILE"), "{failed}");
    assert!(failed.words.contains("keep_going"), "{failed}");
    assert!(
        settled(&limits, 210, true).unwrap().iter().all(|settled| matches!(settled, Settled::Lost { .. }))
    );
}

#[test]
fn a_program_that_cannot_start_fails_the_run() {
    let (_folder, mut limits) = program("", 1.0);
    limits.run = limits.folder.join("none");
    let failed = settled(&limits, 1, false).unwrap_err();
    assert!(failed.fate == work::Fate::Halt && failed.words.contains("none"), "{failed}");
}
