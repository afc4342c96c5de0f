//! The arguments of a benchmark: the words after `cargo bench --`.

/// The words after `cargo bench --`: a network's name, then `--option value`.
pub(crate) struct Words(Vec<String>);

impl Words {
    /// This process's own.
    pub(crate) fn given() -> Words {
        Words(std::env::args().skip(1).filter(|word| word != "--bench").collect())
    }

    /// The network, `vgg19` if none is named.
    pub(crate) fn network(&self) -> &str {
        self.0.first().filter(|word| !word.starts_with('-')).map_or("vgg19", String::as_str)
    }

    /// The word after the option.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.0.iter().skip_while(|word| *word != name).nth(1).map(String::as_str)
    }

    /// The number after the option.
    pub(crate) fn number(&self, name: &str, otherwise: usize) -> Result<usize, std::num::ParseIntError> {
        self.option(name).map_or(Ok(otherwise), str::parse)
    }
}
