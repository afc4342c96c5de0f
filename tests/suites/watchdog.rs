//! A lost event costs one tick, whoever ticks: `baton local`, `baton watch`, or a person with `baton start`.

use local_cloud::{Faults, LocalCloud, Options};
use protocol::{Fact, Ledger};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};
use tests::{World, binary};

const PATIENCE: Duration = Duration::from_secs(1);

/// A local cloud without ticks, on the world's folder, where the commands find it.
async fn nobody_ticks(world: &World) -> LocalCloud {
    let mut options = Options::new(binary("trainer"));
    options.tables = vec!["baton".into()];
    options.time_limit = Duration::from_secs(20);
    options.recursion_allowed = true;
    options.environment = vec![
        ("BATON_ROOT".into(), world.root().display().to_string()),
        ("BATON_TABLE".into(), "baton".into()),
        ("BATON_PATIENCE_MS".into(), PATIENCE.as_millis().to_string()),
    ];
    let cloud = LocalCloud::start(options).await.expect("a local cloud");
    let address = serde_json::to_string(cloud.address()).unwrap();
    std::fs::write(world.root().join("local-cloud.json"), address).expect("its address");
    cloud
}

/// `baton COMMAND --root ROOT --run RUN …`, to its end.
async fn baton(world: &World, arguments: &[&str]) -> String {
    let mut command = Command::new(binary("baton"));
    command.args(arguments).args(["--run", "lost", "--root"]).arg(world.root());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "baton {arguments:?}: {text}");
    text
}

/// Starts the run and loses every event that the start sends.
async fn lose_the_first_events(world: &World, cloud: &LocalCloud) {
    let job = world.root().join("lost.json");
    std::fs::write(&job, serde_json::to_vec(&world.job(json!({}))).unwrap()).unwrap();
    cloud.set_faults(Faults { drop: 1.0, ..Faults::default() }).unwrap();
    baton(world, &["start", "--workers", "2", "--job", job.to_str().unwrap()]).await;
    cloud.set_faults(Faults::default()).unwrap();
    assert_eq!((cloud.counts().dropped, cloud.status().outstanding), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_makes_a_run_that_stands_still_move() {
    let world = World::new(4);
    let cloud = nobody_ticks(&world).await;
    lose_the_first_events(&world, &cloud).await;
    tokio::time::sleep(PATIENCE * 2).await;
    assert_eq!(world.facts("lost").len(), 1, "nobody moves it yet");
    let said = baton(&world, &["watch", "--still", "1s"]).await;
    assert!(said.contains("a tick is sent") && said.contains("all rounds done"), "{said}");
    assert!(
        world
            .facts("lost")
            .iter()
            .any(|fact| matches!(fact, Fact::SentAgain { targets, .. } if targets.len() == 2))
    );
    cloud.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_makes_a_run_that_stands_still_move() {
    let world = World::new(4);
    let cloud = nobody_ticks(&world).await;
    lose_the_first_events(&world, &cloud).await;
    // An event that was just sent is not sent again: it may be on its way.
    assert!(baton(&world, &["start"]).await.contains("ignored"));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(baton(&world, &["start"]).await.contains("leg 0 of worker 1"));
    let begun = Instant::now();
    while world.ledger("lost").ending.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the run does not end");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    cloud.shutdown().await;
}

/// One event in five is lost; each is sent again one tick after its due time, and twice as late if it is lost
/// again.
#[test]
fn an_event_lost_costs_a_tick() {
    const SLACK_MS: u64 = 2_500;
    let world = World::new(8);
    let mut local = world.local();
    local.tick = PATIENCE;
    local.faults = Some(Faults { seed: 11, drop: 0.2, ..Faults::default() });
    let outcome = world.run(&local, "lossy", 3, &world.job(json!({"rounds": 6})));
    let facts = world.facts("lossy");
    let mut late = Vec::new();
    for (number, fact) in facts.iter().enumerate() {
        let Fact::SentAgain { targets, at_ms, .. } = fact else { continue };
        let before = Ledger::fold(facts[..number].to_vec()).unwrap().unwrap();
        for target in targets {
            let piece = target.worker.map_or(&before.combine, |worker| &before.workers[worker as usize]);
            let hold = &piece.hold;
            let expected_ms =
                hold.lease.as_ref().map_or(hold.sent_ms, |lease| lease.until_ms.max(hold.sent_ms));
            let bound_ms = (PATIENCE.as_millis() as u64) * (1 + (1 << hold.resent)) + SLACK_MS;
            late.push(at_ms.saturating_sub(expected_ms));
            assert!(late[late.len() - 1] <= bound_ms, "{target}: {late:?} ms, at most {bound_ms}");
        }
    }
    println!("{} events lost, sent again after {late:?} ms", outcome.counts.dropped);
    assert!(outcome.counts.dropped >= 3 && !late.is_empty(), "{:?}", outcome.counts);
}

/// The first nine processes kill themselves at their start, which is more than the tries after an answer with
/// an error.
#[test]
fn a_start_whose_process_dies_again_and_again_is_asked_until_it_lives() {
    let world = World::new(4);
    let (script, count) = (world.root().join("dies-first"), world.root().join("deaths"));
    let text = format!(
        "#!/bin/sh\necho died >>{count}\n[ $(wc -l <{count}) -gt 9 ] || kill -9 $$\nexec {trainer}\n",
        count = count.display(),
        trainer = binary("trainer").display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut local = world.local();
    local.function.trainer = Some(script);
    let outcome = world.run(&local, "patient", 1, &world.job(json!({"rounds": 1})));
    assert!(outcome.model.is_some());
}
