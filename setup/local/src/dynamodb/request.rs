//! The supported requests; a field that is not here is refused by its name rather than ignored.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    table::KeyKind,
    value::{Attribute, Item},
};

/// A write of a whole item, or a deletion, with its condition.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Write {
    pub(crate) table_name: String,
    /// PutItem has it.
    pub(crate) item: Option<Item>,
    /// DeleteItem and UpdateItem have it.
    pub(crate) key: Option<Item>,
    /// UpdateItem may have it.
    pub(crate) update_expression: Option<String>,
    pub(crate) condition_expression: Option<String>,
    #[serde(default)]
    pub(crate) expression_attribute_names: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) expression_attribute_values: BTreeMap<String, Attribute>,
    #[serde(default)]
    pub(crate) return_values: ReturnValues,
    #[serde(default)]
    pub(crate) return_values_on_condition_check_failure: ReturnValues,
    #[serde(rename = "ReturnConsumedCapacity")]
    _return_consumed_capacity: Option<String>,
    #[serde(rename = "ReturnItemCollectionMetrics")]
    _return_item_collection_metrics: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ReturnValues {
    #[default]
    None,
    AllOld,
    UpdatedOld,
    AllNew,
    UpdatedNew,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Get {
    pub(crate) table_name: String,
    pub(crate) key: Item,
    #[serde(rename = "ConsistentRead")]
    _consistent_read: Option<bool>,
    #[serde(rename = "ReturnConsumedCapacity")]
    _return_consumed_capacity: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Query {
    pub(crate) table_name: String,
    pub(crate) key_condition_expression: String,
    pub(crate) filter_expression: Option<String>,
    #[serde(default)]
    pub(crate) expression_attribute_names: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) expression_attribute_values: BTreeMap<String, Attribute>,
    pub(crate) scan_index_forward: Option<bool>,
    pub(crate) limit: Option<usize>,
    pub(crate) exclusive_start_key: Option<Item>,
    pub(crate) select: Option<String>,
    #[serde(rename = "ConsistentRead")]
    _consistent_read: Option<bool>,
    #[serde(rename = "ReturnConsumedCapacity")]
    _return_consumed_capacity: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct CreateTable {
    pub(crate) table_name: String,
    pub(crate) key_schema: Vec<KeySchemaElement>,
    pub(crate) attribute_definitions: Vec<AttributeDefinition>,
    #[serde(rename = "BillingMode")]
    _billing_mode: Option<String>,
    #[serde(rename = "ProvisionedThroughput")]
    _provisioned_throughput: Option<Value>,
    #[serde(rename = "Tags")]
    _tags: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct KeySchemaElement {
    pub(crate) attribute_name: String,
    pub(crate) key_type: KeyRole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum KeyRole {
    Hash,
    Range,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct AttributeDefinition {
    pub(crate) attribute_name: String,
    pub(crate) attribute_type: KeyKind,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct DescribeTable {
    pub(crate) table_name: String,
}
