//! The calls, as their JSON goes over the wire.

use serde_json::{Value, json};

use super::{Refusal, Tables};

fn tables() -> Tables {
    Tables::with(&["t".into()])
}

fn call(tables: &Tables, operation: &str, mut body: Value) -> Result<Value, Refusal> {
    body["TableName"] = json!("t");
    tables.call(&format!("DynamoDB_20120810.{operation}"), body.to_string().as_bytes())
}

fn ok(tables: &Tables, operation: &str, body: Value) -> Value {
    call(tables, operation, body).unwrap_or_else(|refusal| panic!("{operation}: {refusal:?}"))
}

fn refused(tables: &Tables, operation: &str, body: Value) -> (&'static str, String) {
    let refusal = call(tables, operation, body).expect_err("the call must be refused");
    (refusal.kind, refusal.message)
}

fn item(pk: &str, sk: &str, n: i64) -> Value {
    json!({ "pk": { "S": pk }, "sk": { "S": sk }, "n": { "N": n.to_string() } })
}

fn key(pk: &str, sk: &str) -> Value {
    json!({ "pk": { "S": pk }, "sk": { "S": sk } })
}

fn get(tables: &Tables, pk: &str, sk: &str) -> Value {
    ok(tables, "GetItem", json!({ "Key": key(pk, sk), "ConsistentRead": true }))["Item"].clone()
}

#[test]
fn an_item_is_put_got_and_deleted() {
    let tables = tables();
    let mut whole = item("a", "1", 7);
    whole["all"] = json!({ "M": { "l": { "L": [{ "BOOL": true }, { "NULL": true }] }, "b": { "B": "AAEC" },
        "ss": { "SS": ["x", "y"] }, "ns": { "NS": ["1", "2.5"] } } });
    assert_eq!(ok(&tables, "PutItem", json!({ "Item": whole })), json!({}));
    assert_eq!(get(&tables, "a", "1"), whole);
    assert_eq!(get(&tables, "a", "2"), Value::Null);
    let old = ok(&tables, "PutItem", json!({ "Item": item("a", "1", 8), "ReturnValues": "ALL_OLD" }));
    assert_eq!(old["Attributes"], whole);
    let old = ok(&tables, "DeleteItem", json!({ "Key": key("a", "1"), "ReturnValues": "ALL_OLD" }));
    assert_eq!(old["Attributes"], item("a", "1", 8));
    assert_eq!(get(&tables, "a", "1"), Value::Null);
    assert_eq!(ok(&tables, "DeleteItem", json!({ "Key": key("a", "1") })), json!({}));
}

#[test]
fn conditions_hold_or_fail_as_written() {
    let tables = tables();
    ok(&tables, "PutItem", json!({ "Item": item("a", "1", 7) }));
    let holds = |condition: &str| {
        let mut body = json!({ "Item": item("a", "1", 7), "ConditionExpression": condition });
        for (name, value) in [(":six", "6"), (":seven", "7"), (":ten", "10")] {
            if condition.contains(name) {
                body["ExpressionAttributeValues"][name] = json!({ "N": value });
            }
        }
        if condition.contains(":one") {
            body["ExpressionAttributeValues"][":one"] = json!({ "S": "1" });
        }
        match call(&tables, "PutItem", body) {
            Ok(_) => true,
            Err(refusal) if refusal.kind == "ConditionalCheckFailedException" => false,
            Err(refusal) => panic!("{condition}: {refusal:?}"),
        }
    };
    for condition in [
        "attribute_exists(pk)",
        "attribute_not_exists(absent)",
        "n = :seven AND n > :six",
        "n<:ten and n>=:seven",
        "n <> :six",
        "absent <> :six",
        "n = :six OR attribute_exists(n)",
        "NOT (n = :six)",
        "NOT n = :six AND n = :seven",
        "n = :seven OR n = :six AND attribute_exists(absent)",
        "n BETWEEN :six AND :ten AND sk = :one",
        "begins_with(sk, :one)",
        ":seven = n",
    ] {
        assert!(holds(condition), "{condition}");
    }
    for condition in [
        "attribute_not_exists(pk)",
        "n < :six",
        "n = :one",
        "n > :one",
        "absent = :six",
        "absent < :six",
        "(n = :seven OR n = :six) AND attribute_exists(absent)",
        "n BETWEEN :seven AND :six",
    ] {
        assert!(!holds(condition), "{condition}");
    }
}

#[test]
fn a_failed_condition_changes_nothing_and_shows_the_item_when_asked() {
    let tables = tables();
    ok(&tables, "PutItem", json!({ "Item": item("a", "1", 7) }));
    for (operation, what) in [("PutItem", "Item"), ("DeleteItem", "Key"), ("UpdateItem", "Key")] {
        let mut body = json!({ "ConditionExpression": "attribute_not_exists(pk)" });
        body[what] = if what == "Item" { item("a", "1", 8) } else { key("a", "1") };
        let refusal = call(&tables, operation, body.clone()).unwrap_err();
        assert_eq!((refusal.kind, refusal.item), ("ConditionalCheckFailedException", None));
        body["ReturnValuesOnConditionCheckFailure"] = json!("ALL_OLD");
        let refusal = call(&tables, operation, body).unwrap_err();
        assert_eq!(refusal.body()["Item"], item("a", "1", 7), "{operation}");
    }
    assert_eq!(get(&tables, "a", "1"), item("a", "1", 7));
}

