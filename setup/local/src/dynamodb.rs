//! The DynamoDB calls that Baton makes, on tables in memory. An unknown call or field is refused by its name.

mod condition;
mod expression;
mod number;
mod query;
mod request;
mod reserved;
mod table;
#[cfg(test)]
mod tests;
mod update;
mod value;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::TableFault;
use condition::Condition;
use expression::Placeholders;
use request::{CreateTable, DescribeTable, Get, KeyRole, Query, ReturnValues, Write};
use table::{KeyPart, Schema, Table};
use update::Update;
use value::Item;

/// Every table by its name.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<BTreeMap<String, Table>>);

/// DynamoDB's error answer to a call.
#[derive(Debug)]
pub(crate) struct Refusal {
    kind: &'static str,
    message: String,
    /// The item that `ReturnValuesOnConditionCheckFailure` asked for.
    item: Option<Item>,
}

impl Refusal {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), item: None }
    }

    fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// The answer's body.
    pub(crate) fn body(&self) -> Value {
        let namespace = match self.kind {
            "UnknownOperationException" | "ValidationException" => "com.amazon.coral.service",
            _ => "com.amazonaws.dynamodb.v20120810",
        };
        let mut body = json!({ "__type": format!("{namespace}#{}", self.kind), "message": self.message });
        if let Some(item) = &self.item {
            body["Item"] = json!(item);
        }
        body
    }
}

/// Answers one call as the service does, or with the fault.
pub(crate) async fn answer(tables: &Tables, fault: TableFault, target: &str, body: &[u8]) -> Response {
    match fault {
        TableFault::None | TableFault::Unreachable => {}
        TableFault::Hang => std::future::pending().await,
        TableFault::Fail => {
            let refusal = Refusal::new("InternalServerError", "the table fails on purpose");
            return respond(StatusCode::INTERNAL_SERVER_ERROR, refusal.body());
        }
    }
    match tables.call(target, body) {
        Ok(answer) => respond(StatusCode::OK, answer),
        Err(refusal) => respond(StatusCode::BAD_REQUEST, refusal.body()),
    }
}

fn respond(status: StatusCode, body: Value) -> Response {
    (status, [("content-type", "application/x-amz-json-1.0")], body.to_string()).into_response()
}

impl Tables {
    /// Tables with the string keys `pk` and `sk`.
    pub(crate) fn with(names: &[String]) -> Self {
        let tables = names.iter().map(|name| (name.clone(), Table::new(Schema::pk_sk(name))));
        Self(Mutex::new(tables.collect()))
    }

