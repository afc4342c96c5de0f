//! The templates, as they are built into this command or lie in a folder, with what is to be kept on deletion.

use crate::Failure;
use std::path::Path;

const NETWORK: &str = include_str!("../../../cloudformation/network.yaml");
const TRAINER: &str = include_str!("../../../cloudformation/trainer.yaml");

/// What outlives the stack when it is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// The file system: datasets, weights, features and runs.
    Files,
    /// The bucket: what was pushed and pulled.
    Bucket,
}

impl Keep {
    /// The template's parameter.
    pub const PARAMETER: &str = "Keep";

    /// What the parameter says.
    pub fn of_parameter(text: &str) -> Vec<Keep> {
        let kept = [("files", Keep::Files), ("bucket", Keep::Bucket)];
        kept.into_iter()
            .filter(|(word, _)| text.split('+').any(|part| part == *word))
            .map(|(_, keep)| keep)
            .collect()
    }

    /// The parameter that says so.
    pub fn parameter(keep: &[Keep]) -> String {
        match (keep.contains(&Keep::Files), keep.contains(&Keep::Bucket)) {
            (true, true) => "files+bucket",
            (true, false) => "files",
            (false, true) => "bucket",
            (false, false) => "nothing",
        }
        .into()
    }
}

/// The two templates.
#[derive(Clone, Debug)]
pub struct Templates {
    /// `network.yaml`
    pub network: String,
    /// `trainer.yaml`
    pub trainer: String,
}

impl Templates {
    /// Those of a folder, or the built-in ones.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn load(folder: Option<&Path>) -> Result<Templates, Failure> {
        let read = |name: &str, built_in: &str| match folder {
            None => Ok(built_in.to_owned()),
            Some(folder) => {
                let path = folder.join(name);
                std::fs::read_to_string(&path).map_err(Failure::io("read", &path))
            }
        };
        Ok(Templates { network: read("network.yaml", NETWORK)?, trainer: read("trainer.yaml", TRAINER)? })
    }

    /// With some of the trainer's resources outliving it. [`Keep::PARAMETER`] changes with it: CloudFormation takes no
    /// update that changes a policy alone.
    #[must_use]
    pub fn keeping(mut self, keep: &[Keep]) -> Templates {
        for kept in keep {
            let resource = match kept {
                Keep::Nothing => continue,
                Keep::Files => "  FileSystem:\n",
                Keep::Bucket => "  Bucket:\n",
            };
            if let Some(at) = self.trainer.rfind(resource) {
                let (before, rest) = self.trainer.split_at(at);
                self.trainer = format!(
                    "{before}{}",
                    rest.replacen("DeletionPolicy: Delete", "DeletionPolicy: Retain", 1)
                );
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The resources that are kept.
    fn kept(keep: &[Keep]) -> Vec<String> {
        let (before, after) = (Templates::load(None).unwrap(), Templates::load(None).unwrap().keeping(keep));
        assert_eq!(before.network, after.network);
        let mut resource = "";
        let mut kept = Vec::new();
        for (was, is) in before.trainer.lines().zip(after.trainer.lines()) {
            if is.starts_with("  ") && !is.starts_with("   ") {
                resource = is.trim();
            }
            if was != is {
                assert_eq!(is, "    DeletionPolicy: Retain");
                kept.push(resource.to_owned());
            }
        }
        kept
    }

    #[test]
    fn what_is_to_be_kept_is_kept_and_nothing_else_changes() {
        assert!(kept(&[]).is_empty() && kept(&[Keep::Nothing]).is_empty());
        assert_eq!(kept(&[Keep::Files]), ["FileSystem:"]);
        assert_eq!(kept(&[Keep::Bucket]), ["Bucket:"]);
        assert_eq!(kept(&[Keep::Bucket, Keep::Files]), ["FileSystem:", "Bucket:"]);
    }

    #[test]
    fn the_parameter_says_what_is_kept() {
        for text in ["nothing", "files", "bucket", "files+bucket"] {
            assert_eq!(Keep::parameter(&Keep::of_parameter(text)), text);
            assert!(TRAINER.contains(text));
        }
    }
}
