//! A process dies before and after each call by which a handler changes the disk or sends an event; the run
//! then ends with the same model.
//!
//! Every such call of `start`, `worker`, `combine`, `stop` and `tick` is counted in a run without faults of
//! the real handler, with real training on the real file system. Then, for each call, a child process carries
//! out the same event on a copy of the folder and aborts there. The platform delivers the event again, or
//! loses it, too, and ticks later.
//!
//! ```text
//! BATON_CRASH_POINTS=all cargo test --release -p tests --test crash_points -- --nocapture    each, both ways
//! BATON_SEED=7 cargo test --release -p tests --test crash_points -- --nocapture              the same choice
//! ```

#[path = "crash_points/dying_disk.rs"]
mod dying_disk;
#[path = "crash_points/platform.rs"]
mod platform;

use dying_disk::Death;
use platform::{Delivery, Platform, RUN};
use protocol::{Fact, Reason};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::World;

/// How long the normal test tries points.
const NORMAL: Duration = Duration::from_secs(40);

/// An event about to be delivered, with the folder and the queue as they are then.
struct Moment {
    what: String,
    folder: PathBuf,
    delivery: Delivery,
    queue: Vec<Delivery>,
    ahead_ms: u64,
    steps: Vec<&'static str>,
    stopped: bool,
}

/// A death in the delivery of an event, and whether its invoke is lost then.
struct Point<'a> {
    moment: &'a Moment,
    death: Death,
    lost: bool,
}

/// Not a test by itself: this is the process that dies.
#[test]
fn dies() {
    platform::die_as_ordered();
}

#[test]
fn a_death_before_or_after_any_step_changes_nothing() {
    let all = std::env::var("BATON_CRASH_POINTS").is_ok_and(|points| points == "all");
    let seed = std::env::var("BATON_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs()) % 100_000);
    let place = PathBuf::from("/dev/shm");
    let place = if place.is_dir() { place } else { std::env::temp_dir() };
    let world = World::new_in(&place, 4);
    let copies = tempfile::tempdir_in(&place).unwrap();
    let start = start(&world);
    let Calm { moments, whole, stopped } = calm(&world, &start, copies.path());
    tell(&moments);
    let mut points: Vec<Point<'_>> = Vec::new();
    for moment in &moments {
        for step in 1..=moment.steps.len() {
            for (after, lost) in [(false, false), (false, true), (true, false), (true, true)] {
                points.push(Point { moment, death: Death { step, after }, lost });
            }
        }
    }
    fastrand::Rng::with_seed(seed).shuffle(&mut points);
    println!("seed {seed}: {} points", points.len());
    let (next, begun) = (AtomicUsize::new(0), std::time::Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while all || begun.elapsed() < NORMAL {
                    let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                    let folder = tempfile::tempdir_in(&place).unwrap();
                    let expected = if point.moment.stopped { &stopped } else { &whole };
                    die_and_go_on(point, &start, folder.path(), expected);
                }
            });
        }
    });
    let tried = next.into_inner().min(points.len());
    println!("{tried} deaths of {}, 0 other models, {:.0} s", points.len(), begun.elapsed().as_secs_f64());
    assert!(tried > 40, "only {tried} deaths: the test shows little");
}

/// The runs that the deaths are compared with.
struct Calm {
    moments: Vec<Moment>,
    whole: Model,
    stopped: Model,
}

type Model = BTreeMap<String, Vec<u8>>;

fn start(world: &World) -> String {
    let job = world.job(json!({"rounds": 2, "unit_images": 8, "batch": 8, "agree": "average"}));
    json!({"start": true, "run": RUN, "workers": 2, "job": job}).to_string()
}

