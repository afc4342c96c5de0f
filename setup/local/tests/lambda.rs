//! Lambda as its callers and its function see it, with real processes.

mod support;

use std::{env, time::Duration};

use local_cloud::Faults;
use serde_json::json;
use support::{Notes, eventually, idle, invoke, send, start, state};

/// Not a test by itself: the local cloud starts this binary at this place as its function.
#[test]
fn scripted_function() {
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        support::function::serve();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_accepted_and_runs() {
    let (cloud, notes) = (start(|_| ()).await, Notes::new());
    let answer = invoke(&cloud, "Event", notes.event(json!({}))).await;
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    idle(&cloud).await;
    let runs = notes.runs();
    assert_eq!(runs.len(), 1);
    assert_eq!(answer.header("x-amzn-requestid"), Some(runs[0].1.as_str()));
    let counts = cloud.counts();
    assert_eq!((counts.accepted, counts.invocations, counts.cold_starts, counts.live), (1, 1, 1, 1));
    assert!(cloud.failures().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_its_answer() {
    let cloud = start(|_| ()).await;
    let answer = invoke(&cloud, "RequestResponse", r#"{"echo": "hi"}"#).await;
    assert_eq!((answer.status, answer.header("x-amz-function-error")), (200, None));
    assert_eq!(answer.json()["echo"], "hi");
    assert!(answer.json()["trace"].as_str().unwrap().starts_with("Root=1-"));

    let failed = invoke(&cloud, "RequestResponse", r#"{"do": "error"}"#).await;
    assert_eq!((failed.status, failed.header("x-amz-function-error")), (200, Some("Unhandled")));
    assert_eq!(failed.json()["errorMessage"], "as told");
    assert_eq!((cloud.counts().errors, cloud.counts().retries, cloud.failures().len()), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_invoke_refuses_reads_as_the_sdk_expects() {
    let cloud = start(|_| ()).await;
    let error = |answer: support::http::Response| {
        let kind = answer.header("x-amzn-errortype").unwrap_or_default().to_owned();
        (answer.status, kind, answer.json()["message"].as_str().unwrap_or_default().to_owned())
    };
    let path = "/2015-03-31/functions/other/invocations";
    let (status, kind, message) = error(send(&cloud, "POST", path, vec![], b"{}".to_vec()).await);
    assert_eq!((status, kind.as_str()), (404, "ResourceNotFoundException"), "{message}");
    assert!(message.contains("function:other"), "{message}");

    let (status, kind, _) = error(invoke(&cloud, "Event", "not json").await);
    assert_eq!((status, kind.as_str()), (400, "InvalidRequestContentException"));
    let (status, kind, _) = error(invoke(&cloud, "Later", "{}").await);
    assert_eq!((status, kind.as_str()), (400, "InvalidParameterValueException"));
    assert_eq!(invoke(&cloud, "DryRun", "{}").await.status, 204);
    assert_eq!(cloud.counts().accepted, 0);

    let padded = |bytes: usize| format!(r#"{{"echo": "{}"}}"#, "x".repeat(bytes - 12));
    assert_eq!(padded(1 << 20).len(), 1 << 20);
    assert_eq!(invoke(&cloud, "Event", padded(1 << 20)).await.status, 202);
    let (status, kind, message) = error(invoke(&cloud, "Event", padded((1 << 20) + 1)).await);
    assert_eq!((status, kind.as_str()), (413, "RequestTooLargeException"));
    assert!(message.contains("1048576"), "{message}");
    assert_eq!(invoke(&cloud, "RequestResponse", padded((1 << 20) + 1)).await.status, 200);
    idle(&cloud).await;
    assert_eq!(cloud.counts().accepted, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_sees_lambdas_environment_and_nothing_of_ours() {
    let cloud = start(|options| {
        options.memory_mb = 512;
        options.time_limit = Duration::from_secs(20);
        options.environment.push(("BATON_TEST".into(), "given".into()));
    })
    .await;
    let before =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let answer = invoke(&cloud, "RequestResponse", r#"{"do": "environment"}"#).await.json();
    let variables = &answer["environment"];
    assert_eq!(variables["AWS_LAMBDA_FUNCTION_NAME"], "baton");
    assert_eq!(variables["AWS_LAMBDA_FUNCTION_VERSION"], "$LATEST");
    assert_eq!(variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "512");
    assert_eq!(variables["AWS_LAMBDA_LOG_GROUP_NAME"], "/aws/lambda/baton");
    assert_eq!(variables["BATON_TEST"], "given");
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL_DYNAMODB"] {
        assert_eq!(variables[name], cloud.address().endpoint, "{name}");
    }
    assert!(env::var_os("CARGO_MANIFEST_DIR").is_some(), "cargo sets a variable that must not be inherited");
    for name in ["HOME", "CARGO_MANIFEST_DIR", "AWS_PROFILE"] {
        assert!(variables[name].is_null(), "{name} is inherited: {}", variables[name]);
    }
    let deadline: u64 = answer["deadline"].as_str().unwrap().parse().unwrap();
    assert!((before + 20_000..before + 30_000).contains(&deadline), "{deadline} with {before} before");
    assert_eq!(answer["arn"], "arn:aws:lambda:us-east-1:000000000000:function:baton");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_processes_are_frozen_and_used_again() {
    let (cloud, notes) = (start(|_| ()).await, Notes::new());
    for _ in 0..5 {
        assert_eq!(invoke(&cloud, "RequestResponse", notes.event(json!({}))).await.status, 200);
        let pid = notes.runs()[0].0;
        eventually("the idle process is stopped", || state(pid) == Some('T'));
    }
    let runs = notes.runs();
    assert!(runs.iter().all(|(pid, _)| *pid == runs[0].0), "{runs:?}");
    assert_eq!((runs.len(), cloud.counts().invocations, cloud.counts().cold_starts), (5, 5, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_a_time_than_the_concurrency() {
    let cloud = start(|options| options.concurrency = 2).await;
    for _ in 0..6 {
        assert_eq!(invoke(&cloud, "Event", r#"{"do": "sleep", "ms": 300}"#).await.status, 202);
    }
    let busy = invoke(&cloud, "RequestResponse", "{}").await;
    assert_eq!((busy.status, busy.header("x-amzn-errortype")), (429, Some("TooManyRequestsException")));
    let mut most = 0;
    while cloud.status().outstanding > 0 {
        most =
            most.max(cloud.status().processes.iter().filter(|process| process.request_id.is_some()).count());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let counts = cloud.counts();
    assert_eq!((most, counts.invocations, counts.cold_starts), (2, 6, 2));
    assert_eq!((counts.requeued, counts.throttles), (4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_has_a_place_beside_a_full_house() {
    let cloud = start(|options| options.concurrency = 1).await;
    cloud.invoke_event(r#"{"do": "hang"}"#).unwrap();
    assert_eq!(invoke(&cloud, "RequestResponse", r#"{"echo": 1}"#).await.status, 429);
    let answer = tokio::time::timeout(Duration::from_secs(10), cloud.ask(r#"{"echo": 1}"#)).await;
    assert!(answer.expect("within ten seconds").is_ok());
    assert_eq!((cloud.status().outstanding, cloud.status().queued), (1, 0));
    let failed = cloud.ask(r#"{"do": "error"}"#).await.unwrap_err().to_string();
    assert!(failed.contains("as told"), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_an_answer_finds_the_concurrency_free() {
    let cloud = start(|options| options.concurrency = 1).await;
    for _ in 0..50 {
        assert_eq!(invoke(&cloud, "RequestResponse", "{}").await.status, 200);
    }
    assert_eq!((cloud.counts().cold_starts, cloud.counts().throttles), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_run_at_the_same_time() {
    let (cloud, notes) = (start(|options| options.concurrency = 64).await, Notes::new());
    for _ in 0..3 {
        for _ in 0..64 {
            cloud.invoke_event(notes.event(json!({ "do": "sleep", "ms": 50 }))).unwrap();
        }
        idle(&cloud).await;
    }
    let counts = cloud.counts();
    assert_eq!((notes.runs().len(), counts.invocations, counts.crashes, counts.requeued), (192, 192, 0, 0));
    assert!(counts.cold_starts <= 64 && cloud.failures().is_empty(), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_limit_ends_the_whole_process_group() {
    let notes = Notes::new();
    let cloud = start(|options| {
        options.time_limit = Duration::from_millis(400);
        options.retry_waits.clear();
    })
    .await;
    cloud.invoke_event(notes.event(json!({ "do": "hang with a child" }))).unwrap();
    idle(&cloud).await;
    let failures = cloud.failures();
    assert_eq!((cloud.counts().timeouts, failures.len()), (1, 1));
    assert!(failures[0].response_payload.contains("Task timed out after 0.40 seconds"), "{failures:?}");
    let (pid, grandchild) = (notes.runs()[0].0, notes.grandchildren()[0]);
    eventually("the process and its child are gone", || state(pid).is_none() && state(grandchild).is_none());
    assert!((400..1500).contains(&cloud.counts().billed_ms), "{:?}", cloud.counts());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_event_is_retried_twice_with_the_same_id_and_then_given_up() {
    let (cloud, notes) = (start(|_| ()).await, Notes::new());
    let event = notes.event(json!({ "do": "error" }));
    let id = cloud.invoke_event(event.clone()).unwrap();
    idle(&cloud).await;
    let runs = notes.runs();
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|(pid, run)| *run == id && *pid == runs[0].0), "{runs:?}");
    let failures = cloud.failures();
    assert_eq!(failures.len(), 1);
    assert_eq!((failures[0].request_id.as_str(), failures[0].attempts), (id.as_str(), 3));
    assert_eq!((failures[0].condition.as_str(), &failures[0].request_payload), ("RetriesExhausted", &event));
    assert!(failures[0].response_payload.contains("as told"));
    assert_eq!((cloud.counts().errors, cloud.counts().retries), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_succeeds_on_its_last_retry_is_no_failure() {
    let (cloud, notes) = (start(|_| ()).await, Notes::new());
    cloud.invoke_event(notes.event(json!({ "do": "fail twice" }))).unwrap();
    idle(&cloud).await;
    assert_eq!((notes.runs().len(), cloud.counts().errors, cloud.failures().len()), (3, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_a_failure_and_the_next_attempt_meets_a_new_process() {
    let (cloud, notes) = (start(|_| ()).await, Notes::new());
    cloud.invoke_event(notes.event(json!({ "do": "crash" }))).unwrap();
    idle(&cloud).await;
    let mut pids: Vec<u32> = notes.runs().into_iter().map(|(pid, _)| pid).collect();
    pids.dedup();
    assert_eq!(pids.len(), 3);
    assert_eq!((cloud.counts().crashes, cloud.counts().cold_starts), (3, 3));
    assert!(cloud.failures()[0].response_payload.contains("exit status 3"), "{:?}", cloud.failures());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_never_polls_fails_the_event() {
    let cloud = start(|options| options.program = "/bin/false".into()).await;
    cloud.invoke_event("{}").unwrap();
    idle(&cloud).await;
    assert_eq!((cloud.counts().crashes, cloud.counts().invocations), (3, 0));
    assert!(cloud.failures()[0].response_payload.contains("before its first poll"), "{:?}", cloud.failures());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_while_idle_costs_no_event() {
    let (cloud, notes) = (start(|_| ()).await, Notes::new());
    invoke(&cloud, "RequestResponse", notes.event(json!({}))).await;
    let pid = notes.runs()[0].0;
    assert!(std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    eventually("the local cloud sees it", || cloud.counts().live == 0);
    assert_eq!(invoke(&cloud, "RequestResponse", notes.event(json!({}))).await.status, 200);
    assert_eq!((notes.runs().len(), cloud.counts().cold_starts, cloud.counts().crashes), (2, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_beyond_the_size_ends_the_process() {
    let cloud = start(|options| {
        options.memory_mb = 128;
        options.retry_waits.clear();
    })
    .await;
    cloud.invoke_event(r#"{"do": "allocate", "mb": 300}"#).unwrap();
    idle(&cloud).await;
    assert_eq!(cloud.counts().out_of_memory, 1);
    assert!(cloud.counts().peak_memory_mb > 128, "{:?}", cloud.counts());
    assert!(cloud.failures()[0].response_payload.contains("memory size 128 MB"), "{:?}", cloud.failures());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_cut_after_sixteen_unless_allowed() {
    let (cloud, notes) = (start(|_| ()).await, Notes::new());
    cloud.invoke_event(notes.event(json!({ "do": "chain", "left": 40 }))).unwrap();
    idle(&cloud).await;
    assert_eq!((notes.runs().len(), cloud.counts().recursions), (16, 1));
    let failures = cloud.failures();
    assert_eq!((failures.len(), failures[0].condition.as_str()), (1, "RecursiveInvocationException"));

    let (cloud, notes) = (start(|options| options.recursion_allowed = true).await, Notes::new());
    cloud.invoke_event(notes.event(json!({ "do": "chain", "left": 40 }))).unwrap();
    idle(&cloud).await;
    assert_eq!((notes.runs().len(), cloud.counts().recursions, cloud.failures().len()), (41, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_do_what_they_say() {
    let faulty = async |faults: Faults| start(|options| options.faults = faults).await;
    let none = Faults::default();

    let (cloud, notes) = (faulty(Faults { duplicate: 1.0, ..none.clone() }).await, Notes::new());
    cloud.invoke_event(notes.event(json!({}))).unwrap();
    idle(&cloud).await;
    let runs = notes.runs();
    assert_eq!((runs.len(), cloud.counts().duplicates), (2, 1));
    assert_eq!(runs[0].1, runs[1].1);

    let cloud = faulty(Faults { drop: 1.0, ..none.clone() }).await;
    assert_eq!(invoke(&cloud, "Event", "{}").await.status, 202);
    idle(&cloud).await;
    assert_eq!((cloud.counts().dropped, cloud.counts().invocations), (1, 0));

    let cloud = faulty(Faults { throttle: 1.0, ..none.clone() }).await;
    assert_eq!(invoke(&cloud, "Event", "{}").await.status, 429);
    cloud.set_faults(none.clone()).unwrap();
    assert_eq!(invoke(&cloud, "Event", "{}").await.status, 202);

    let cloud = faulty(Faults { lose_reply: 1.0, ..none.clone() }).await;
    assert_eq!(invoke(&cloud, "Event", "{}").await.status, 500);
    idle(&cloud).await;
    assert_eq!(cloud.counts().invocations, 1);

    let cloud = faulty(Faults { recycle: 1.0, ..none.clone() }).await;
    for _ in 0..3 {
        assert_eq!(invoke(&cloud, "RequestResponse", "{}").await.status, 200);
        eventually("the process is recycled", || cloud.counts().live == 0);
    }
    assert_eq!(cloud.counts().cold_starts, 3);

    let cloud = faulty(Faults { kill: 1.0, kill_ms: 50, ..none }).await;
    cloud.invoke_event(r#"{"do": "sleep", "ms": 2000}"#).unwrap();
    idle(&cloud).await;
    assert_eq!((cloud.counts().crashes, cloud.failures().len()), (3, 1));
    let kills = cloud.status().kills;
    assert!(kills.iter().all(|kill| kill.request_payload.contains("2000") && kill.at_ms >= kill.started_ms));
    assert_eq!(kills.len(), 3);
    assert!(cloud.failures()[0].response_payload.contains("signal: killed"), "{:?}", cloud.failures());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_stopped_past_its_time_limit_goes_on_where_it_was() {
    let cloud = start(|options| {
        options.time_limit = Duration::from_millis(500);
        options.retry_waits.clear();
        // With seed 0 this is after 227 ms, and for 695 ms past the limit.
        options.faults = Faults { freeze: 1.0, freeze_ms: 400, thaw_ms: 2_000, ..Faults::default() };
    })
    .await;
    let notes = Notes::new();
    cloud.invoke_event(notes.event(json!({ "do": "sleep then note", "ms": 400 }))).unwrap();
    idle(&cloud).await;
    // The event is given up, and only then does its process reach its second line.
    assert_eq!((cloud.counts().frozen, cloud.counts().timeouts, cloud.failures().len()), (1, 1, 1));
    assert_eq!(notes.runs().len(), 1);
    eventually("it goes on", || notes.runs().len() == 2);
    eventually("it is ended when it asks for more", || cloud.counts().live == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_can_fail_and_comes_back() {
    let cloud = start(|options| options.tables = vec!["progress".into()]).await;
    let call = async || {
        let headers = vec![("x-amz-target", "DynamoDB_20120810.GetItem")];
        let body = br#"{"TableName": "progress", "Key": {"pk": {"S": "a"}, "sk": {"S": "b"}}}"#;
        send(&cloud, "POST", "/", headers, body.to_vec()).await
    };
    assert_eq!((call().await.status, call().await.body), (200, "{}".into()));
    cloud.set_faults(Faults { table: local_cloud::TableFault::Fail, ..Faults::default() }).unwrap();
    let failed = call().await;
    assert_eq!(failed.status, 500);
    assert!(failed.json()["__type"].as_str().unwrap().ends_with("#InternalServerError"));
    cloud.set_faults(Faults { table: local_cloud::TableFault::Hang, ..Faults::default() }).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), call()).await.is_err());
    let nowhere = Faults { table: local_cloud::TableFault::Unreachable, ..Faults::default() };
    cloud.set_faults(nowhere).unwrap();
    let told = invoke(&cloud, "RequestResponse", r#"{"do": "environment"}"#).await.json();
    let address = told["environment"]["AWS_ENDPOINT_URL_DYNAMODB"].as_str().unwrap().to_owned();
    let refused = std::net::TcpStream::connect(address.trim_start_matches("http://")).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{address}");
    cloud.set_faults(Faults::default()).unwrap();
    assert_eq!(call().await.status, 200);
}
