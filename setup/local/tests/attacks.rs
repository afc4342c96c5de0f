//! Attacks of another user, a web page or a neighbour's program on the listeners of a local cloud.

mod support;

use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use local_cloud::{Address, LocalCloud};
use serde_json::json;
use support::{
    Notes, TOKEN, eventually,
    http::{Response, request},
    idle, invoke, send, start,
};

/// Not a test by itself: the local cloud starts this binary at this place as its function.
#[test]
fn scripted_function() {
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        support::function::serve();
    }
}

/// Sends a request that has only these parts and a Host.
async fn raw(
    endpoint: &str,
    method: &'static str,
    path: &str,
    headers: &[(&'static str, String)],
) -> Response {
    let (endpoint, path, headers) = (endpoint.to_owned(), path.to_owned(), headers.to_vec());
    let sent = tokio::task::spawn_blocking(move || {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        request(&endpoint, method, &path, &headers, b"{}")
    });
    sent.await.unwrap().unwrap()
}

/// Sends bytes unchanged and returns the answer up to the closing of the connection.
async fn bytes(endpoint: &str, sent: Vec<u8>) -> Vec<u8> {
    let host = endpoint.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let talk = move || {
        let mut stream = TcpStream::connect(host).unwrap();
        stream.write_all(&sent).unwrap();
        let mut answer = Vec::new();
        // A reset connection counts as closed.
        let _ = stream.read_to_end(&mut answer);
        answer
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

/// The Runtime API of a process that has an event and keeps it, and the event's request id.
async fn runtime_api(cloud: &LocalCloud) -> (String, String) {
    let told = invoke(cloud, "RequestResponse", r#"{"do": "environment"}"#).await.json();
    cloud.invoke_event(r#"{"do": "sleep", "ms": 3000}"#).unwrap();
    eventually("the process works", || cloud.status().processes.iter().any(|one| one.request_id.is_some()));
    let id = cloud.status().processes.iter().find_map(|process| process.request_id.clone()).unwrap();
    (told["environment"]["AWS_LAMBDA_RUNTIME_API"].as_str().unwrap().to_owned(), id)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nothing_is_served() {
    let cloud = start(|options| options.tables = vec!["t".into()]).await;
    let endpoint = cloud.address().endpoint.clone();
    let event = vec![("x-amz-invocation-type", "Event".to_owned())];
    for token in [None, Some("local"), Some(""), Some(&cloud.address().token.text()[1..])] {
        for (method, path) in [
            ("POST", "/2015-03-31/functions/baton/invocations"),
            ("POST", "/"),
            ("GET", "/_baton/status"),
            ("GET", "/x"),
        ] {
            let mut headers = event.clone();
            headers.extend(token.map(|token| (TOKEN, token.to_owned())));
            let answer = raw(&endpoint, method, path, &headers).await;
            assert_eq!(answer.status, 403, "{path} with {token:?}");
            assert_eq!(answer.header("x-amzn-errortype"), Some("UnrecognizedClientException"), "{path}");
        }
    }
    assert_eq!(cloud.counts().accepted, 0);
    assert_eq!(invoke(&cloud, "Event", "{}").await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_is_refused_even_with_the_token() {
    let cloud = start(|_| ()).await;
    let page = [
        ("origin", "https://example.com"),
        ("origin", "null"),
        ("host", "example.com:80"),
        ("host", "127.0.0.1.example.com"),
        ("host", ""),
    ];
    for header in page {
        let answer = send(&cloud, "GET", "/_baton/status", vec![header], vec![]).await;
        assert_eq!(answer.status, 403, "{header:?}");
    }
    for header in [("host", "localhost:1"), ("host", "[::1]:1"), ("host", "127.0.0.1")] {
        let answer = send(&cloud, "GET", "/_baton/status", vec![header], vec![]).await;
        assert_eq!(answer.status, 200, "{header:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_host_or_in_http_2_is_refused() {
    let cloud = start(|_| ()).await;
    let (runtime, _) = runtime_api(&cloud).await;
    let (endpoint, token) = (cloud.address().endpoint.clone(), cloud.address().token.text());
    let secret = runtime.rsplit_once('/').unwrap().1;
    for (endpoint, path) in [
        (&endpoint, "/_baton/status".to_owned()),
        (&runtime, format!("/{secret}/2018-06-01/runtime/invocation/next")),
    ] {
        for version in ["1.0", "1.1"] {
            let head = format!("GET {path} HTTP/{version}\r\n{TOKEN}: {token}\r\nconnection: close\r\n\r\n");
            let answer = bytes(endpoint, head.into_bytes()).await;
            assert!(
                answer.starts_with(format!("HTTP/{version} 403").as_bytes()),
                "{}",
                answer.escape_ascii()
            );
        }
        // HTTP/2 by prior knowledge: the preface, empty SETTINGS, and nothing more. Its answer would be a
        // frame.
        let answer = bytes(endpoint, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", answer.escape_ascii());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_takes_or_answers_the_events_of_a_process() {
    let cloud = start(|_| ()).await;
    let (runtime, id) = runtime_api(&cloud).await;
    let (place, secret) = runtime.rsplit_once('/').unwrap();
    let end = |end: &str| format!("/2018-06-01/runtime/invocation/{id}/{end}");
    let paths = [end("response"), end("error"), "/2018-06-01/runtime/init/error".into()];
    for wrong in ["", "/x", &format!("/{}", cloud.address().token.text())] {
        for path in &paths {
            let answer = raw(&format!("{place}{wrong}"), "POST", path, &[]).await;
            assert_eq!(answer.status, 403, "{wrong}{path}");
        }
        let next = raw(&format!("{place}{wrong}"), "GET", "/2018-06-01/runtime/invocation/next", &[]).await;
        assert_eq!(next.status, 403);
    }
    let page =
        raw(&format!("{place}/{secret}"), "POST", &end("response"), &[("origin", "http://localhost".into())])
            .await;
    assert_eq!(page.status, 403);
    idle(&cloud).await;
    assert_eq!((cloud.counts().errors, cloud.counts().crashes, cloud.failures().len()), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_is_taken_beyond_six_megabytes() {
    let cloud = start(|options| options.retry_waits.clear()).await;
    let (runtime, id) = runtime_api(&cloud).await;
    let large = vec![b' '; 64 << 20];
    let path = format!("/2018-06-01/runtime/invocation/{id}/response");
    let (place, body) = (runtime.clone(), large.clone());
    let answer =
        tokio::task::spawn_blocking(move || request(&place, "POST", &path, &[], &body)).await.unwrap();
    // A server that refuses a body may close before its client reads the answer.
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 413));
    idle(&cloud).await;
    assert!(cloud.failures()[0].response_payload.contains("ResponseSizeTooLarge"), "{:?}", cloud.failures());
    for path in ["/2015-03-31/functions/baton/invocations", "/"] {
        let Address { endpoint, token } = cloud.address().clone();
        let body = large.clone();
        let sent = move || request(&endpoint, "POST", path, &[(TOKEN, token.text())], &body);
        let answer = tokio::task::spawn_blocking(sent).await.unwrap();
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 413), "{path}");
    }
    assert_eq!(invoke(&cloud, "RequestResponse", "{}").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_show_the_token_in_time_is_shut_out_and_blocks_nobody() {
    let cloud = start(|options| options.concurrency = 1).await;
    let (runtime, _) = runtime_api(&cloud).await;
    idle(&cloud).await;
    let hosts = [cloud.address().endpoint.clone(), runtime];
    let begun = Instant::now();
    let mut halves: Vec<TcpStream> = Vec::new();
    for endpoint in &hosts {
        let host = endpoint.trim_start_matches("http://").split('/').next().unwrap();
        for _ in 0..100 {
            let mut half = TcpStream::connect(host).unwrap();
            half.write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\n").unwrap();
            half.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
            halves.push(half);
        }
    }
    // More than the listeners accept at a time.
    let answered = tokio::time::timeout(Duration::from_secs(60), invoke(&cloud, "RequestResponse", "{}"));
    assert_eq!(answered.await.expect("an answer").status, 200);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let closed = tokio::task::spawn_blocking(move || {
        halves.iter_mut().all(|half| matches!(half.read(&mut [0; 64]), Ok(0) | Err(_)))
    });
    assert!(closed.await.unwrap());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_given_up() {
    let cloud = start(|_| ()).await;
    let token = cloud.address().token.text().to_owned();
    let head = format!(
        "POST /2015-03-31/functions/baton/invocations HTTP/1.1\r\nhost: localhost\r\n{TOKEN}: {token}\r\n\
         content-length: 100\r\n\r\n{{"
    );
    let begun = Instant::now();
    let answer = bytes(&cloud.address().endpoint.clone(), head.into_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", answer.escape_ascii());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_brackets_are_refused_in_words() {
    let cloud = start(|options| options.tables = vec!["t".into()]).await;
    let (open, close) = ("(".repeat(3_000), ")".repeat(3_000));
    let key = json!({"pk": {"S": "a"}, "sk": {"S": "b"}});
    let value = json!({":v": {"N": "1"}});
    let call = async |target: &'static str, body: String| {
        send(&cloud, "POST", "/", vec![("x-amz-target", target)], body.into_bytes()).await
    };
    let condition = |text: String| {
        json!({"TableName": "t", "Key": key, "UpdateExpression": "SET a = :v", "ConditionExpression": text,
            "ExpressionAttributeValues": value})
        .to_string()
    };
    let update = |text: String| {
        json!({"TableName": "t", "Key": key, "UpdateExpression": text, "ExpressionAttributeValues": value})
            .to_string()
    };
    let (update_item, put_item) = ("DynamoDB_20120810.UpdateItem", "DynamoDB_20120810.PutItem");
    let nested = format!("{}:v{}", "if_not_exists(a,".repeat(3_000), ")".repeat(3_000));
    let list = |deep: usize| {
        let item = format!("{}{}{}", r#"{"L":["#.repeat(deep), r#"{"N":"1"}"#, "]}".repeat(deep));
        format!(r#"{{"TableName":"t","Item":{{"pk":{{"S":"a"}},"sk":{{"S":"b"}},"deep":{item}}}}}"#)
    };
    for (target, body) in [
        (update_item, condition(format!("{open}a = :v{close}"))),
        (update_item, condition(format!("{}a = :v", "NOT ".repeat(3_000)))),
        (update_item, condition(format!("{}a = :v", "NOT ".repeat(900)))),
        (update_item, condition(format!("a = :v{}", " OR a = :v".repeat(3_000)))),
        (update_item, condition(format!("a = :v{}", " OR a=:v".repeat(400)))),
        (update_item, update(format!("SET a = {nested}"))),
        (put_item, list(3_000)),
        (put_item, list(33)),
        (put_item, format!("{open}{close}").replace('(', "[").replace(')', "]")),
    ] {
        let answer = call(target, body.clone()).await;
        assert_eq!(answer.status, 400, "{}", &body[..200]);
        assert!(answer.json()["message"].as_str().unwrap().len() < 300, "{}", answer.body);
    }
    let brackets = format!("{}{}", "[".repeat(3_000), "]".repeat(3_000));
    assert_eq!(invoke(&cloud, "Event", brackets).await.status, 400);
    // Whatever DynamoDB accepts is accepted.
    let deep = format!("{}a <> :v{}", "(".repeat(32), ")".repeat(32));
    assert_eq!(call(put_item, list(31)).await.status, 200);
    assert_eq!(call(update_item, condition(deep)).await.status, 200);
    let notes = Notes::new();
    assert_eq!(invoke(&cloud, "RequestResponse", notes.event(json!({}))).await.status, 200);
}