/// The run without a death, event by event; then one that is stopped in round 2,
/// and one whose event was lost.
fn calm(world: &World, start: &str, copies: &Path) -> Calm {
    let mut platform = Platform::new(world.root());
    let mut moments = Vec::new();
    platform.accept(start);
    while let Some(delivery) = platform.queue.pop_front() {
        moments.push(moment(&mut platform, delivery, copies, moments.len()));
    }
    let whole = model(world.root());
    let in_stage = |stage: u32| {
        let sought = format!("\"stage\":{stage}");
        let found =
            |m: &&Moment| m.delivery.payload.contains(&sought) && m.delivery.payload.contains("workerno");
        moments.iter().find(found).expect("a worker of that stage")
    };
    let mut platform = again(in_stage(2), &copies.join("stopped"));
    platform.queue.push_front(in_stage(2).delivery.clone());
    platform.accept(&json!({"stop": true, "run": RUN}).to_string());
    let stop = platform.queue.pop_back().expect("the stop");
    let stop = Moment { stopped: true, ..moment(&mut platform, stop, copies, moments.len()) };
    // The stop settles the end; its event publishes the model.
    while let Some(delivery) = platform.queue.pop_front() {
        platform.deliver(&delivery);
    }
    let stopped = model(&platform.root);
    let mut platform = again(in_stage(1), &copies.join("ticked"));
    platform.ahead_ms = 3_600_000;
    platform.accept(r#"{"tick":true}"#);
    let tick = platform.queue.pop_back().expect("the tick");
    let tick = moment(&mut platform, tick, copies, moments.len() + 1);
    assert!(tick.steps.contains(&"send"), "the tick sends nothing: {:?}", tick.steps);
    moments.extend([stop, tick]);
    assert!(whole != stopped && whole.len() == 2, "a model, and another one when stopped");
    Calm { moments, whole, stopped }
}

/// Copies the folder and the queue as they are, then delivers.
fn moment(platform: &mut Platform, delivery: Delivery, copies: &Path, number: usize) -> Moment {
    let folder = copies.join(number.to_string());
    copy(&platform.root, &folder);
    let queue = platform.queue.iter().cloned().collect();
    let steps = platform.deliver(&delivery);
    let (ahead_ms, stopped) = (platform.ahead_ms, false);
    Moment { what: name(&delivery), folder, delivery, queue, ahead_ms, steps, stopped }
}

/// A platform at that moment, without its event, on a copy of the folder.
fn again(moment: &Moment, folder: &Path) -> Platform {
    copy(&moment.folder, folder);
    let mut platform = Platform::new(folder);
    platform.queue = moment.queue.iter().cloned().collect();
    platform.ahead_ms = moment.ahead_ms;
    platform
}

fn die_and_go_on(point: &Point<'_>, start: &str, folder: &Path, expected: &Model) {
    let &Point { moment, death, lost } = point;
    let at = format!("{} ({}), {death:?}, lost: {lost}", moment.what, moment.steps[death.step - 1]);
    let mut platform = again(moment, &folder.join("root"));
    platform.deliver_to_the_dying(&moment.delivery, death);
    // The sender of `stop` waits for its answer, and sends it again.
    if !lost || moment.stopped {
        platform.queue.push_front(moment.delivery.clone());
    }
    platform.go_on(start);
    assert!(model(&platform.root) == *expected, "another model: {at}");
    let mut combines = BTreeMap::new();
    for fact in platform.facts() {
        match fact {
            Fact::CombineDone { combined, .. } => *combines.entry(combined.stage).or_insert(0) += 1,
            Fact::Ended { ending, .. } => {
                let why = if moment.stopped { Reason::Stopped } else { Reason::Rounds };
                assert_eq!(ending.why, why, "{at}");
            }
            _ => {}
        }
    }
    assert!(combines.values().all(|times| *times == 1), "combined twice: {combines:?}, {at}");
}

fn tell(moments: &[Moment]) {
    for Moment { what, steps, .. } in moments {
        let mut count = BTreeMap::new();
        steps.iter().for_each(|step| *count.entry(*step).or_insert(0) += 1);
        println!("{what}: {} steps {count:?}", steps.len());
    }
}

fn name(delivery: &Delivery) -> String {
    let event: serde_json::Value = serde_json::from_str(&delivery.payload).expect("an event");
    let number = |key: &str| event[key].as_u64().unwrap_or(0);
    if event["workerno"].is_u64() {
        return format!("worker {}, stage {}, leg {}", number("workerno"), number("stage"), number("leg"));
    }
    match event["combine"].is_boolean() {
        true => format!("combine of stage {}", number("stage")),
        false => event
            .as_object()
            .expect("an object")
            .keys()
            .find(|k| *k != "run" && *k != "job")
            .cloned()
            .unwrap_or_default(),
    }
}

/// The files of the run's model.
fn model(root: &Path) -> Model {
    let folder = root.join("runs").join(RUN).join("model");
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = files.map(|file| file.expect("an entry")).filter(|file| file.path().is_file());
    let name = |file: &std::fs::DirEntry| file.file_name().to_string_lossy().into_owned();
    // The names of files that a dying process had begun to write begin with a dot.
    let files = files.filter(|file| !name(file).starts_with('.'));
    files.map(|file| (name(&file), std::fs::read(file.path()).expect("a file"))).collect()
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.is_ok_and(|status| status.success()), "cp {} {}", from.display(), to.display());
}
