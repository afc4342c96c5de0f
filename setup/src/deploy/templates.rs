//! The templates, built into this command or from a folder, adapted to the resources that are kept on
//! deletion.

use crate::Failure;
use std::path::Path;

const NETWORK: &str = include_str!("../../../cloudformation/network.yaml");
const TRAINER: &str = include_str!("../../../cloudformation/trainer.yaml");

/// The resources that can be kept when the stack is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// The file system: datasets, weights, features and runs.
    Files,
    /// The bucket: pushed and pulled files.
    Bucket,
}

impl Keep {
    /// The template's parameter.
    pub const PARAMETER: &str = "Keep";

    /// The value of the parameter.
    pub fn of_parameter(text: &str) -> Vec<Keep> {
        let kept = [("files", Keep::Files), ("bucket", Keep::Bucket)];
        kept.into_iter()
            .filter(|(word, _)| text.split('+').any(|part| part == *word))
            .map(|(_, keep)| keep)
            .collect()
    }

    /// The parameter with this value.
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

    /// The templates to send: with the kept resources, and without roles if one is given.
    #[must_use]
    pub fn adapted(self, keep: &[Keep], role_is_given: bool) -> Templates {
        let kept = self.keeping(keep);
        if role_is_given { kept.without_roles() } else { kept }
    }

    /// The template for a given role, without any resource of IAM: CloudFormation asks for a capability for
    /// every template that has one, even if its condition leaves it out.
    #[must_use]
    fn without_roles(mut self) -> Templates {
        let trainer = self.trainer.replace("!If [OwnRoles, !GetAtt Role.Arn, !Ref RoleArn]", "!Ref RoleArn");
        let trainer = trainer.replace("!If [OwnRoles, !GetAtt SwitchRole.Arn, !Ref RoleArn]", "!Ref RoleArn");
        let mut kept = String::with_capacity(trainer.len());
        let mut in_role = false;
        let mut lines = trainer.split_inclusive('\n').peekable();
        while let Some(line) = lines.next() {
            if line.starts_with("  ") && !line.starts_with("   ") {
                in_role = lines.peek().is_some_and(|next| next.trim() == "Type: AWS::IAM::Role");
            }
            if !in_role && !line.starts_with("  HasCodeAndOwnRoles:") {
                kept.push_str(line);
            }
        }
        self.trainer = kept;
        self
    }

    /// The template with some of the trainer's resources kept on deletion. [`Keep::PARAMETER`] changes with
    /// it: CloudFormation accepts no update that changes only a policy.
    #[must_use]
    fn keeping(mut self, keep: &[Keep]) -> Templates {
        for kept in keep {
            let resource = match kept {
                Keep::Nothing => continue,
                Keep::Files => "  FileSystem:\n    Type:",
                Keep::Bucket => "  Bucket:\n    Type:",
            };
            if let Some(at) = self.trainer.find(resource) {
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
    fn with_a_given_role_nothing_of_iam_is_left() {
        let (before, after) =
            (Templates::load(None).unwrap(), Templates::load(None).unwrap().without_roles());
        assert_eq!(before.network, after.network);
        assert!(before.trainer.contains("AWS::IAM::Role"));
        for gone in ["AWS::IAM", "Role.Arn", "HasCodeAndOwnRoles", "sts:AssumeRole"] {
            assert!(!after.trainer.contains(gone), "{gone}");
        }
        let kinds = |text: &str| text.lines().filter(|line| line.starts_with("    Type: AWS::")).count();
        assert_eq!(kinds(&after.trainer), kinds(&before.trainer) - 2);
        assert!(after.trainer.contains("Outputs:"));
    }

    #[test]
    fn the_parameter_says_what_is_kept() {
        for text in ["nothing", "files", "bucket", "files+bucket"] {
            assert_eq!(Keep::parameter(&Keep::of_parameter(text)), text);
            assert!(TRAINER.contains(text));
        }
    }
}