    pub(crate) fn call(&self, target: &str, body: &[u8]) -> Result<Value, Refusal> {
        match target.strip_prefix("DynamoDB_20120810.").unwrap_or(target) {
            "GetItem" => self.get(parse(body)?),
            "PutItem" => self.put(parse(body)?),
            "UpdateItem" => self.update(parse(body)?),
            "DeleteItem" => self.delete(parse(body)?),
            "Query" => self.query(parse(body)?),
            "CreateTable" => self.create(parse(body)?),
            "DescribeTable" => {
                let DescribeTable { table_name } = parse(body)?;
                Ok(json!({ "Table": table(&mut self.lock(), &table_name)?.describe() }))
            }
            other => {
                let known = "GetItem, PutItem, UpdateItem, DeleteItem, Query, CreateTable, DescribeTable";
                let message = format!("the local table does not know {other:?}; it knows {known}");
                Err(Refusal::new("UnknownOperationException", message))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Table>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, request: Get) -> Result<Value, Refusal> {
        let mut tables = self.lock();
        let table = table(&mut tables, &request.table_name)?;
        let place = table.schema().place_of_key(&request.key)?;
        Ok(table.get(&place).map_or(json!({}), |item| json!({ "Item": item })))
    }

    fn put(&self, request: Write) -> Result<Value, Refusal> {
        let item = needed(request.item.clone(), "Item")?;
        let mut tables = self.lock();
        let table = table(&mut tables, &request.table_name)?;
        let place = table.schema().place(&item)?;
        let placeholders = request.placeholders();
        request.check(table.get(&place), &placeholders, None)?;
        let old = table.put(item)?;
        request.returned(old.as_ref(), None, None)
    }

    fn delete(&self, request: Write) -> Result<Value, Refusal> {
        let mut tables = self.lock();
        let table = table(&mut tables, &request.table_name)?;
        let place = table.schema().place_of_key(&needed(request.key.clone(), "Key")?)?;
        let placeholders = request.placeholders();
        request.check(table.get(&place), &placeholders, None)?;
        let old = table.delete(&place);
        request.returned(old.as_ref(), None, None)
    }

    fn update(&self, request: Write) -> Result<Value, Refusal> {
        let key = needed(request.key.clone(), "Key")?;
        let mut tables = self.lock();
        let table = table(&mut tables, &request.table_name)?;
        let place = table.schema().place_of_key(&key)?;
        let placeholders = request.placeholders();
        let update = request.update_expression.as_deref().map(|text| Update::read(text, &placeholders));
        let update = update.transpose()?.unwrap_or_default();
        if let Some(name) = update.names().find(|name| table.schema().has(name)) {
            return Err(Refusal::validation(format!(
                "Cannot update attribute {name}. This attribute is part of the key"
            )));
        }
        let old = table.get(&place).cloned();
        request.check(old.as_ref(), &placeholders, Some(&update))?;
        let new = update.apply(old.as_ref().unwrap_or(&key))?;
        table.put(new.clone())?;
        request.returned(old.as_ref(), Some(&new), Some(&update))
    }

    fn query(&self, mut request: Query) -> Result<Value, Refusal> {
        let names = std::mem::take(&mut request.expression_attribute_names);
        let values = std::mem::take(&mut request.expression_attribute_values);
        table(&mut self.lock(), &request.table_name)?.query(&request, &Placeholders::new(names, values))
    }

    fn create(&self, request: CreateTable) -> Result<Value, Refusal> {
        let mut tables = self.lock();
        let name = request.table_name.clone();
        if tables.contains_key(&name) {
            return Err(Refusal::new("ResourceInUseException", format!("Table already exists: {name}")));
        }
        let part = |role| {
            let element = request.key_schema.iter().find(|element| element.key_type == role)?;
            let named = |definition: &&request::AttributeDefinition| {
                definition.attribute_name == element.attribute_name
            };
            let kind = request.attribute_definitions.iter().find(named)?.attribute_type;
            Some(KeyPart { name: element.attribute_name.clone(), kind })
        };
        let partition = part(KeyRole::Hash).ok_or_else(|| {
            Refusal::validation("KeySchema has no HASH key that AttributeDefinitions describes")
        })?;
        let table = Table::new(Schema { table: name.clone(), partition, sort: part(KeyRole::Range) });
        let description = table.describe();
        tables.insert(name, table);
        Ok(json!({ "TableDescription": description }))
    }
}

impl Write {
    fn placeholders(&self) -> Placeholders {
        Placeholders::new(self.expression_attribute_names.clone(), self.expression_attribute_values.clone())
    }

    /// Tests the condition on the item as it was.
    fn check(
        &self,
        old: Option<&Item>,
        placeholders: &Placeholders,
        update: Option<&Update>,
    ) -> Result<(), Refusal> {
        if update.is_none() && self.update_expression.is_some() {
            return Err(Refusal::validation("UpdateExpression is for UpdateItem"));
        }
        let condition = self.condition_expression.as_deref();
        let condition =
            condition.map(|text| Condition::read("ConditionExpression", text, placeholders)).transpose()?;
        placeholders.all_used()?;
        if condition.is_none_or(|condition| condition.holds(old.unwrap_or(&Item::new()))) {
            return Ok(());
        }
        let asked = self.return_values_on_condition_check_failure == ReturnValues::AllOld;
        let refusal = Refusal::new("ConditionalCheckFailedException", "The conditional request failed");
        Err(Refusal { item: old.filter(|_| asked).cloned(), ..refusal })
    }

    /// The answer with the requested attributes.
    fn returned(
        &self,
        old: Option<&Item>,
        new: Option<&Item>,
        update: Option<&Update>,
    ) -> Result<Value, Refusal> {
        let changed = |item: &Item| -> Item {
            let names = update.into_iter().flat_map(Update::names);
            names.filter_map(|name| item.get(name).map(|value| (name.clone(), value.clone()))).collect()
        };
        let attributes = match (self.return_values, update) {
            (ReturnValues::None, _) => None,
            (ReturnValues::AllOld, _) => old.cloned(),
            (other, None) => {
                return Err(Refusal::validation(format!(
                    "ReturnValues {other:?} is for UpdateItem; NONE or ALL_OLD here"
                )));
            }
            (ReturnValues::AllNew, _) => new.cloned(),
            (ReturnValues::UpdatedOld, _) => old.map(changed),
            (ReturnValues::UpdatedNew, _) => new.map(changed),
        };
        Ok(attributes.map_or(json!({}), |attributes| json!({ "Attributes": attributes })))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => Refusal::validation(format!("the local table does not understand the request: {error}")),
        false => Refusal::new("SerializationException", error.to_string()),
    })
}

fn needed<T>(value: Option<T>, name: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::validation(format!("{name} is missing")))
}

fn table<'a>(tables: &'a mut BTreeMap<String, Table>, name: &str) -> Result<&'a mut Table, Refusal> {
    let missing = || format!("Requested resource not found: Table: {name} not found");
    tables.get_mut(name).ok_or_else(|| Refusal::new("ResourceNotFoundException", missing()))
}
