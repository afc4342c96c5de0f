//! The keys of a workload: read into types, each key refused by its name.

use crate::Error;
use crate::error::short;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Keys of a job that are read together.
pub trait Keys: Serialize + DeserializeOwned {
    /// Their names.
    const NAMES: &'static [&'static str];
    /// Names that others use for them, each with the key that is meant.
    const ALIASES: &'static [(&'static str, &'static str)] = &[];

    /// Removes its keys from those of a job and reads them.
    ///
    /// # Errors
    /// [`Error::Refused`] with the key whose value is not allowed.
    fn take(keys: &mut Map<String, Value>) -> Result<Self, Error> {
        let own = Self::NAMES.iter().filter_map(|name| keys.remove_entry(*name)).collect();
        parsed(&own).map_err(|error| refused::<Self>(&own, &error))
    }

    /// Writes its keys into those of a job.
    fn put(&self, keys: &mut Map<String, Value>) {
        if let Ok(Value::Object(own)) = serde_json::to_value(self) {
            Self::NAMES.iter().for_each(|name| drop(keys.remove(*name)));
            keys.extend(own);
        }
    }
}

fn parsed<K: Keys>(keys: &Map<String, Value>) -> Result<K, String> {
    serde_json::from_value(Value::Object(keys.clone())).map_err(|error| error.to_string())
}

/// Finds the key because of which `keys` cannot be read: without it the error is another.
fn refused<K: Keys>(keys: &Map<String, Value>, error: &str) -> Error {
    let without = |key: &&String| {
        let mut less = keys.clone();
        less.remove(*key);
        parsed::<K>(&less).err().is_none_or(|other| other != error)
    };
    match keys.keys().find(without) {
        Some(key) => {
            let expected = error.split_once("expected ").map_or(error, |(_, expected)| expected);
            Error::refused(&format!("job.{key}"), short(&keys[key]), expected)
        }
        None => Error::refused("job", error, "the keys and values of docs/formats.md, \"job.json\""),
    }
}

/// Refuses keys that nobody has read. `known` has the names of all keys, `aliases` other names for them.
///
/// # Errors
/// [`Error::Refused`] with the key, and the one that may be meant.
pub fn refuse_rest(
    rest: &Map<String, Value>,
    known: &[&[&str]],
    aliases: &[&[(&str, &str)]],
) -> Result<(), Error> {
    let Some((key, value)) = rest.iter().next() else { return Ok(()) };
    let alias = aliases.concat().into_iter().find(|(other, _)| other == key).map(|(_, meant)| meant);
    let mut names = [&["kind", "limits", "schema", "workers"], &known.concat()[..]].concat();
    names.sort_unstable();
    let near = || {
        let nearest = names.iter().min_by_key(|name| edits(key, name))?;
        (edits(key, nearest) <= key.chars().count() / 3).then_some(*nearest)
    };
    let expected = match alias.or_else(near) {
        Some(meant) => format!("no such key; is `{meant}` meant?"),
        None => format!("one of {}", names.join(", ")),
    };
    Err(Error::refused(&format!("job.{key}"), short(value), expected))
}

/// The number of characters to change, add or remove until one text equals the other (Levenshtein's
/// distance).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, a) in one.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (at, b) in other.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sums {
        numbers: Vec<u32>,
        #[serde(default)]
        rate: f64,
    }

    impl Keys for Sums {
        const NAMES: &'static [&'static str] = &["numbers", "rate"];
        const ALIASES: &'static [(&'static str, &'static str)] = &[("lr", "rate")];
    }

    fn read(text: Value) -> Result<Sums, String> {
        let Value::Object(mut keys) = text else { unreachable!() };
        let sums = Sums::take(&mut keys).map_err(|error| error.to_string())?;
        refuse_rest(&keys, &[Sums::NAMES], &[Sums::ALIASES]).map_err(|error| error.to_string())?;
        Ok(sums)
    }

    #[test]
    fn keys_are_taken_and_put_back() {
        let sums = read(json!({"numbers": [1, 2]})).unwrap();
        let mut keys = Map::from_iter([("other".to_owned(), json!(1)), ("rate".to_owned(), json!(9))]);
        sums.put(&mut keys);
        assert_eq!(Value::Object(keys), json!({"numbers": [1, 2], "rate": 0.0, "other": 1}));
    }

    #[test]
    fn a_refusal_names_the_key_and_the_one_that_is_meant() {
        for (text, parts) in [
            (json!({"numbers": 3, "rate": 1}), ["job.numbers: found 3", "a sequence"]),
            (json!({"numbers": [], "rate": "fast"}), ["job.rate: found \"fast\"", "f64"]),
            (json!({"rate": 1}), ["job: found missing field `numbers`", "formats.md"]),
            (json!({"numbers": [], "lr": 1}), ["job.lr: found 1", "`rate` meant"]),
            (json!({"numbers": [], "rat": 1}), ["job.rat: found 1", "`rate` meant"]),
            (json!({"numbers": [], "zzz": {}}), ["job.zzz: found {}", "numbers, rate, schema"]),
        ] {
            let error = read(text).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!((edits("batch", "batch"), edits("bach", "batch"), edits("", "abc")), (0, 1, 3));
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
