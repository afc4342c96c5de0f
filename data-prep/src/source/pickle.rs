//! Reads Python pickles as data: an opcode reader for dicts, lists, numbers, strings and numpy byte arrays.
//!
//! Nothing is ever called: the few names that numpy arrays need are recognised, any other name is an error.
//! Values are in one arena and refer to each other by index, so a pickle that nests or repeats itself costs
//! no more than its length, and strings stay where they are in the file.

mod machine;
mod text;

use machine::{Id, Name, Reader, Value};
use std::ops::Range;

/// The elements of an array of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Elements {
    /// They are in the file.
    InFile(Range<usize>),
    /// They are written in another form.
    Decoded(Vec<u8>),
}

impl Elements {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Elements::InFile(range) => range.len(),
            Elements::Decoded(bytes) => bytes.len(),
        }
    }
}

/// A parsed pickle.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Parses one pickle of any protocol, 0 to 5.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Pickle<'a>, String> {
        let (values, root) = Reader::new(bytes).run()?;
        Ok(Pickle { bytes, values, root })
    }

    /// The value of a key in the dict that the pickle is.
    pub(super) fn get(&self, key: &str) -> Option<Id> {
        let Value::Dict(entries) = self.value(self.root) else { return None };
        entries.iter().find(|(k, _)| self.bytes(*k) == Some(key.as_bytes())).map(|(_, value)| *value)
    }

    /// A list of whole numbers.
    pub(super) fn ints(&self, id: Id) -> Option<Vec<i64>> {
        self.sequence(id)?.iter().map(|&id| self.int(id)).collect()
    }

    /// A list of strings.
    pub(super) fn strings(&self, id: Id) -> Option<Vec<String>> {
        let text = |id: &Id| String::from_utf8(self.bytes(*id)?.to_vec()).ok();
        self.sequence(id)?.iter().map(text).collect()
    }

    /// A numpy array of bytes in C order: its shape and its elements.
    pub(super) fn byte_array(&self, id: Id) -> Option<(Vec<i64>, Elements)> {
        let Value::Object { name, args, state } = self.value(id) else { return None };
        let (elements, shape, dtype) = match (self.value(*name), state) {
            (Value::Name(Name::Array), Some(state)) => {
                let [_version, shape, dtype, fortran, elements] = self.sequence(*state)? else { return None };
                let in_c_order = matches!(self.value(*fortran), Value::Bool(false) | Value::Int(0));
                in_c_order.then_some((elements, shape, dtype))?
            }
            (Value::Name(Name::Buffer), None) => {
                let [elements, dtype, shape, order] = self.sequence(*args)? else { return None };
                (self.bytes(*order)? == b"C").then_some((elements, shape, dtype))?
            }
            _ => return None,
        };
        let elements = match self.value(*elements) {
            Value::Bytes(range) => Elements::InFile(range.clone()),
            Value::Decoded(bytes) => Elements::Decoded(bytes.clone()),
            _ => return None,
        };
        self.is_byte_type(*dtype).then_some((self.ints(*shape)?, elements))
    }

    fn is_byte_type(&self, id: Id) -> bool {
        let Value::Object { name, args, .. } = self.value(id) else { return false };
        let first = self.sequence(*args).and_then(|args| self.bytes(*args.first()?));
        matches!(self.value(*name), Value::Name(Name::Type)) && matches!(first, Some(b"u1" | b"|u1"))
    }

    fn value(&self, id: Id) -> &Value {
        &self.values[id as usize]
    }

    fn int(&self, id: Id) -> Option<i64> {
        if let Value::Int(n) = self.value(id) { Some(*n) } else { None }
    }

    fn sequence(&self, id: Id) -> Option<&[Id]> {
        if let Value::Sequence(items) = self.value(id) { Some(items) } else { None }
    }

    fn bytes(&self, id: Id) -> Option<&[u8]> {
        match self.value(id) {
            Value::Bytes(range) => Some(&self.bytes[range.clone()]),
            Value::Decoded(bytes) => Some(bytes),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
