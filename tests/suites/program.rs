//! A user's program over units, with the real binaries. The results are the same whatever is killed and
//! however legs are cut, and every bad unit becomes a dead letter with its own reason.

use local_cloud::Faults;
use protocol::Job;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tests::{World, baton, binary, stdout};

/// Squares numbers. One in twenty crashes, hangs, writes garbage or too much, by its last digits.
const SQUARES: &str = r#"#!/bin/sh
while read -r n; do
    case "$n" in
        *13) echo "unlucky: $n" >&2; exit 13 ;;
        *31) kill -11 $$ ;;
        *57) sleep 60 ;;
        *79) echo "no answer to $n"; continue ;;
        *97) echo 1; echo 2; continue ;;
    esac
    echo "$((n * n))"
done
"#;

/// A world with a program and this many units, the numbers from 0.
fn world(units: u64, program: &str) -> World {
    let world = World::new(4);
    install(world.root(), "squares", program);
    let numbers = world.root().join("numbers.jsonl");
    fs::write(&numbers, (0..units).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    let out = world.root().join("datasets/numbers");
    let (numbers, out) = (numbers.display().to_string(), out.display().to_string());
    let prepared = std::process::Command::new(binary("data-prep"))
        .args(["units", &numbers, "--out", &out])
        .output()
        .expect("data-prep runs");
    assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
    world
}

fn install(root: &Path, name: &str, program: &str) {
    let folder = root.join("programs").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("run"), program).unwrap();
    fs::set_permissions(folder.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn job(changes: Value) -> Job {
    let mut job = json!({"kind": "program", "program": "squares", "dataset": "numbers", "seconds": 0.5});
    job.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Job::from_value(job).unwrap()
}

fn lines(world: &World, run: &str, file: &str) -> Vec<Value> {
    let path = world.root().join("runs").join(run).join("model").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_good_unit_has_its_result_and_every_bad_one_its_reason_whatever_is_killed() {
    let world = world(400, SQUARES);
    let job = job(json!({"tries": 2}));
    world.run(&world.local(), "calm", 3, &job);
    let results = lines(&world, "calm", "results-00000.jsonl");
    let dead = lines(&world, "calm", "dead.jsonl");
    assert_eq!((results.len(), dead.len()), (380, 20));
    assert!(results.iter().all(|line| line["result"] == line["unit"].as_u64().unwrap().pow(2)));
    for (end, why) in [
        (13, "it ended with exit code 13"),
        (31, "it was killed by signal 11 (SIGSEGV)"),
        (57, "it did not end within 0.5 s"),
        (79, "an answer is no JSON: "),
        (97, "it wrote more than 1 line for 1 unit"),
    ] {
        let of: Vec<_> = dead.iter().filter(|letter| letter["unit"].as_u64().unwrap() % 100 == end).collect();
        let told = |letter: &&Value| letter["why"].as_str().unwrap().starts_with(why) && letter["tries"] == 2;
        assert!(of.len() == 4 && of.iter().all(told), "{end}: {of:?}");
    }
    assert_eq!(dead[0]["said"], "unlucky: 13");
    let mut kills = 0;
    for seed in 1..=3 {
        println!("seed {seed}");
        let mut local = world.local();
        local.time_limit = Duration::from_secs(4);
        local.faults = Some(Faults { seed, kill: 0.3, kill_ms: 60, ..Faults::default() });
        let run = format!("killed-{seed}");
        let outcome = world.run(&local, &run, 3, &job);
        kills += outcome.counts.crashes;
        assert!(world.model(&run) == world.model("calm"), "seed {seed} gave other results");
    }
    println!("{kills} kills");
    assert!(kills >= 10, "only {kills} kills: the test shows nothing");
    for workers in [1, 8] {
        let run = format!("{workers}-workers");
        world.run(&world.local(), &run, workers, &job);
        assert!(world.model(&run) == world.model("calm"), "{workers} workers gave other results");
    }
}

#[test]
fn dead_letters_are_listed_and_done_again_by_a_better_program() {
    let world = world(120, SQUARES);
    world.run(&world.local(), "first", 2, &job(json!({"tries": 1})));
    let root = world.root().display().to_string();
    let listed = stdout(&["units", "first", "--root", &root, "--dead", "--json"]);
    let units: Vec<u64> = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["unit"].as_u64().unwrap())
        .collect();
    assert_eq!(units, [13, 31, 57, 79, 97, 113]);
    assert!(stdout(&["units", "first", "--root", &root]).contains("114 with a result, 6 dead"));
    install(world.root(), "squares", "#!/bin/sh\nwhile read -r n; do echo \"$((n * n))\"; done\n");
    world.run(&world.local(), "second", 2, &job(json!({"again": "first"})));
    let results = lines(&world, "second", "results-00000.jsonl");
    let found: Vec<_> = results.iter().map(|line| (line["unit"].clone(), line["result"].clone())).collect();
    assert_eq!(found, units.iter().map(|unit| (json!(unit), json!(unit * unit))).collect::<Vec<_>>());
    // No unit is left to try again.
    let file = world.root().join("again.json");
    fs::write(&file, serde_json::to_vec(&job(json!({"again": "second"}))).unwrap()).unwrap();
    let refused = baton(&["local", "--root", &root, "--job", &file.display().to_string(), "--run", "third"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(3) && said.contains("job.again") && said.contains("second"),
        "{said}"
    );
}

/// A run that reaches a limit among its units keeps their results, and a later run does the others.
#[test]
fn a_run_that_ends_too_early_publishes_what_it_has_and_another_does_the_rest() {
    let world = world(300, "#!/bin/sh\nwhile read -r n; do echo \"$((n + 1))\"; done\n");
    let few = job(json!({"limits": {"invocations": 8}}));
    let outcome = world.run(&world.local(), "few", 2, &few);
    let why = outcome.ledger.ending.as_ref().map(|ending| ending.why.to_string()).unwrap_or_default();
    assert!(why.starts_with("limit reached: "), "{why}");
    let (results, dead) = (lines(&world, "few", "results-00000.jsonl"), lines(&world, "few", "dead.jsonl"));
    assert_eq!(results.len() + dead.len(), 300);
    assert!(results.len() > 100 && dead.len() > 10, "{} results, {} without", results.len(), dead.len());
    let reason = format!("no result when the run ended: {why}");
    assert!(dead.iter().all(|letter| letter["why"] == *reason && letter["tries"] == 0), "{}", dead[0]);
    world.run(&world.local(), "rest", 2, &job(json!({"again": "few"})));
    let rest = lines(&world, "rest", "results-00000.jsonl");
    let mut units: Vec<u64> =
        results.iter().chain(&rest).map(|line| line["unit"].as_u64().unwrap()).collect();
    units.sort_unstable();
    assert_eq!(units, (0..300).collect::<Vec<_>>(), "each unit once");
}

#[test]
fn what_cannot_run_is_refused_by_name_before_anything_is_sent() {
    let world = world(10, SQUARES);
    let root = world.root().display().to_string();
    let refused = |changes: Value| {
        let file = world.root().join("job.json");
        fs::write(&file, serde_json::to_vec(&job(changes)).unwrap()).unwrap();
        let output = baton(&["local", "--root", &root, "--job", &file.display().to_string(), "--run", "no"]);
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!world.root().join("runs/no/ledger").exists(), "it has a ledger");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(json!({"program": "none"})).contains("job.program"));
    assert!(refused(json!({"dataset": "none"})).contains("data-prep units"));
    assert!(refused(json!({"dataset": "patterns"})).contains("units"));
    // An ELF file for another processor: RISC-V.
    let mut elf = vec![0u8; 64];
    elf[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
    (elf[16], elf[18], elf[20]) = (2, 243, 1);
    fs::create_dir_all(world.root().join("programs/foreign")).unwrap();
    fs::write(world.root().join("programs/foreign/run"), elf).unwrap();
    let said = refused(json!({"program": "foreign"}));
    assert!(said.contains("programs/foreign/run") && said.contains("x86"), "{said}");
    install(world.root(), "script", "#!/no/such/interpreter\n");
    assert!(refused(json!({"program": "script"})).contains("/no/such/interpreter"));
}
