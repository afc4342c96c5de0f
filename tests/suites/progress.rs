//! The table of a real run agrees with its facts, and so do the commands that show it.

use protocol::RunId;
use serde_json::{Value, json};
use setup::cloud::{Cloud, TABLE};
use setup::view::View;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use storage::Root;
use tests::{World, binary, stdout};

/// `baton local` on a folder, until the test ends.
struct Clouded(Child);

impl Drop for Clouded {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.0.wait();
    }
}

fn begin(world: &World) -> Clouded {
    let mut command = Command::new(binary("baton"));
    command.args(["local", "--time-limit", "3s", "--tick", "60s", "--root"]).arg(world.root());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !world.root().join("local-cloud.json").is_file() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the local cloud does not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
    Clouded(child)
}

/// The run in the table, once it has ended and its model is reported.
async fn ended(world: &World, run: &str) -> View {
    let cloud = Cloud::find(Some(world.root())).await.unwrap();
    let begun = Instant::now();
    loop {
        let view = View::read(&cloud.tables, TABLE, run).await.unwrap();
        if let Some(view) = view.filter(|view| view.state.ended && view.shown.is_some()) {
            return view;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "the run does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_says_of_a_run_what_its_facts_say() {
    let world = World::new(12);
    let _cloud = begin(&world);
    let (root, job) = (world.root().display().to_string(), world.root().join("a.json"));
    std::fs::write(&job, serde_json::to_vec(&world.job(json!({"rounds": 6}))).unwrap()).unwrap();
    let job = job.to_str().unwrap();
    stdout(&["start", "--root", &root, "--run", "told", "--workers", "3", "--job", job]);
    let told = ended(&world, "told").await;

    let folded = View::of_folder(&Root::open(world.root()).unwrap(), &RunId::new("told").unwrap());
    let folded = folded.unwrap().expect("the run");
    assert_eq!(told.state, folded.state);
    assert_eq!(told.stages, folded.stages);
    assert_eq!((&told.job, &told.shown), (&folded.job, &folded.shown));
    assert_eq!(told.stages.len(), 8, "features, six rounds and the end");
    assert_eq!(told.scores().count(), 6);

    let watched = stdout(&["watch", "--root", &root, "--run", "told", "--once", "--json"]);
    let watched: Value = serde_json::from_str(watched.trim()).unwrap();
    assert_eq!(watched["status"], "all rounds done");
    let score = told.stages[&6].score().expect("a score");
    assert_eq!(watched["stages"]["6"]["score"]["top1"].as_f64(), Some(score.values[0]));
    assert_eq!(watched["stages"]["6"]["score"]["images"].as_u64(), Some(score.of));
    assert_eq!(watched["course"]["rounds"], 6);
    assert_eq!(watched["shown"]["tables"][0]["rows"].as_array().map(Vec::len), Some(10));
    let file = world.root().join("run.html");
    stdout(&["status", "--root", &root, "--run", "told", "--export", file.to_str().unwrap()]);
    let page = std::fs::read_to_string(file).unwrap();
    let best = format!("{:.4}", told.state.best_value.unwrap());
    for part in [
        "all rounds done",
        &best,
        "worker 2, round 6: ",
        "What the model takes for what",
        "Evenly spread",
        "src=\"data:image/png;base64,",
    ] {
        assert!(page.contains(part), "nothing of {part:?}");
    }
}
