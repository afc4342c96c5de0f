//! The address of a local cloud, and the secret that opens it.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
};

use serde::{Deserialize, Serialize};

/// The data that a caller of a local cloud needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    /// Where both Lambda and DynamoDB are served, for `AWS_ENDPOINT_URL`.
    pub endpoint: String,
    /// The token that opens it, for `AWS_SESSION_TOKEN`.
    pub token: Token,
}

/// A secret, only for those who were given it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// A new one: 128 bits of the system's randomness, as text.
    ///
    /// # Errors
    /// The system has none.
    pub fn fresh() -> io::Result<Self> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bytes))))
    }

    /// Its text, for those who may have it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether this is it. Every byte is compared, so that the time does not show how many were right.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        let differing = self.0.bytes().zip(shown).fold(0, |all, (ours, theirs)| all | (ours ^ theirs));
        self.0.len() == shown.len() && differing == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_only_the_whole_one_is_it() {
        let (token, other) = (Token::fresh().unwrap(), Token::fresh().unwrap());
        let text = token.text().to_owned();
        assert!(text.len() == 32 && token.is(text.as_bytes()));
        for wrong in
            [other.text(), "", &text[1..], &format!("{text}0"), &text.to_uppercase().replace('0', "O")]
        {
            assert!(wrong == text || !token.is(wrong.as_bytes()), "{wrong}");
        }
        assert!(!format!("{token:?}").contains(&text), "a message would tell the token");
    }
}
