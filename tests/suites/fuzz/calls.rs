//! Calls of the local cloud: DynamoDB's, and Invoke.

use local_cloud::readers::{Tables, invoke};
use serde_json::{Value, json};
use std::path::Path;

/// The words of expressions and items.
pub(crate) const TOKENS: &[&[u8]] = &[
    b"(",
    b")",
    b"((((((((((((((((",
    b" NOT NOT NOT ",
    b" AND ",
    b" OR a = :n",
    b" BETWEEN :n AND :n",
    b"<>",
    b"#n",
    b":n",
    b"attribute_exists(a)",
    b"begins_with(sk, :s)",
    b"if_not_exists(a, ",
    b"SET a = ",
    b"ADD a :n",
    b"REMOVE a",
    b"a.b[0]",
    b"{\"L\":[",
    b"{\"M\":{\"a\":",
    b"{\"NS\":[\"1\",\"1.0\"]}",
    b"{\"N\":\"1e125\"}",
    b"{\"N\":\"-99999999999999999999999999999999999999\"}",
    b"{\"N\":\"1e-130\"}",
    b"{\"S\":\"\"}",
    b"\"Limit\":0,",
    b"\\ud800",
    b"\xff",
];

/// The parts of an Invoke's head, and possible bodies.
pub(crate) const INVOKE_TOKENS: &[&[u8]] = &[
    b"\n",
    b"function:",
    b":",
    b"Event",
    b"DryRun",
    b"Root=",
    b"Lineage=",
    b";",
    b"|",
    b"4294967295",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":",
    b"\xff",
];

fn call(target: &str, mut body: Value) -> Vec<u8> {
    body["TableName"] = json!("t");
    format!("DynamoDB_20120810.{target}\n{body}").into_bytes()
}

fn key() -> Value {
    json!({"pk": {"S": "run"}, "sk": {"S": "w#1"}})
}

fn item() -> Value {
    json!({
        "pk": {"S": "run"}, "sk": {"S": "w#1"}, "n": {"N": "-1.50"}, "s": {"SS": ["a", "b"]},
        "o": {"BOOL": true},
        "deep": {"M": {"list": {"L": [{"NS": ["1", "2e3"]}, {"NULL": true}]}}},
    })
}

pub(crate) fn calls() -> Vec<Vec<u8>> {
    vec![
        call("GetItem", json!({"Key": key(), "ConsistentRead": true})),
        call(
            "PutItem",
            json!({"Item": item(), "ConditionExpression": "attribute_not_exists(absent) OR NOT (n < :n)",
            "ExpressionAttributeValues": {":n": {"N": "2"}}, "ReturnValues": "ALL_OLD"}),
        ),
        call(
            "UpdateItem",
            json!({"Key": key(), "UpdateExpression": "SET #n = if_not_exists(#n, :n) + :n, a = n REMOVE o",
            "ConditionExpression": "n BETWEEN :l AND :n AND begins_with(sk, :s)", "ReturnValues": "ALL_NEW",
            "ExpressionAttributeNames": {"#n": "n"},
            "ExpressionAttributeValues": {":l": {"N": "-2"}, ":n": {"N": "2"}, ":s": {"S": "w#"}}}),
        ),
        call(
            "UpdateItem",
            json!({"Key": key(), "UpdateExpression": "ADD n :n, s :s",
            "ExpressionAttributeValues": {":n": {"N": "1e3"}, ":s": {"SS": ["c"]}}}),
        ),
        call("DeleteItem", json!({"Key": key(), "ReturnValues": "ALL_OLD"})),
        call(
            "Query",
            json!({"KeyConditionExpression": "pk = :s AND sk > :w", "FilterExpression": "n <> :n", "Limit": 3,
            "ExpressionAttributeValues": {":s": {"S": "run"}, ":w": {"S": "a"}, ":n": {"N": "2"}},
            "ScanIndexForward": false, "ExclusiveStartKey": {"pk": {"S": "run"}, "sk": {"S": "x"}}}),
        ),
        call("DescribeTable", json!({})),
    ]
}

/// Carries out a call on a table with an item. Whatever the call is, the table's content must be readable
/// afterwards.
pub(crate) fn read_call(_: &Path, input: &[u8]) -> bool {
    let tables = Tables::with(&["t".to_owned()]);
    let put = json!({"TableName": "t", "Item": item()}).to_string();
    tables.call("PutItem", put.as_bytes()).expect("a sound item");
    let (target, body) = split(input);
    let answer = tables.call(target, body);
    let (Ok(text) | Err(text)) = &answer;
    serde_json::from_str::<Value>(text).expect("an answer of JSON");
    let all = json!({"TableName": "t", "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": {":p": {"S": "run"}}});
    let all = tables.call("Query", all.to_string().as_bytes()).expect("the table can be read");
    serde_json::from_str::<Value>(&all).expect("items of JSON");
    answer.is_ok()
}

pub(crate) fn invokes() -> Vec<Vec<u8>> {
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:baton:$LATEST";
    let trace = "Root=1-65f0a1b2-0123456789abcdef01234567;Parent=0123456789abcdef;\
        Sampled=0;Lineage=8b1a2f3c:3|00000000:1";
    vec![
        b"baton\n\n\n{}".to_vec(),
        format!("baton\nEvent\n{trace}\n{{\"start\": true, \"workers\": 5}}").into_bytes(),
        format!("{arn}\nRequestResponse\n{trace}\n[1, {{\"a\": \"\\u00e4\"}}, null]").into_bytes(),
        b"baton\nDryRun\nLineage=\n\"text\"".to_vec(),
    ]
}

/// Reads an Invoke: its function, kind and trace, each in a line of its own, then its body.
pub(crate) fn read_invoke(_: &Path, input: &[u8]) -> bool {
    let (name, rest) = split(input);
    let (kind, rest) = split(rest);
    let (trace, body) = split(rest);
    let some = |text| Some(text).filter(|text: &&str| !text.is_empty());
    invoke(name, some(kind), some(trace), body).is_ok()
}

/// The first line, if it is text, and the rest.
fn split(input: &[u8]) -> (&str, &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    (std::str::from_utf8(&input[..at]).unwrap_or_default(), input.get(at + 1..).unwrap_or_default())
}
