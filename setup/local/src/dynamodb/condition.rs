//! Conditions on an item: parsed from their text, and tested.

use std::cmp::Ordering;

use super::{
    Refusal,
    expression::{Placeholders, Reader},
    value::{Attribute, Item},
};

/// A condition in DynamoDB's form.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Exists(String),
    Missing(String),
    BeginsWith(Operand, Operand),
    Compare(Operand, Comparison, Operand),
    Between(Operand, Operand, Operand),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Name(String),
    Value(Attribute),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Condition {
    pub(crate) fn read(kind: &'static str, text: &str, placeholders: &Placeholders) -> Result<Self, Refusal> {
        let mut reader = Reader::new(kind, text, placeholders)?;
        let condition = either(&mut reader)?;
        reader.end().map(|()| condition)
    }

    /// Whether the item meets it; an item that does not exist has no attributes.
    pub(crate) fn holds(&self, item: &Item) -> bool {
        match self {
            Self::And(a, b) => a.holds(item) && b.holds(item),
            Self::Or(a, b) => a.holds(item) || b.holds(item),
            Self::Not(a) => !a.holds(item),
            Self::Exists(name) => item.contains_key(name),
            Self::Missing(name) => !item.contains_key(name),
            Self::BeginsWith(a, b) => match (a.of(item), b.of(item)) {
                (Some(Attribute::S(text)), Some(Attribute::S(start))) => text.starts_with(start.as_str()),
                _ => false,
            },
            Self::Compare(a, comparison, b) => comparison.holds(a.of(item), b.of(item)),
            Self::Between(a, low, high) => {
                Comparison::GreaterOrEqual.holds(a.of(item), low.of(item))
                    && Comparison::LessOrEqual.holds(a.of(item), high.of(item))
            }
        }
    }
}

impl Operand {
    fn of<'a>(&'a self, item: &'a Item) -> Option<&'a Attribute> {
        match self {
            Self::Name(name) => item.get(name),
            Self::Value(value) => Some(value),
        }
    }
}

impl Comparison {
    /// An attribute that is missing differs from every value, and is neither less nor greater.
    fn holds(self, a: Option<&Attribute>, b: Option<&Attribute>) -> bool {
        let order = a.zip(b).and_then(|(a, b)| a.order(b));
        match self {
            Self::Equal => a.is_some() && a == b,
            Self::NotEqual => a != b,
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }
}

fn either(reader: &mut Reader<'_>) -> Result<Condition, Refusal> {
    let mut condition = both(reader)?;
    while reader.take("OR") {
        condition = Condition::Or(condition.into(), both(reader)?.into());
    }
    Ok(condition)
}

fn both(reader: &mut Reader<'_>) -> Result<Condition, Refusal> {
    let mut condition = single(reader)?;
    while reader.take("AND") {
        condition = Condition::And(condition.into(), single(reader)?.into());
    }
    Ok(condition)
}

fn single(reader: &mut Reader<'_>) -> Result<Condition, Refusal> {
    if reader.take("NOT") {
        return reader.nested(single).map(|condition| Condition::Not(condition.into()));
    }
    if reader.take("(") {
        let condition = reader.nested(either)?;
        return reader.expect(")").map(|()| condition);
    }
    for (function, make) in [
        ("attribute_exists", Condition::Exists as fn(String) -> Condition),
        ("attribute_not_exists", Condition::Missing),
    ] {
        if reader.calls(function) {
            reader.next();
            reader.expect("(")?;
            let name = reader.name()?;
            return reader.expect(")").map(|()| make(name));
        }
    }
    if reader.calls("begins_with") {
        reader.next();
        reader.expect("(")?;
        let whole = operand(reader)?;
        reader.expect(",")?;
        let start = operand(reader)?;
        return reader.expect(")").map(|()| Condition::BeginsWith(whole, start));
    }
    for function in ["attribute_type", "contains", "size"] {
        if reader.calls(function) {
            return Err(reader.refuse(format!("the local table knows no function {function}")));
        }
    }
    comparison(reader)
}

fn comparison(reader: &mut Reader<'_>) -> Result<Condition, Refusal> {
    let left = operand(reader)?;
    if reader.take("BETWEEN") {
        let low = operand(reader)?;
        reader.expect("AND")?;
        return Ok(Condition::Between(left, low, operand(reader)?));
    }
    for (token, comparison) in [
        ("=", Comparison::Equal),
        ("<>", Comparison::NotEqual),
        ("<", Comparison::Less),
        ("<=", Comparison::LessOrEqual),
        (">", Comparison::Greater),
        (">=", Comparison::GreaterOrEqual),
    ] {
        if reader.take(token) {
            return Ok(Condition::Compare(left, comparison, operand(reader)?));
        }
    }
    Err(reader.unexpected("a comparison"))
}

fn operand(reader: &mut Reader<'_>) -> Result<Operand, Refusal> {
    match reader.is_value() {
        true => reader.value().map(Operand::Value),
        false => reader.name().map(Operand::Name),
    }
}
