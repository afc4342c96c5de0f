//! The names that files and folders may have here.

use crate::{Error, Result};

const EXPECTED: &str = "1 to 128 characters of a-z, 0-9, '.', '_' and '-', not starting with '.'";
const EXPECTED_PATH: &str =
    "names of letters, digits, '.', '_' and '-', not starting with '.', joined by '/'";

/// Checks the name of a data set, of weights or of a feature store.
///
/// # Errors
/// [`Error::Name`].
pub fn check_name(what: &'static str, name: &str) -> Result<()> {
    if is_plain(name) && !name.chars().any(|c| c.is_ascii_uppercase()) {
        return Ok(());
    }
    Err(Error::Name { what, found: name.to_owned(), expected: EXPECTED })
}

/// Checks the name of a published file, which may be in sub-folders of its folder.
///
/// # Errors
/// [`Error::Name`].
pub fn check_file_name(name: &str) -> Result<()> {
    if name.split('/').all(is_plain) {
        return Ok(());
    }
    Err(Error::Name { what: "file", found: name.to_owned(), expected: EXPECTED_PATH })
}

fn is_plain(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=128).contains(&name.len()) && !name.starts_with('.') && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_their_folder_or_hide_are_refused() {
        for name in ["", ".", "..", ".x", "a/b", "../x", "A", "a b", "ü", "a\0", &"a".repeat(129)] {
            let error = check_name("data set", name).unwrap_err();
            assert!(error.to_string().starts_with("data set "), "{error}");
        }
        for name in ["", "/a", "a/", "a//b", "a/../b", "../a", "a/.hidden"] {
            assert!(check_file_name(name).is_err(), "{name}");
        }
        check_name("data set", "cifar-10.v2_small").unwrap();
        check_file_name("model/Head-0004.safetensors").unwrap();
    }
}
