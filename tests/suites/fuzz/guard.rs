//! The process in which inputs are read, and its guard: whatever one input does, the guard can name it.
//!
//! A child reads the inputs. A fault that it survives (a panic, too much memory, too much time, a file
//! outside its folder) it reports itself. After a fault that it does not survive (no memory left, a stack
//! overflow), or an input that never ends, its guard reads the number of the current input, which the child
//! keeps in a file.

use super::mutation::{Dice, mutate};
use super::target::Target;
use peak_alloc::PeakAlloc;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tests::tree::{changes, tree};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The longest that one input may take.
const LONGEST: Duration = Duration::from_secs(5);
/// How often the files around the child's folder are checked, in inputs.
const LOOK: u64 = 512;

/// Inputs of each target, unless `BATON_FUZZ` is set: a second or two of each.
const INPUTS: u64 = 4_000;

fn from_environment(key: &str) -> Option<u64> {
    let text = std::env::var(key).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{key}={text}: expected a whole number")))
}

/// Lets a child read a target's inputs, and fails with the number of one that it does not survive.
pub(crate) fn fuzz(target: &Target) {
    let seed = from_environment("BATON_FUZZ_SEED").unwrap_or(1);
    let inputs = match from_environment("BATON_FUZZ_ONLY") {
        Some(only) => only..only + 1,
        None => 0..from_environment("BATON_FUZZ").unwrap_or(INPUTS),
    };
    let folder = scratch();
    let state = folder.path().join("state");
    fs::write(&state, 0_u64.to_le_bytes()).expect("the state");
    fs::create_dir(folder.path().join("around")).expect("the folder");
    let said = folder.path().join("said");
    let mut child = Command::new(std::env::current_exe().expect("this test's path"))
        .args(["--exact", "child", "--nocapture"])
        .env("BATON_FUZZ_CHILD", target.name)
        .env("BATON_FUZZ_FOLDER", folder.path())
        .env("BATON_FUZZ_RANGE", format!("{seed} {} {}", inputs.start, inputs.end))
        .stdout(File::create(&said).expect("a file"))
        .spawn()
        .expect("the child starts");
    let (mut last, mut moved) = (0, Instant::now());
    let status = loop {
        if let Some(status) = child.try_wait().expect("the child") {
            break status.to_string();
        }
        std::thread::sleep(Duration::from_millis(20));
        let now = number(&state);
        if now != last {
            (last, moved) = (now, Instant::now());
        } else if moved.elapsed() > 4 * LONGEST {
            child.kill().expect("the child is ended");
            child.wait().expect("the child");
            break "no end in sight".into();
        }
    };
    let (at, name) = (number(&state), target.name);
    let said = fs::read(&said).expect("what the child said");
    // The child is a test binary, too: its own result lines are not ours.
    let said = String::from_utf8_lossy(&said);
    said.lines().filter(|line| line.starts_with(name)).for_each(|line| println!("{line}"));
    assert!(
        at == inputs.end,
        "{name}: input {at} of seed {seed}: {status}. Again with\n  \
         BATON_FUZZ_SEED={seed} BATON_FUZZ_ONLY={at} cargo test --release -p tests --test fuzz {name}"
    );
}

fn number(state: &Path) -> u64 {
    let bytes = fs::read(state).expect("the state");
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

/// A folder in memory if the system has one.
fn scratch() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("baton-fuzz-").tempdir_in(place).expect("a temporary folder")
}

