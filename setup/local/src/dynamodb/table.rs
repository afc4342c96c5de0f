//! One table in memory: items under a partition key and, if it has one, a sort key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Refusal,
    number::Number,
    value::{Attribute, Item, item_size},
};

/// The largest item: 400 KB.
const LARGEST_ITEM: usize = 400 << 10;

/// How deep an item's attributes may be nested.
const DEEPEST: usize = 32;

/// A table and its items, each partition in the order of the sort key.
#[derive(Debug)]
pub(crate) struct Table {
    schema: Schema,
    partitions: BTreeMap<Key, BTreeMap<Option<Key>, Item>>,
}

/// The names and types of the keys.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub(crate) table: String,
    pub(crate) partition: KeyPart,
    pub(crate) sort: Option<KeyPart>,
}

/// One key attribute.
#[derive(Debug, Clone)]
pub(crate) struct KeyPart {
    pub(crate) name: String,
    pub(crate) kind: KeyKind,
}

/// The type of a key attribute; binary keys are not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyKind {
    S,
    N,
}

/// The value of a key attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    N(Number),
    S(String),
}

/// The place of an item.
pub(crate) type Place = (Key, Option<Key>);

impl Schema {
    /// The composite string key `pk`, `sk`.
    pub(crate) fn pk_sk(table: &str) -> Self {
        let part = |name: &str| KeyPart { name: name.into(), kind: KeyKind::S };
        Self { table: table.into(), partition: part("pk"), sort: Some(part("sk")) }
    }

    pub(crate) fn parts(&self) -> impl Iterator<Item = &KeyPart> {
        std::iter::once(&self.partition).chain(&self.sort)
    }

    /// The place of an item, from its key attributes.
    pub(crate) fn place(&self, item: &Item) -> Result<Place, Refusal> {
        let partition = self.partition.of(item)?;
        let sort = self.sort.as_ref().map(|part| part.of(item)).transpose()?;
        Ok((partition, sort))
    }

    /// The same for a key alone, without other attributes.
    pub(crate) fn place_of_key(&self, key: &Item) -> Result<Place, Refusal> {
        if key.len() != self.parts().count() {
            return Err(Refusal::validation("The provided key element does not match the schema"));
        }
        self.place(key)
    }

    /// The key attributes alone.
    pub(crate) fn key_of(&self, item: &Item) -> Item {
        item.iter()
            .filter(|(name, _)| self.has(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.parts().any(|part| part.name == name)
    }
}

impl KeyPart {
    fn of(&self, item: &Item) -> Result<Key, Refusal> {
        let refuse = |what: &str| {
            let Self { name, kind } = self;
            Refusal::validation(format!(
                "One of the required keys was not given a valid value: {name} {what}, expected {kind:?}"
            ))
        };
        match (self.kind, item.get(&self.name)) {
            (KeyKind::S, Some(Attribute::S(text))) if text.is_empty() => Err(refuse("is an empty string")),
            (KeyKind::S, Some(Attribute::S(text))) => Ok(Key::S(text.clone())),
            (KeyKind::N, Some(Attribute::N(number))) => Ok(Key::N(*number)),
            (_, Some(other)) => Err(refuse(&format!("has type {}", other.type_name()))),
            (_, None) => Err(refuse("is missing")),
        }
    }
}

impl Table {
    pub(crate) fn new(schema: Schema) -> Self {
        Self { schema, partitions: BTreeMap::new() }
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn get(&self, (partition, sort): &Place) -> Option<&Item> {
        self.partitions.get(partition)?.get(sort)
    }

    pub(crate) fn put(&mut self, item: Item) -> Result<Option<Item>, Refusal> {
        let size = item_size(&item);
        if size > LARGEST_ITEM {
            let what = "Item size has exceeded the maximum allowed size";
            return Err(Refusal::validation(format!("{what}: {size} bytes, at most {LARGEST_ITEM}")));
        }
        if item.values().any(|value| value.depth() > DEEPEST) {
            let what = "Nesting Levels have exceeded supported limits";
            return Err(Refusal::validation(format!("{what}: attributes are nested at most {DEEPEST} deep")));
        }
        let (partition, sort) = self.schema.place(&item)?;
        Ok(self.partitions.entry(partition).or_default().insert(sort, item))
    }

    pub(crate) fn delete(&mut self, (partition, sort): &Place) -> Option<Item> {
        let items = self.partitions.get_mut(partition)?;
        let deleted = items.remove(sort);
        if items.is_empty() {
            self.partitions.remove(partition);
        }
        deleted
    }

    /// The items of a partition in the order of their sort key.
    pub(crate) fn partition(
        &self,
        partition: &Key,
    ) -> impl DoubleEndedIterator<Item = (&Option<Key>, &Item)> {
        self.partitions.get(partition).into_iter().flatten()
    }

    /// The description of the table in the form of `DescribeTable`.
    pub(crate) fn describe(&self) -> Value {
        let roles = self.schema.parts().zip(["HASH", "RANGE"]);
        let keys: Vec<Value> =
            roles.map(|(part, role)| json!({ "AttributeName": part.name, "KeyType": role })).collect();
        let types: Vec<Value> = self
            .schema
            .parts()
            .map(|part| json!({ "AttributeName": part.name, "AttributeType": part.kind }))
            .collect();
        json!({
            "TableName": self.schema.table,
            "TableStatus": "ACTIVE",
            "KeySchema": keys,
            "AttributeDefinitions": types,
            "ItemCount": self.partitions.values().map(BTreeMap::len).sum::<usize>(),
            "BillingModeSummary": { "BillingMode": "PAY_PER_REQUEST" },
        })
    }
}
