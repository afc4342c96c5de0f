//! Others on the machine: another user, a second local cloud, a full function, a name that is a command.

use local_cloud::{Address, Faults, LocalCloud, Options};
use protocol::{Fact, Reason};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tests::{World, binary};

/// A local cloud in a process of its own, ended with SIGTERM.
struct Cloud(Child);

impl Cloud {
    fn begin(root: &Path) -> Cloud {
        let mut command = Command::new(binary("baton"));
        command.args(["local", "--tick", "1s", "--root"]).arg(root).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a local cloud");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        assert!(line.contains("endpoint"), "{line}");
        Cloud(child)
    }

    fn end(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.end();
    }
}

fn address_file(root: &Path) -> PathBuf {
    root.join("local-cloud.json")
}

fn baton(root: &Path, arguments: &[&str]) -> Output {
    Command::new(binary("baton")).args(arguments).arg("--root").arg(root).output().expect("baton runs")
}

/// All output of a command.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn job_file(world: &World, changes: Value) -> String {
    let path = world.root().join("the-job.json");
    fs::write(&path, serde_json::to_vec(&world.job(changes)).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_address_is_its_users_alone() {
    let world = World::new(4);
    fs::set_permissions(world.root(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut cloud = Cloud::begin(world.root());
    let file = address_file(world.root());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    if id == b"0\n" {
        let other = Command::new("cat").arg(&file).uid(65_534).output().unwrap();
        assert!(!other.status.success() && other.stdout.is_empty(), "{}", said(&other));
    } else {
        println!("SKIPPED: only root can try it as another user");
    }
    // An address and a token that are not this cloud's are refused in words.
    let mut address: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    address["token"] = json!("00112233445566778899aabbccddeeff");
    fs::write(&file, address.to_string()).unwrap();
    for command in [&["start", "--run", "theirs"][..], &["stop", "--run", "theirs"]] {
        let output = baton(world.root(), command);
        assert!(
            !output.status.success() && said(&output).contains("the token is missing or wrong"),
            "{}",
            said(&output)
        );
    }
    assert!(!world.root().join("runs/theirs").exists());
    cloud.end();
}

#[test]
fn a_second_local_cloud_on_a_folder_is_refused_and_takes_nothing_away() {
    let world = World::new(4);
    let mut first = Cloud::begin(world.root());
    let address = fs::read(address_file(world.root())).unwrap();
    let job = job_file(&world, json!({}));
    for arguments in [&["local"][..], &["local", "--job", &job, "--run", "second", "--workers", "1"]] {
        let begun = Instant::now();
        let second = baton(world.root(), arguments);
        assert_eq!(second.status.code(), Some(3), "{}", said(&second));
        let Address { endpoint, .. } = serde_json::from_slice(&address).unwrap();
        for word in ["works on", &endpoint, "baton start --root"] {
            assert!(said(&second).contains(word), "nothing of {word:?} in {}", said(&second));
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    assert_eq!(fs::read(address_file(world.root())).unwrap(), address, "its address is there");
    // The message's advice works: the first cloud carries out the run.
    let started = baton(world.root(), &["start", "--job", &job, "--run", "second", "--workers", "1"]);
    assert!(started.status.success(), "{}", said(&started));
    let watched = baton(world.root(), &["watch", "--run", "second"]);
    assert!(watched.status.success() && said(&watched).contains("all rounds done"), "{}", said(&watched));
    first.end();
    assert!(!address_file(world.root()).exists());
    // A killed one leaves its address and no lock.
    let mut killed = Cloud::begin(world.root());
    killed.0.kill().unwrap();
    killed.0.wait().unwrap();
    assert!(address_file(world.root()).exists());
    Cloud::begin(world.root()).end();
}

/// A local cloud of this process, where the commands find it.
async fn cloud_of(world: &World) -> LocalCloud {
    let mut options = Options::new(binary("trainer"));
    options.tables = vec!["baton".into()];
    options.recursion_allowed = true;
    options.environment = vec![
        ("BATON_ROOT".into(), world.root().display().to_string()),
        ("BATON_TABLE".into(), "baton".into()),
        ("BATON_PATIENCE_MS".into(), "1000".into()),
    ];
    let cloud = LocalCloud::start(options).await.expect("a local cloud");
    fs::write(address_file(world.root()), serde_json::to_vec(cloud.address()).unwrap()).expect("its address");
    cloud
}

fn spawn(root: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(binary("baton"));
    command.args(arguments).arg("--root").arg(root).stdout(Stdio::piped()).spawn().expect("baton runs")
}

async fn output(mut child: Child) -> String {
    let wait = move || {
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
        text
    };
    tokio::task::spawn_blocking(wait).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_a_stop_get_through_a_function_that_is_full() {
    let world = World::new(8);
    let cloud = cloud_of(&world).await;
    let full = Faults { throttle: 1.0, ..Faults::default() };
    let job = job_file(&world, json!({"rounds": 100_000, "limits": {"hours": 1}}));
    // Full for longer than an SDK retries.
    cloud.set_faults(full.clone()).unwrap();
    let start = spawn(world.root(), &["start", "--job", &job, "--run", "full", "--workers", "1"]);
    tokio::time::sleep(Duration::from_secs(6)).await;
    cloud.set_faults(Faults::default()).unwrap();
    assert!(output(start).await.contains("full"), "it is told");
    assert_eq!(world.facts("full").len().min(1), 1, "it has started");
    // Full for longer than the command waits for an answer: the stop is in the ledger at once, and in the
    // queue once there is room.
    cloud.set_faults(full).unwrap();
    let stop = spawn(world.root(), &["stop", "--run", "full"]);
    let begun = Instant::now();
    let closed = |fact: &Fact| matches!(fact, Fact::Closed { why: Reason::Stopped, .. });
    while !world.facts("full").iter().any(closed) {
        assert!(begun.elapsed() < Duration::from_secs(60), "the ledger does not know of the stop");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(cloud.counts().throttles > 3, "{:?}", cloud.counts());
    cloud.set_faults(Faults::default()).unwrap();
    let told: Value = serde_json::from_str(&output(stop).await).unwrap();
    assert_eq!(told, json!({"queued": true, "run": "full"}));
    while world.ledger("full").ending.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(90), "the run does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cloud.shutdown().await;
}

/// A name that sets the title, clears the line, writes backwards, and imitates one of our lines.
const HOSTILE: &str = "\u{1b}]0;owned\u{7}cat\u{1b}[2K\u{9b}2J\u{202e}\rx\nbaton: all is well";

#[test]
fn a_hostile_name_does_nothing_on_a_terminal() {
    let world = World::new(4);
    let images = world.root().join("images");
    for class in [HOSTILE, "dog"] {
        let folder = images.join(class);
        fs::create_dir_all(&folder).unwrap();
        (0..6).for_each(|n| World::picture(&folder.join(format!("{n}{HOSTILE}.bmp"))));
    }
    fs::write(images.join("dog").join(format!("{HOSTILE}.png")), b"no picture").unwrap();
    let prepared = Command::new(binary("data-prep"))
        .args(["folder", "--val-share", "0.34", "--max-unreadable", "50%", "--out"])
        .arg(world.root().join("datasets/hostile"))
        .arg(&images)
        .output()
        .unwrap();
    assert!(prepared.status.success(), "{}", said(&prepared));
    assert!(said(&prepared).contains("left out"), "{}", said(&prepared));
    let job = job_file(&world, json!({"dataset": "hostile", "rounds": 1}));
    let picture = images.join(HOSTILE).join(format!("0{HOSTILE}.bmp"));
    let picture = picture.to_str().unwrap();
    let mut outputs = vec![prepared];
    for arguments in [
        &["local", "--job", &job, "--run", "r", "--workers", "1"][..],
        &["evaluate", "--run", "r"],
        &["evaluate", "--run", "r", "--json"],
        &["predict", "--run", "r", picture],
        &["predict", "--run", "r", "--json", picture],
        &[
            "predict",
            "--run",
            "r",
            images.join("dog").join(format!("{HOSTILE}.png")).to_str().unwrap(),
            picture,
        ],
        &["evaluate", "--run", "r", "--dataset", "patterns"],
        &["local", "--job", HOSTILE],
        &["stop", "--run", HOSTILE],
    ] {
        outputs.push(baton(world.root(), arguments));
    }
    for output in &outputs {
        let text = said(output);
        let acting =
            text.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c));
        assert_eq!(acting, None, "{}", text.escape_debug());
        assert!(!text.lines().any(|line| line.starts_with("baton: all is well")), "{text}");
    }
    assert!(
        outputs.iter().skip(1).any(|output| said(output).contains("\\u001b]0;owned\\u0007cat")),
        "it is shown"
    );
    let shown: Value = serde_json::from_slice(&outputs[5].stdout).expect("a line of JSON stays one");
    assert!(shown["top"].as_array().unwrap().iter().any(|one| one["class"] == HOSTILE), "{shown}");
}
