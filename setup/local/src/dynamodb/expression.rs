//! The words of DynamoDB's expressions: tokens, placeholders, and a reader for them.
//!
//! An expression has DynamoDB's bounds, which are checked before it is read: the reader calls itself for
//! nested parts.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use super::{Refusal, reserved::is_reserved, value::Attribute};

/// The longest expression in bytes, the most operators and functions in one, and how deep it may be nested.
const LONGEST: usize = 4 << 10;
const MOST_OPERATORS: usize = 300;
const DEEPEST: usize = 32;

/// The meaning of `#names` and `:values`, and which of them were used.
#[derive(Debug, Default)]
pub(crate) struct Placeholders {
    names: BTreeMap<String, String>,
    values: BTreeMap<String, Attribute>,
    used: RefCell<BTreeSet<String>>,
}

impl Placeholders {
    pub(crate) fn new(names: BTreeMap<String, String>, values: BTreeMap<String, Attribute>) -> Self {
        Self { names, values, used: RefCell::default() }
    }

    /// Refuses placeholders that no expression used, as DynamoDB does.
    pub(crate) fn all_used(&self) -> Result<(), Refusal> {
        let used = self.used.borrow();
        let mut unused = self.names.keys().chain(self.values.keys()).filter(|name| !used.contains(*name));
        match unused.next() {
            None => Ok(()),
            Some(name) => {
                let map = if name.starts_with('#') {
                    "ExpressionAttributeNames"
                } else {
                    "ExpressionAttributeValues"
                };
                Err(Refusal::validation(format!(
                    "Value provided in {map} unused in expressions: keys: {{{name}}}"
                )))
            }
        }
    }
}

/// An expression being read.
pub(crate) struct Reader<'a> {
    kind: &'static str,
    tokens: Vec<String>,
    at: usize,
    depth: usize,
    placeholders: &'a Placeholders,
}

impl<'a> Reader<'a> {
    /// Splits an expression into its tokens; `kind` is its name in messages.
    pub(crate) fn new(
        kind: &'static str,
        text: &str,
        placeholders: &'a Placeholders,
    ) -> Result<Self, Refusal> {
        let tokens = tokens(text).map_err(|what| Refusal::validation(format!("Invalid {kind}: {what}")))?;
        Ok(Self { kind, tokens, at: 0, depth: 0, placeholders })
    }

    /// The next token, which is not consumed.
    pub(crate) fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", String::as_str)
    }

    pub(crate) fn next(&mut self) -> String {
        let token = self.peek().to_owned();
        self.at += 1;
        token
    }

    /// Consumes the token if it is this one; keywords in any case.
    pub(crate) fn take(&mut self, token: &str) -> bool {
        let found = self.peek().eq_ignore_ascii_case(token);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, token: &str) -> Result<(), Refusal> {
        if self.take(token) { Ok(()) } else { Err(self.unexpected(token)) }
    }

    /// Reads a nested part.
    pub(crate) fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if self.depth == DEEPEST {
            return Err(self.refuse(format!("The expression is nested too deep; at most {DEEPEST} levels")));
        }
        self.depth += 1;
        let nested = read(self)?;
        self.depth -= 1;
        Ok(nested)
    }

    pub(crate) fn end(&self) -> Result<(), Refusal> {
        if self.at >= self.tokens.len() { Ok(()) } else { Err(self.unexpected("the end")) }
    }

    pub(crate) fn unexpected(&self, expected: &str) -> Refusal {
        let found = if self.peek().is_empty() { "the end" } else { self.peek() };
        self.refuse(format!("Syntax error; token: {found:?}, expected {expected}"))
    }

    pub(crate) fn refuse(&self, what: String) -> Refusal {
        Refusal::validation(format!("Invalid {}: {what}", self.kind))
    }

    /// Whether the next tokens are the call of this function.
    pub(crate) fn calls(&self, function: &str) -> bool {
        self.peek() == function && self.tokens.get(self.at + 1).is_some_and(|token| token == "(")
    }

    pub(crate) fn is_value(&self) -> bool {
        self.peek().starts_with(':')
    }

    /// An attribute's name, plain or through `#`.
    pub(crate) fn name(&mut self) -> Result<String, Refusal> {
        let token = self.next();
        if matches!(self.peek(), "." | "[") {
            return Err(
                self.refuse(format!("the local table knows no nested path such as {token}{}", self.peek()))
            );
        }
        if token.starts_with('#') {
            self.placeholders.used.borrow_mut().insert(token.clone());
            return self.placeholders.names.get(&token).cloned().ok_or_else(|| {
                let what = "An expression attribute name used in the document path is not defined";
                self.refuse(format!("{what}; attribute name: {token}"))
            });
        }
        if !token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            self.at -= 1;
            return Err(self.unexpected("an attribute name"));
        }
        if is_reserved(&token) {
            return Err(
                self.refuse(format!("Attribute name is a reserved keyword; reserved keyword: {token}"))
            );
        }
        Ok(token)
    }

    /// A `:value`.
    pub(crate) fn value(&mut self) -> Result<Attribute, Refusal> {
        if !self.is_value() {
            return Err(self.unexpected("a :value"));
        }
        let token = self.next();
        self.placeholders.used.borrow_mut().insert(token.clone());
        self.placeholders.values.get(&token).cloned().ok_or_else(|| {
            let what = "An expression attribute value used in expression is not defined";
            self.refuse(format!("{what}; attribute value: {token}"))
        })
    }
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    if text.len() > LONGEST {
        let what = "Expression size has exceeded the maximum allowed size; expression size";
        return Err(format!("{what}: {}, at most {LONGEST}", text.len()));
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut tokens: Vec<String> = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' | ':' => 1 + rest[1..].find(|c| !word(c)).unwrap_or(rest.len() - 1),
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            '<' | '>' if rest[1..].starts_with('=') || rest.starts_with("<>") => 2,
            '(' | ')' | ',' | '=' | '<' | '>' | '+' | '-' | '.' | '[' | ']' => 1,
            other => return Err(format!("Syntax error; token: {other:?}")),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token.to_owned());
        rest = after.trim_start();
    }
    if tokens.is_empty() {
        return Err("The expression can not be empty;".into());
    }
    let operators = tokens.iter().filter(|token| is_operator(token)).count();
    match operators > MOST_OPERATORS {
        true => {
            Err(format!("The expression contains too many operators: {operators}, at most {MOST_OPERATORS}"))
        }
        false => Ok(tokens),
    }
}

fn is_operator(token: &str) -> bool {
    const WORDS: [&str; 9] = [
        "AND",
        "OR",
        "NOT",
        "BETWEEN",
        "attribute_exists",
        "attribute_not_exists",
        "begins_with",
        "if_not_exists",
        "IN",
    ];
    matches!(token, "=" | "<>" | "<" | "<=" | ">" | ">=" | "+" | "-")
        || WORDS.iter().any(|word| word.eq_ignore_ascii_case(token))
}
