//! Changes to an item: parsed from their text, and applied.

use super::{
    Refusal,
    expression::{Placeholders, Reader},
    number::Number,
    value::{Attribute, Item},
};

/// An update expression: SET, ADD and REMOVE clauses.
#[derive(Debug, Default)]
pub(crate) struct Update(Vec<(String, Change)>);

#[derive(Debug)]
enum Change {
    Set(Term, Option<(Sign, Term)>),
    Add(Attribute),
    Remove,
}

#[derive(Debug, Clone, Copy)]
enum Sign {
    Plus,
    Minus,
}

#[derive(Debug)]
enum Term {
    Name(String),
    Value(Attribute),
    IfNotExists(String, Box<Term>),
}

impl Update {
    pub(crate) fn read(text: &str, placeholders: &Placeholders) -> Result<Self, Refusal> {
        let mut reader = Reader::new("UpdateExpression", text, placeholders)?;
        let mut update = Self::default();
        while !reader.peek().is_empty() {
            let clause = reader.next().to_ascii_uppercase();
            loop {
                let (name, change) = match clause.as_str() {
                    "SET" => set(&mut reader)?,
                    "ADD" => (reader.name()?, Change::Add(reader.value()?)),
                    "REMOVE" => (reader.name()?, Change::Remove),
                    "DELETE" => return Err(reader.refuse("the local table knows no DELETE clause".into())),
                    other => return Err(reader.refuse(format!("Syntax error; token: {other:?}"))),
                };
                if update.names().any(|known| *known == name) {
                    let what = "Two document paths overlap with each other; \
                        must remove or rewrite one of these paths";
                    return Err(reader.refuse(format!("{what}; path: [{name}]")));
                }
                update.0.push((name, change));
                if !reader.take(",") {
                    break;
                }
            }
        }
        Ok(update)
    }

    /// The attributes that it changes.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The item after it; every value on a right-hand side is from before.
    pub(crate) fn apply(&self, before: &Item) -> Result<Item, Refusal> {
        let mut after = before.clone();
        for (name, change) in &self.0 {
            let value = match change {
                Change::Remove => {
                    after.remove(name);
                    continue;
                }
                Change::Set(term, None) => term.of(before)?,
                Change::Set(left, Some((sign, right))) => {
                    let right = number(right.of(before)?)?;
                    let right = if matches!(sign, Sign::Minus) { right.negative() } else { right };
                    sum(number(left.of(before)?)?, right)?
                }
                Change::Add(value) => added(before.get(name), value)?,
            };
            after.insert(name.clone(), value);
        }
        Ok(after)
    }
}

impl Term {
    fn of(&self, item: &Item) -> Result<Attribute, Refusal> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Name(name) => item.get(name).cloned().ok_or_else(|| {
                let what = "The provided expression refers to an attribute that does not exist in the item";
                Refusal::validation(format!("{what}: {name}"))
            }),
            Self::IfNotExists(name, otherwise) => {
                item.get(name).cloned().map_or_else(|| otherwise.of(item), Ok)
            }
        }
    }
}

fn set(reader: &mut Reader<'_>) -> Result<(String, Change), Refusal> {
    let name = reader.name()?;
    reader.expect("=")?;
    let left = term(reader)?;
    let sign = match () {
        () if reader.take("+") => Sign::Plus,
        () if reader.take("-") => Sign::Minus,
        () => return Ok((name, Change::Set(left, None))),
    };
    Ok((name, Change::Set(left, Some((sign, term(reader)?)))))
}

fn term(reader: &mut Reader<'_>) -> Result<Term, Refusal> {
    if reader.is_value() {
        return reader.value().map(Term::Value);
    }
    if reader.calls("list_append") {
        return Err(reader.refuse("the local table knows no function list_append".into()));
    }
    if !reader.calls("if_not_exists") {
        return reader.name().map(Term::Name);
    }
    reader.next();
    reader.expect("(")?;
    let name = reader.name()?;
    reader.expect(",")?;
    let otherwise = reader.nested(term)?;
    reader.expect(")").map(|()| Term::IfNotExists(name, otherwise.into()))
}

fn number(value: Attribute) -> Result<Number, Refusal> {
    match value {
        Attribute::N(number) => Ok(number),
        other => Err(Refusal::validation(format!(
            "An operand in the update expression has an incorrect data type: {}, expected N",
            other.type_name()
        ))),
    }
}

fn sum(a: Number, b: Number) -> Result<Attribute, Refusal> {
    a.plus(b).map(Attribute::N).map_err(Refusal::validation)
}

fn added(old: Option<&Attribute>, value: &Attribute) -> Result<Attribute, Refusal> {
    match (old, value) {
        (None, Attribute::N(_) | Attribute::SS(_) | Attribute::NS(_)) => Ok(value.clone()),
        (Some(Attribute::N(a)), Attribute::N(b)) => sum(*a, *b),
        (Some(Attribute::SS(a)), Attribute::SS(b)) => Ok(Attribute::SS(a | b)),
        (Some(Attribute::NS(a)), Attribute::NS(b)) => Ok(Attribute::NS(a | b)),
        (old, value) => Err(Refusal::validation(format!(
            "Type mismatch for ADD: the attribute has type {}, the operand type {}",
            old.map_or("none", Attribute::type_name),
            value.type_name()
        ))),
    }
}
