//! Trouble with AWS in words, by its kind: what to do, and with which exit code the command ends.

use aws_sdk_cloudformation::error::ProvideErrorMetadata;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The exit code: 6 not reached, 7 not allowed, 8 throttled.
    pub(crate) code: u8,
    /// The remedy.
    pub(crate) advice: &'static str,
}

/// Parts of what the SDK or a service says, in lower case, and the kind that each means: the first counts.
const KINDS: [(&[&str], Kind); 5] = [
    (
        &["sso", "login_session", "`login` feature"],
        Kind {
            code: 7,
            advice: "this profile logs in by a browser, which baton does not do: \
                     eval \"$(aws configure export-credentials --format env)\"",
        },
    ),
    (
        &[
            "expiredtoken",
            "expired token",
            "token has expired",
            "requestexpired",
            "token included in the request is expired",
        ],
        Kind { code: 7, advice: "the session is over: log in again; a lab gives new keys with each session" },
    ),
    (
        &[
            "accessdenied",
            "access denied",
            "not authorized",
            "unrecognizedclient",
            "invalidclienttokenid",
            "signaturedoesnotmatch",
            "no credentials",
            "credentials provider",
            "credentialsnotloaded",
        ],
        Kind { code: 7, advice: "the credentials may not do this, or are not right: baton doctor" },
    ),
    (
        &["throttl", "toomanyrequests", "too many requests", "requestlimitexceeded", "slowdown"],
        Kind { code: 8, advice: "the service is asked too often: try again in a minute" },
    ),
    (
        &["dispatch failure", "dns error", "connect", "timed out", "timeout", "no route"],
        Kind {
            code: 6,
            advice: "is there a network, and the right AWS_REGION? behind a proxy set HTTPS_PROXY",
        },
    ),
];

/// The kind of trouble that these words tell of, if it is a usual one.
pub(crate) fn kind(words: &str) -> Option<Kind> {
    let words = words.to_lowercase();
    KINDS.into_iter().find(|(parts, _)| parts.iter().any(|part| words.contains(part))).map(|(_, kind)| kind)
}

/// An error and what it came from, without the SDK's own notation.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A service's message, or why it was not reached, with the remedy if there is a usual one.
pub(crate) fn words(error: impl ProvideErrorMetadata + std::error::Error) -> String {
    let said = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => causes(&error),
    };
    match kind(&said) {
        Some(kind) => format!("{said}; {}", kind.advice),
        None => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_trouble_has_its_code_and_says_what_to_do() {
        for (words, code, advice) in [
            ("ExpiredToken: The security token included in the request is expired", 7, "log in again"),
            ("AccessDeniedException: User is not authorized to perform", 7, "baton doctor"),
            ("This behavior requires following cargo feature(s) enabled: sso", 7, "export-credentials"),
            ("TooManyRequestsException: Rate exceeded", 8, "in a minute"),
            ("dispatch failure: io error: dns error: failed to lookup", 6, "HTTPS_PROXY"),
        ] {
            let found = kind(words).unwrap_or_else(|| panic!("{words}"));
            assert_eq!(found.code, code, "{words}");
            assert!(found.advice.contains(advice), "{words}: {}", found.advice);
        }
        assert_eq!(kind("ValidationError: Template format error"), None);
    }
}