/// The work of the child.
pub(crate) fn child(targets: &[Target]) {
    let Ok(name) = std::env::var("BATON_FUZZ_CHILD") else { return };
    let target = targets.iter().find(|target| target.name == name).expect("a target of that name");
    let folder = PathBuf::from(std::env::var_os("BATON_FUZZ_FOLDER").expect("the folder"));
    let range = std::env::var("BATON_FUZZ_RANGE").expect("the range");
    let range: Vec<u64> = range.split(' ').map(|number| number.parse().expect("a number")).collect();
    let &[seed, from, to] = &range[..] else { panic!("found {range:?}, expected seed, from, to") };
    let mut reader = Reader::new(target, &folder);
    let state = File::options().write(true).open(folder.join("state")).expect("the state");
    let begun = Instant::now();
    for number in from..to {
        state.write_all_at(&number.to_le_bytes(), 0).expect("the state");
        let input = reader.input(seed, number);
        if let Err(found) = reader.read(&input) {
            println!(
                "{name}: {found}; {} bytes: {:?}",
                input.len(),
                input[..input.len().min(400)].escape_ascii().to_string()
            );
            std::process::exit(1);
        }
        if number % LOOK == 0 || number + 1 == to {
            reader.look_around();
        }
    }
    state.write_all_at(&to.to_le_bytes(), 0).expect("the state");
    reader.tell(seed, to - from, begun.elapsed());
}

/// Reads one input after the other.
struct Reader<'a> {
    target: &'a Target,
    corpus: Vec<Vec<u8>>,
    around: PathBuf,
    accepted: u64,
    most_bytes: usize,
    longest: Duration,
}

impl<'a> Reader<'a> {
    fn new(target: &'a Target, folder: &Path) -> Reader<'a> {
        let around = folder.join("around");
        fs::create_dir_all(around.join("inside")).expect("the folder");
        fs::write(around.join("outside"), "not to be touched").expect("a file");
        let corpus = (target.corpus)();
        let mut reader =
            Reader { target, corpus, around, accepted: 0, most_bytes: 0, longest: Duration::ZERO };
        for (number, sound) in reader.corpus.clone().iter().enumerate() {
            reader.read(sound).unwrap_or_else(|found| panic!("sound input {number}: {found}"));
            assert!(
                reader.accepted == number as u64 + 1,
                "sound input {number} of {} is refused",
                target.name
            );
        }
        reader.accepted = 0;
        reader
    }

    fn input(&self, seed: u64, number: u64) -> Vec<u8> {
        let mut dice = Dice::new(self.target.name, seed, number);
        let input = mutate(&mut dice, &self.corpus, self.target.tokens);
        (self.target.seal)(&mut dice, input)
    }

    /// Reads an input; an error says what it did wrong.
    fn read(&mut self, input: &[u8]) -> Result<(), String> {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let begun = Instant::now();
        let inside = self.around.join("inside");
        let answer = catch_unwind(AssertUnwindSafe(|| (self.target.read)(&inside, input)));
        let (took, bytes) = (begun.elapsed(), MEMORY.peak_usage().saturating_sub(before));
        (self.longest, self.most_bytes) = (self.longest.max(took), self.most_bytes.max(bytes));
        let most = (self.target.most_bytes)(input.len());
        match answer {
            Err(_) => return Err("it panicked".into()),
            Ok(accepted) => self.accepted += u64::from(accepted),
        }
        if bytes > most {
            return Err(format!(
                "{bytes} bytes of memory for {} bytes, at most {most} are allowed",
                input.len()
            ));
        }
        if took > LONGEST { Err(format!("it took {took:?}")) } else { Ok(()) }
    }

    /// Checks that nothing was written outside the readers' folder.
    fn look_around(&self) {
        let files = tree(&self.around).into_iter().filter(|(name, _)| !name.starts_with("inside/")).collect();
        let expected = [("outside".to_owned(), b"not to be touched".to_vec())].into();
        assert_eq!(changes(&expected, &files), [""; 0], "files outside of the folder given");
        let beside = fs::read_dir(self.around.parent().expect("a parent")).expect("the folder");
        assert_eq!(beside.count(), 3, "files beside the folder given");
    }

    fn tell(&self, seed: u64, inputs: u64, took: Duration) {
        println!(
            "{:16} seed {seed}: {inputs} inputs, {} accepted, {:.0} a second; \
             at most {:.2} MB and {:.0} ms for one",
            self.target.name,
            self.accepted,
            inputs as f64 / took.as_secs_f64(),
            self.most_bytes as f64 / 1e6,
            self.longest.as_secs_f64() * 1e3
        );
    }
}
