//! No process outlives the local cloud, whichever way it ends.

mod support;

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use local_cloud::{Address, LocalCloud, Status};
use support::{TOKEN, eventually, http::request, idle, start, state};

/// Not a test by itself: the local cloud starts this binary at this place as its function.
#[test]
fn scripted_function() {
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        support::function::serve();
    }
}

/// Two processes at work, one idle.
async fn three_processes(cloud: &LocalCloud) -> Vec<u32> {
    for _ in 0..3 {
        cloud.invoke_event(r#"{"do": "sleep", "ms": 300}"#).unwrap();
    }
    idle(cloud).await;
    for _ in 0..2 {
        cloud.invoke_event(r#"{"do": "hang"}"#).unwrap();
    }
    let pids: Vec<u32> = cloud.status().processes.iter().map(|process| process.pid).collect();
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| state(*pid).is_some()));
    pids
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_every_process_before_it_returns() {
    let cloud = start(|_| ()).await;
    let pids = three_processes(&cloud).await;
    cloud.shutdown().await;
    assert!(pids.iter().all(|pid| state(*pid).is_none()), "{pids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_while_processes_start_leaves_none() {
    for wait_ms in [0, 1, 2, 5, 10, 20] {
        let mark = format!("shutdown-{}-{wait_ms}", std::process::id());
        let cloud = start(|options| options.environment.push(("MARK".into(), mark.clone()))).await;
        for _ in 0..5 {
            cloud.invoke_event(r#"{"do": "hang"}"#).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        let ended = tokio::time::timeout(Duration::from_secs(10), cloud.shutdown()).await;
        assert!(ended.is_ok(), "shutdown after {wait_ms} ms did not return");
        assert_eq!(marked(&mark), [0u32; 0], "left after {wait_ms} ms");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(marked(&mark), [0u32; 0], "started after the shutdown after {wait_ms} ms");
    }
}

/// The live processes with this mark in their environment.
fn marked(mark: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(entry.path().join("environ")).ok()?;
        String::from_utf8_lossy(&environment).contains(&format!("MARK={mark}\0")).then_some(pid)
    });
    processes.filter(|pid| state(*pid).is_some()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_ends_every_process() {
    let cloud = start(|_| ()).await;
    let pids = three_processes(&cloud).await;
    drop(cloud);
    eventually("the processes are gone", || pids.iter().all(|pid| state(*pid).is_none()));
}

/// Not a test by itself: a host for the next test, in a process that can be killed.
#[tokio::test(flavor = "multi_thread")]
async fn host() {
    if env::var_os("LOCAL_CLOUD_HOST").is_none() {
        return;
    }
    let cloud = start(|_| ()).await;
    three_processes(&cloud).await;
    println!("address {}", serde_json::to_string(cloud.address()).unwrap());
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[test]
fn killing_the_host_with_sigkill_ends_every_process() {
    let mut host = Command::new(env::current_exe().unwrap())
        .args(["--exact", "host", "--nocapture"])
        .env("LOCAL_CLOUD_HOST", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(host.stdout.take().unwrap()).lines();
    let address =
        lines.map_while(Result::ok).find_map(|line| Some(line.split_once("address ")?.1.to_owned()));
    let Address { endpoint, token } = serde_json::from_str(&address.unwrap()).unwrap();
    let status = request(&endpoint, "GET", "/_baton/status", &[(TOKEN, token.text())], b"").unwrap().body;
    let status: Status = serde_json::from_str(&status).unwrap();
    let pids: Vec<u32> = status.processes.iter().map(|process| process.pid).collect();
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| state(*pid).is_some()));
    host.kill().unwrap();
    host.wait().unwrap();
    eventually("the processes are gone", || pids.iter().all(|pid| state(*pid).is_none()));
}