#[test]
fn updates_set_add_and_remove() {
    let tables = tables();
    let update = |expression: &str, values: Value| {
        let mut body =
            json!({ "Key": key("a", "1"), "UpdateExpression": expression, "ReturnValues": "ALL_NEW" });
        if values != json!({}) {
            body["ExpressionAttributeValues"] = values;
        }
        ok(&tables, "UpdateItem", body)["Attributes"].clone()
    };
    let number = |n: &str| json!({ "N": n });
    assert_eq!(update("ADD n :one", json!({ ":one": number("1") }))["n"], number("1"));
    assert_eq!(update("ADD n :x", json!({ ":x": number("-0.5") }))["n"], number("0.5"));
    let both = update(
        "SET m = if_not_exists(m, :zero) + :two, earlier = n ADD n :two",
        json!({ ":zero": number("0"), ":two": number("2") }),
    );
    assert_eq!((&both["m"], &both["earlier"], &both["n"]), (&number("2"), &number("0.5"), &number("2.5")));
    assert_eq!(update("set m = m - :x", json!({ ":x": number("5") }))["m"], number("-3"));
    let set = update("REMOVE m, earlier, never ADD tags :t", json!({ ":t": { "SS": ["b"] } }));
    assert_eq!((set.get("m"), set.get("earlier"), &set["tags"]), (None, None, &json!({ "SS": ["b"] })));
    assert_eq!(
        update("ADD tags :t", json!({ ":t": { "SS": ["a", "b"] } }))["tags"],
        json!({ "SS": ["a", "b"] })
    );

    let changed = |which: &str| {
        let body = json!({ "Key": key("a", "1"), "UpdateExpression": "SET #s = :x", "ReturnValues": which,
            "ExpressionAttributeNames": { "#s": "status" },
            "ExpressionAttributeValues": { ":x": { "S": which } } });
        ok(&tables, "UpdateItem", body)["Attributes"].clone()
    };
    assert_eq!(changed("UPDATED_NEW"), json!({ "status": { "S": "UPDATED_NEW" } }));
    assert_eq!(changed("UPDATED_OLD"), json!({ "status": { "S": "UPDATED_NEW" } }));
}

