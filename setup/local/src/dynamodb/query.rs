//! Query: the items of one partition, in order, page by page.

use serde_json::{Value, json};

use super::{
    Refusal,
    condition::{Comparison, Condition, Operand},
    expression::Placeholders,
    request::Query,
    table::{KeyPart, Place, Schema, Table},
    value::{Item, item_size},
};

/// A page has at most 1 MB of items.
const LARGEST_PAGE: usize = 1 << 20;

impl Table {
    /// Answers a Query; the limit counts items before the filter, as in DynamoDB.
    pub(crate) fn query(&self, request: &Query, placeholders: &Placeholders) -> Result<Value, Refusal> {
        let keys =
            Condition::read("KeyConditionExpression", &request.key_condition_expression, placeholders)?;
        let filter = request.filter_expression.as_deref();
        let filter =
            filter.map(|text| Condition::read("FilterExpression", text, placeholders)).transpose()?;
        placeholders.all_used()?;
        if request.limit == Some(0) {
            return Err(Refusal::validation("Limit is 0, expected 1 or more"));
        }
        let partition = partition_of(&keys, self.schema())?;
        let schema = self.schema();
        let forward = request.scan_index_forward.unwrap_or(true);
        let after = request.exclusive_start_key.as_ref().map(|key| schema.place_of_key(key)).transpose()?;
        let beyond_start = |place: &Place| match &after {
            Some(start) => {
                if forward {
                    place > start
                } else {
                    place < start
                }
            }
            None => true,
        };
        let mut items = self.partition(&partition.0);
        let in_order = std::iter::from_fn(|| if forward { items.next() } else { items.next_back() });
        let mut candidates = in_order
            .filter(|(sort, item)| beyond_start(&(partition.0.clone(), (*sort).clone())) && keys.holds(item))
            .map(|(_, item)| item)
            .peekable();
        let (mut page, mut scanned, mut size, mut last) = (Vec::new(), 0, 0, None);
        while let Some(item) = candidates.next() {
            scanned += 1;
            size += item_size(item);
            if filter.as_ref().is_none_or(|filter| filter.holds(item)) {
                page.push(item);
            }
            let full = request.limit == Some(scanned) || size > LARGEST_PAGE;
            // DynamoDB returns a last key whenever it stopped at a limit, even if nothing follows.
            if full && (request.limit == Some(scanned) || candidates.peek().is_some()) {
                last = Some(schema.key_of(item));
                break;
            }
        }
        Ok(answer(request, &page, scanned, last))
    }
}

fn answer(request: &Query, page: &[&Item], scanned: usize, last: Option<Item>) -> Value {
    let mut answer = json!({ "Count": page.len(), "ScannedCount": scanned });
    if request.select.as_deref() != Some("COUNT") {
        answer["Items"] = json!(page);
    }
    if let Some(last) = last {
        answer["LastEvaluatedKey"] = json!(last);
    }
    answer
}

/// The partition in a key condition; besides it the condition may only have one comparison of the sort key.
fn partition_of(condition: &Condition, schema: &Schema) -> Result<Place, Refusal> {
    let (partition, sort) = match condition {
        Condition::And(a, b) if equals(a, &schema.partition).is_some() => {
            (equals(a, &schema.partition), Some(b))
        }
        Condition::And(a, b) => (equals(b, &schema.partition), Some(a)),
        only => (equals(only, &schema.partition), None),
    };
    let partition = partition.ok_or_else(|| {
        let name = &schema.partition.name;
        Refusal::validation(format!("Query condition missed key schema element: {name} = :value is needed"))
    })?;
    if let Some(sort) = sort {
        let named = match sort.as_ref() {
            Condition::BeginsWith(Operand::Name(name), Operand::Value(_))
            | Condition::Between(Operand::Name(name), Operand::Value(_), Operand::Value(_)) => Some(name),
            Condition::Compare(Operand::Name(name), comparison, Operand::Value(_))
                if *comparison != Comparison::NotEqual =>
            {
                Some(name)
            }
            _ => None,
        };
        if named.is_none() || named != schema.sort.as_ref().map(|part| &part.name) {
            let what = "expected one comparison, BETWEEN or begins_with of the sort key";
            return Err(Refusal::validation(format!("Query key condition not supported: {what}")));
        }
    }
    Ok(partition)
}

/// The partition key of `part = :value`.
fn equals(condition: &Condition, part: &KeyPart) -> Option<Place> {
    match condition {
        Condition::Compare(Operand::Name(name), Comparison::Equal, Operand::Value(value))
            if *name == part.name =>
        {
            let item = Item::from([(name.clone(), value.clone())]);
            let schema = Schema { table: String::new(), partition: part.clone(), sort: None };
            schema.place(&item).ok()
        }
        _ => None,
    }
}
