//! The settings of a local cloud: the function, its limits as on Lambda, and the destination of its output.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::Duration,
};

use crate::{Error, Faults, Log};

/// The names that Lambda sets itself, so that a function's configuration cannot.
const RESERVED_PREFIXES: [&str; 5] = ["AWS_LAMBDA_", "AWS_ENDPOINT_URL", "LAMBDA_", "_X_AMZN_", "_HANDLER"];
const RESERVED_NAMES: [&str; 6] = [
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
];

/// Lambda accepts 4 KB of environment variables.
const LARGEST_ENVIRONMENT: usize = 4 << 10;

/// The settings of a [`crate::LocalCloud`]; start from [`Options::new`] and change fields.
#[derive(Debug, Clone)]
pub struct Options {
    /// The function's binary, as it would be deployed.
    pub program: PathBuf,
    /// Arguments for the binary; Lambda passes none.
    pub arguments: Vec<String>,
    /// The function's own environment variables; it inherits only `PATH` from this process.
    pub environment: Vec<(String, String)>,
    /// The function's name.
    pub function: String,
    /// Memory size; a process whose own memory exceeds it is killed (Linux only).
    pub memory_mb: u32,
    /// An invocation that takes longer is ended with SIGKILL.
    pub time_limit: Duration,
    /// How many invocations run at the same time.
    pub concurrency: usize,
    /// The address of Invoke, DynamoDB and the status; only the loopback is accepted.
    pub listen: SocketAddr,
    /// Whether a chain of more than 16 invocations may continue (`RecursiveLoop: Allow`).
    pub recursion_allowed: bool,
    /// The wait before each retry of a failed event; its length is the number of retries.
    pub retry_waits: Vec<Duration>,
    /// Tables that exist from the start, each with the string keys `pk` and `sk`.
    pub tables: Vec<String>,
    /// The destination of the function's output.
    pub log: Log,
    /// The faults on purpose.
    pub faults: Faults,
}

impl Options {
    /// The defaults for a binary: 1,769 MB, 900 s, 10 at a time, two retries after 1 s and 2 s (Lambda waits
    /// minutes), any free port, lines discarded, no faults.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            function: "baton".into(),
            memory_mb: 1769,
            time_limit: Duration::from_secs(900),
            concurrency: 10,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            recursion_allowed: false,
            retry_waits: vec![Duration::from_secs(1), Duration::from_secs(2)],
            tables: Vec::new(),
            log: Log::discard(),
            faults: Faults::default(),
        }
    }

    /// Checks every setting against what Lambda accepts, and that the binary can be run.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if !self.listen.ip().is_loopback() {
            return Err(Error::NotLoopback(self.listen));
        }
        let setting = |name, found: String, expected| Err(Error::Setting { name, found, expected });
        if !(128..=10_240).contains(&self.memory_mb) {
            return setting("memory_mb", self.memory_mb.to_string(), "128 to 10240");
        }
        if self.time_limit.is_zero() || self.time_limit > Duration::from_secs(900) {
            return setting(
                "time_limit",
                format!("{:?}", self.time_limit),
                "more than 0 s and at most 900 s",
            );
        }
        if !(1..=1000).contains(&self.concurrency) {
            return setting("concurrency", self.concurrency.to_string(), "1 to 1000");
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.function.is_empty() || self.function.len() > 64 || !self.function.chars().all(plain) {
            return setting("function", format!("{:?}", self.function), "1 to 64 letters, digits, - or _");
        }
        let environment: usize = self.environment.iter().map(|(name, value)| name.len() + value.len()).sum();
        if environment > LARGEST_ENVIRONMENT {
            return setting(
                "environment",
                format!("{environment} bytes"),
                "at most 4096 bytes of names and values",
            );
        }
        self.faults.check()?;
        if let Some((name, _)) = self.environment.iter().find(|(name, _)| reserved(name)) {
            return Err(Error::Reserved(name.clone()));
        }
        self.check_program()
    }

    fn check_program(&self) -> Result<(), Error> {
        let refuse = |reason: String| Err(Error::Program { program: self.program.clone(), reason });
        match fs::metadata(&self.program) {
            Err(source) => refuse(source.to_string()),
            Ok(file) if !file.is_file() => refuse("it is not a file".into()),
            Ok(file) if file.permissions().mode() & 0o111 == 0 => refuse("it is not executable".into()),
            Ok(_) => Ok(()),
        }
    }
}

fn reserved(name: &str) -> bool {
    RESERVED_NAMES.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_outside_of_lambda_are_refused_by_name() {
        let good = Options::new(std::env::current_exe().unwrap());
        good.check().unwrap();
        let refused = |change: fn(&mut Options)| {
            let mut options = good.clone();
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert!(refused(|o| o.listen = "0.0.0.0:0".parse().unwrap()).contains("not the loopback"));
        assert!(refused(|o| o.memory_mb = 64).contains("`memory_mb` is 64"));
        assert!(refused(|o| o.time_limit = Duration::from_secs(901)).contains("`time_limit` is 901s"));
        assert!(refused(|o| o.concurrency = 0).contains("`concurrency` is 0"));
        assert!(refused(|o| o.function = "a/b".into()).contains("`function`"));
        assert!(refused(|o| o.environment.push(("AWS_REGION".into(), "x".into()))).contains("`AWS_REGION`"));
        assert!(
            refused(|o| o.environment.push(("A".into(), "x".repeat(4096)))).contains("`environment` is 4097")
        );
        assert!(refused(|o| o.program = "no-such-binary".into()).contains("no-such-binary"));
        assert!(refused(|o| o.program = "Cargo.toml".into()).contains("not executable"));
        assert!(refused(|o| o.faults.duplicate = 1.5).contains("`faults.duplicate` is 1.5"));
    }
}