#[test]
fn a_query_goes_through_a_partition_in_order_page_by_page() {
    let tables = tables();
    for sk in ["w#2", "w#1", "e#1", "w#3", "z"] {
        ok(&tables, "PutItem", json!({ "Item": item("run", sk, 1) }));
        ok(&tables, "PutItem", json!({ "Item": item("other", sk, 1) }));
    }
    let query = |condition: &str, extra: Value| {
        let mut body = json!({ "KeyConditionExpression": condition,
            "ExpressionAttributeValues": { ":pk": { "S": "run" } } });
        for (name, value) in [(":w", "w#"), (":lo", "w#2"), (":hi", "z")] {
            if condition.contains(name) {
                body["ExpressionAttributeValues"][name] = json!({ "S": value });
            }
        }
        for (name, value) in extra.as_object().unwrap() {
            body[name] = value.clone();
        }
        ok(&tables, "Query", body)
    };
    let keys = |answer: &Value| -> Vec<String> {
        answer["Items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["sk"]["S"].as_str().unwrap().into())
            .collect()
    };
    assert_eq!(keys(&query("pk = :pk", json!({}))), ["e#1", "w#1", "w#2", "w#3", "z"]);
    assert_eq!(keys(&query("pk = :pk AND begins_with(sk, :w)", json!({}))), ["w#1", "w#2", "w#3"]);
    assert_eq!(keys(&query("sk BETWEEN :lo AND :hi AND pk = :pk", json!({}))), ["w#2", "w#3", "z"]);
    assert_eq!(keys(&query("pk = :pk AND sk > :lo", json!({ "ScanIndexForward": false }))), ["z", "w#3"]);
    assert_eq!(query("pk = :pk", json!({ "Select": "COUNT" }))["Count"], 5);
    for forward in [true, false] {
        let (mut seen, mut start) = (Vec::new(), Value::Null);
        loop {
            let mut extra = json!({ "Limit": 2, "ScanIndexForward": forward });
            if !start.is_null() {
                extra["ExclusiveStartKey"] = start.clone();
            }
            let page = query("pk = :pk", extra);
            seen.extend(keys(&page));
            start = page.get("LastEvaluatedKey").cloned().unwrap_or_default();
            if start.is_null() {
                break;
            }
        }
        let mut expected = ["e#1", "w#1", "w#2", "w#3", "z"];
        if !forward {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_page_of_a_query_holds_at_most_a_megabyte() {
    let tables = tables();
    for n in 0..5 {
        let mut large = item("run", &n.to_string(), n);
        large["text"] = json!({ "S": "x".repeat(300 << 10) });
        ok(&tables, "PutItem", json!({ "Item": large }));
    }
    let body = json!({ "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": { ":pk": { "S": "run" } } });
    let page = ok(&tables, "Query", body);
    assert_eq!((&page["Count"], &page["LastEvaluatedKey"]["sk"]["S"]), (&json!(4), &json!("3")));
}

#[test]
fn what_dynamodb_refuses_is_refused_here() {
    let tables = tables();
    let key = key("a", "1");
    let update = |expression: &str, values: Value| {
        let mut body = json!({ "Key": key, "UpdateExpression": expression });
        if values != json!({}) {
            body["ExpressionAttributeValues"] = values;
        }
        refused(&tables, "UpdateItem", body)
    };
    let one = json!({ ":x": { "N": "1" } });
    for (expression, values, says) in [
        ("SET status = :x", one.clone(), "reserved keyword: status"),
        ("SET a = :y", json!({}), "attribute value: :y"),
        (
            "SET a = :x",
            json!({ ":x": { "N": "1" }, ":y": { "N": "1" } }),
            "unused in expressions: keys: {:y}",
        ),
        ("SET #a = :x", one.clone(), "attribute name: #a"),
        ("SET pk = :x", one.clone(), "Cannot update attribute pk"),
        ("SET a = b + :x", one.clone(), "does not exist in the item: b"),
        ("SET a = :x, a = :x", one.clone(), "overlap"),
        ("SET a.b = :x", one.clone(), "nested path"),
        ("SET a :x", one.clone(), "Syntax error"),
        ("SET a = :x !", one.clone(), "Syntax error"),
        ("", json!({}), "can not be empty"),
        ("INCREASE a :x", one.clone(), "INCREASE"),
        ("ADD a :x", json!({ ":x": { "S": "1" } }), "Type mismatch for ADD"),
    ] {
        let (kind, message) = update(expression, values);
        assert_eq!(kind, "ValidationException", "{expression}");
        assert!(message.contains(says), "{expression}: {message}");
    }
    assert_eq!(get(&tables, "a", "1"), Value::Null);

    let validation = |operation, body, says: &str| {
        let (kind, message) = refused(&tables, operation, body);
        assert_eq!(kind, "ValidationException", "{message}");
        assert!(message.contains(says), "{message}");
    };
    validation("PutItem", json!({ "Item": { "pk": { "S": "a" } } }), "sk is missing");
    validation("PutItem", json!({ "Item": { "pk": { "S": "" }, "sk": { "S": "1" } } }), "empty string");
    validation("PutItem", json!({ "Item": { "pk": { "N": "1" }, "sk": { "S": "1" } } }), "type N");
    validation("PutItem", json!({ "Item": item("a", "1", 1), "Expected": {} }), "Expected");
    validation("GetItem", json!({ "Key": { "pk": { "S": "a" } } }), "does not match the schema");
    let mut large = item("a", "1", 1);
    large["text"] = json!({ "S": "x".repeat(401 << 10) });
    validation("PutItem", json!({ "Item": large }), "maximum allowed size");
    let query =
        json!({ "KeyConditionExpression": "sk = :x", "ExpressionAttributeValues": { ":x": { "S": "1" } } });
    validation("Query", query, "missed key schema element");
}

#[test]
fn errors_have_the_names_that_the_sdk_knows() {
    let tables = tables();
    assert_eq!(refused(&tables, "Scan", json!({})).0, "UnknownOperationException");
    assert!(refused(&tables, "Scan", json!({})).1.contains("\"Scan\""));
    let missing =
        tables.call("DynamoDB_20120810.GetItem", br#"{"TableName": "none", "Key": {}}"#).unwrap_err();
    assert_eq!(missing.kind, "ResourceNotFoundException");
    assert_eq!(tables.call("DynamoDB_20120810.GetItem", b"{").unwrap_err().kind, "SerializationException");
}

#[test]
fn a_table_is_created_with_its_own_keys() {
    let tables = tables();
    let create = json!({ "TableName": "u", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
        "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "N" }] });
    let create = create.to_string();
    let call =
        |operation: &str, body: &str| tables.call(&format!("DynamoDB_20120810.{operation}"), body.as_bytes());
    call("CreateTable", &create).unwrap();
    assert_eq!(call("CreateTable", &create).unwrap_err().kind, "ResourceInUseException");
    call("PutItem", r#"{"TableName": "u", "Item": {"id": {"N": "1.0"}}}"#).unwrap();
    let same = call("GetItem", r#"{"TableName": "u", "Key": {"id": {"N": "1"}}}"#).unwrap();
    assert_eq!(same["Item"]["id"]["N"], "1");
    let table = call("DescribeTable", r#"{"TableName": "u"}"#).unwrap()["Table"].clone();
    assert_eq!((&table["TableStatus"], &table["ItemCount"]), (&json!("ACTIVE"), &json!(1)));
}
