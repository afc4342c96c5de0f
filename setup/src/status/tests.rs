//! The pages as text, and the server's answers.

use super::looking::{Looked, Runs};
use super::*;
use crate::told::tests::course;
use crate::view::View;
use protocol::items::{
    Cell, DayItem, JobItem, RunItem, Sample, Samples, Shown, StageItem, Table, WorkerItem,
};
use protocol::{Course, Score};
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const START: u64 = 1_795_000_000_000;
const HOSTILE: &str = "<script>alert('\"1\"')</script>&amp;";

/// A matrix of two classes, and two samples.
fn shown(cat: &str) -> Shown {
    let text = |text: &str| Cell::Text(text.into());
    let row =
        |name, right, [a, b]: [u64; 2]| vec![text(name), Cell::Count(a), Cell::Count(b), Cell::Number(right)];
    let table = Table {
        title: format!("What is taken for {cat}"),
        note: format!("Images of {cat}."),
        columns: ["true", cat, "dog", "right"].map(str::to_owned).into(),
        rows: vec![row(cat, 0.9, [9, 1]), row("dog", 1.0, [0, 8])],
        matrix: true,
    };
    let right = Sample { caption: "dog 75 %".into(), truth: None, image: Some(4) };
    let wrong = Sample { caption: "dog 88 %".into(), truth: Some(format!("is {cat}")), image: Some(17) };
    let groups = vec![("Evenly spread".into(), vec![right]), (format!("Mistakes with {cat}"), vec![wrong])];
    let (title, note) = (format!("Samples of {cat}"), format!("Not all are {cat}."));
    let images_of = Some(("cifar10".into(), "val".into()));
    Shown { tables: vec![table], samples: vec![Samples { title, note, images_of, groups }] }
}

/// A score in the form of an item.
pub(super) fn score(top1: f64, loss: f64) -> String {
    serde_json::to_string(&Score { values: vec![top1, loss, 0.99], of: 500 }).unwrap()
}

/// A run that has done `rounds` rounds of 10 s.
pub(super) fn view(workers: u32, rounds: u32) -> View {
    let bars: Vec<&str> = (0..workers).map(|_| "1+800").collect();
    let stage = |number: u32| StageItem {
        began_ms: START + u64::from(number) * 10_000,
        ended_ms: Some(START + u64::from(number) * 10_000 + 9_000),
        score: match number {
            0 => String::new(),
            _ => score(1.0 - 1.0 / f64::from(number + 1), 1.0 / f64::from(number)),
        },
        resent: 0,
        share: 1,
        bars: format!("{}/850+40", bars.join("|")),
    };
    let report = |worker: u32| WorkerItem {
        stage: rounds,
        done: u64::from(worker),
        of: 100,
        units_per_second: 12.5,
        at_ms: START + 60_000,
        ..WorkerItem::default()
    };
    let state = RunItem {
        status: "running".into(),
        title: "vgg19 on cifar10".into(),
        stage: rounds,
        rounds_done: rounds.saturating_sub(1),
        course: serde_json::to_string(&course(&["train"], rounds)).unwrap(),
        workers,
        started_ms: START,
        at_ms: START + 100_000,
        dollars: 0.5,
        dollars_limit: 5.0,
        sent: 10,
        sent_limit: 20_000,
        hours_limit: 24.0,
        best_stage: Some(rounds),
        best_value: Some(0.75),
        ..RunItem::default()
    };
    View {
        stages: (0..=rounds).map(|number| (number, stage(number))).collect(),
        reports: (0..workers).map(|worker| (worker, report(worker))).collect(),
        job: Some(JobItem { job: r#"{"network": "vgg19", "dataset": "cifar10"}"#.into() }),
        shown: Some(shown("cat")),
        pictures: [((0, 17), "data:image/png;base64,AAAA".to_owned())].into(),
        ..View::new("my-run", state)
    }
}

fn seen<T>(seen: T) -> Looked<T> {
    let mut looked = Looked::default();
    looked.take(Ok(Some(seen)), START);
    looked
}

fn page(view: View) -> String {
    page::run("my-run", &seen(view), None, Form::Live)
}

#[test]
fn a_runs_page_says_how_it_stands() {
    let text = page(view(3, 20));
    for expected in [
        "20 of 20",
        "0.7500",
        "in round 20",
        "0.5000",
        "limit 5.00",
        "limit 20,000",
        "worker 2, features: 8.0 s, done",
        "<img src=\"data:image/png;base64,AAAA\" alt=\"image 17\">",
        "<span class=\"said false\">dog 88 %</span><span>is cat</span><span class=\"number\">17</span>",
        "<h2 id=\"table-0-title\">What is taken for cat</h2>",
        "<td class=\"n none\">·</td>",
        "<td class=\"n\">1.000</td>",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    assert_eq!(text.matches("<svg class=\"plot\"").count(), 2);
    assert!(
        text.contains("Loss") && text.contains(">cat</th>") && text.contains("class=\"n right5\">9</td>")
    );
}

#[test]
fn a_run_that_sums_in_slices_is_told_in_rounds() {
    let mut sliced = view(2, 6);
    sliced.course = course(&["train", "sums"], 40);
    for number in [1, 3, 5] {
        sliced.stages.get_mut(&number).unwrap().score.clear();
    }
    assert_eq!(sliced.scores().map(|(round, _)| round).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(sliced.rounds_left_ms(), Some((40 * 2 + 1 - 6) * sliced.round_ms(2) / 2));
    let round_2 = format!("Round 2 in {}: ", super::words::lasting(sliced.round_ms(2)));
    let text = page(sliced);
    for expected in [
        "3 of 40",
        "its sums: ",
        "in round 3",
        "worker 1, sums of round 3: ",
        "Round 2 took 9.0 s.",
        &round_2,
    ] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
}

#[test]
fn whatever_a_table_says_is_shown_as_text() {
    let mut hostile = view(2, 3);
    hostile.state.status = format!("failed: {HOSTILE}");
    hostile.state.ended = true;
    hostile.state.model = Some(HOSTILE.into());
    hostile.course = Course {
        title: HOSTILE.into(),
        before: vec![HOSTILE.into()],
        round: vec![HOSTILE.into()],
        called: HOSTILE.into(),
        unit: HOSTILE.into(),
        ..hostile.course
    };
    hostile.course.measures.iter_mut().for_each(|measure| measure.name = HOSTILE.into());
    hostile.job = Some(JobItem { job: serde_json::json!({"weights": HOSTILE}).to_string() });
    hostile.shown = Some(shown(HOSTILE));
    hostile.stages.get_mut(&1).unwrap().bars = HOSTILE.into();
    let mut looked = seen(hostile);
    looked.take(Err(HOSTILE.into()), START);
    for form in [Form::Live, Form::File { at_ms: START }] {
        let text = page::run(HOSTILE, &looked, None, form);
        let own = text.matches("<script").count();
        assert_eq!(own, usize::from(form == Form::Live), "{text}");
        assert!(
            !text.contains("alert('\"")
                && text.contains("&lt;script&gt;alert('&quot;1&quot;')&lt;/script&gt;&amp;amp;"),
            "{text}"
        );
    }
    let runs =
        BTreeMap::from([(HOSTILE.to_owned(), view(1, 1).state), ("fine".to_owned(), view(1, 1).state)]);
    let text = page::list(&seen(Runs { runs, day: None }), HOSTILE);
    assert!(!text.contains("<script>") && text.contains("&lt;script&gt;"), "{text}");
    assert!(text.contains("href=\"run/fine\"") && text.matches("href=\"run/").count() == 1, "{text}");
}

#[test]
fn pages_hold_no_style_or_script_of_their_own() {
    let text = page(view(3, 20));
    assert!(!text.contains(" style=") && !text.contains("<style") && !text.contains(" onclick"), "{text}");
    let file = page::run("my-run", &seen(view(3, 20)), None, Form::File { at_ms: START });
    assert!(
        !file.contains("<script") && !file.contains("<link rel=\"stylesheet\"") && !file.contains("http://")
    );
    let nonce = file.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(file.contains(&format!("style-src 'nonce-{nonce}'")), "the style of a file is its own");
}

#[test]
fn a_wide_and_long_run_gives_a_page_of_bounded_size() {
    let text = page(view(64, 200));
    let elements = text.matches('<').count() / 2;
    assert!(text.len() < 600_000 && elements < 12_000, "{} bytes, {elements} elements", text.len());
    assert!(text.contains("← earlier") && text.contains("The whole run"));
    let earlier = page::run("my-run", &seen(view(64, 200)), Some(20), Form::Live);
    assert!(earlier.contains("later →") && earlier.contains(">round 20</text>"));
    let wide = page(view(1_000, 5));
    assert!(wide.len() < 900_000 && wide.contains("and 900 more workers"), "{} bytes", wide.len());
}

#[test]
fn the_operators_ceiling_is_shown_beside_the_runs() {
    let day =
        DayItem { day: HOSTILE.into(), dollars: 12.5, dollars_limit: 50.0, active: 2, ..DayItem::default() };
    let runs = BTreeMap::from([("fine".to_owned(), view(1, 1).state)]);
    let text = page::list(&seen(Runs { runs, day: Some(day) }), "t");
    assert!(
        text.contains("12.5000") && text.contains("limit 50.00") && text.contains("active runs"),
        "{text}"
    );
    assert!(!text.contains("<script>"), "{text}");
}

#[test]
fn what_is_not_there_is_said() {
    let nothing = page::list(&seen(Runs::default()), "my-table");
    assert!(nothing.contains("has no run yet") && nothing.contains("my-table"), "{nothing}");
    let mut looked = Looked::<View>::default();
    looked.take(Ok(None), START);
    assert!(page::run("a", &looked, None, Form::Live).contains("There is no such run yet"));
    looked.take(Err("connection refused".into()), START + 3_000);
    looked.take(Err("connection refused".into()), START + 9_000);
    let down = page::run("a", &looked, None, Form::Live);
    let since = words::clock(START + 3_000);
    assert!(
        down.contains(&format!("has not answered since {since} UTC")) && down.contains("connection refused"),
        "{down}"
    );
    let mut kept = seen(view(2, 3));
    kept.take(Err("gone".into()), START + 3_000);
    let text = page::run("my-run", &kept, None, Form::Live);
    assert!(text.contains("What you see was read at") && text.contains("Time line"), "{text}");
}

/// Sends a request to the server on a folder without runs; returns the answer's head and body.
async fn ask(host: &str, request: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let looking = Looking::new(Some(folder.path().to_owned()), "baton".into());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let door = door().unwrap();
    let request = request.replace("TOKEN", door.token.text());
    let server = tokio::spawn(door.serve(listener, router(Arc::new(looking), address.port())));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let host = host.replace("PORT", &address.port().to_string());
    let request = format!("{request}\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    server.abort();
    answer
}

#[tokio::test]
async fn only_who_asks_for_this_machine_is_answered() {
    for host in ["127.0.0.1:PORT", "localhost:PORT", "[::1]:PORT"] {
        let answer = ask(host, "GET /TOKEN/ HTTP/1.1").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("has no run yet"), "{host}: {answer}");
        assert!(answer.contains(&format!("content-security-policy: {POLICY}")), "{answer}");
        assert!(!POLICY.contains("unsafe") && answer.contains("x-content-type-options: nosniff"), "{answer}");
    }
    for host in ["example.org:PORT", "127.0.0.1:1", "localhost", "127.0.0.1.example.org:PORT", ""] {
        let answer = ask(host, "GET /TOKEN/ HTTP/1.1").await;
        let refused = answer.starts_with("HTTP/1.1 421") || answer.starts_with("HTTP/1.1 403");
        assert!(refused && !answer.contains("Runs"), "{host}: {answer}");
    }
    // Another user of this machine, who does not know the token, and HTTP/2, which has no Host.
    for path in ["/", "/run/a", "/x/", "/x/run/a", "/style.css"] {
        let answer = ask("localhost:PORT", &format!("GET {path} HTTP/1.1")).await;
        assert!(answer.starts_with("HTTP/1.1 403") && !answer.contains("Runs"), "{path}: {answer}");
    }
    let answer = ask("localhost:PORT", "PRI * HTTP/2.0\r\n\r\nSM\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert!(
        ask("localhost:PORT", "POST /TOKEN/ HTTP/1.1\r\nContent-Length: 0").await.starts_with("HTTP/1.1 405")
    );
    assert!(ask("localhost:PORT", "GET /TOKEN/run/..%2Fx HTTP/1.1").await.starts_with("HTTP/1.1 404"));
    assert!(ask("localhost:PORT", "GET /TOKEN/run/a?until=x HTTP/1.1").await.starts_with("HTTP/1.1 400"));
    assert!(ask("localhost:PORT", "GET /TOKEN/run/a HTTP/1.1").await.contains("There is no such run yet"));
}

#[tokio::test]
async fn who_has_a_page_is_not_sent_it_again() {
    let first = ask("localhost:PORT", "GET /TOKEN/style.css HTTP/1.1").await;
    let tag = first.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    let again =
        ask("localhost:PORT", &format!("GET /TOKEN/style.css HTTP/1.1\r\nIf-None-Match: {tag}")).await;
    assert!(again.starts_with("HTTP/1.1 304") && !again.contains("color"), "{again}");
}
