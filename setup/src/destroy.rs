//! `baton destroy`: lists what would be deleted, and with --yes deletes it and leaves nothing behind.

use crate::Failure;
use crate::aws::{Aws, Stack, said};
use crate::deploy::stack::{self, Wanted};
use crate::deploy::{Keep, Templates, network_of};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use std::collections::BTreeMap;
use std::path::PathBuf;
use terminal::say;

/// Removes Baton from AWS. Without --yes it only lists what would be removed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  baton destroy   lists what would be removed\n  baton destroy --yes\n  \
    baton destroy --keep files --yes   everything but the file system")]
pub struct Destroy {
    /// The stack's name.
    #[arg(long, default_value = crate::cloud::FUNCTION)]
    pub stack: String,
    /// Carry it out.
    #[arg(long)]
    pub yes: bool,
    /// The parts to keep.
    #[arg(long, value_delimiter = ',')]
    pub keep: Vec<Keep>,
    /// Templates that were deployed instead of the built-in ones.
    #[arg(long)]
    pub templates: Option<PathBuf>,
}

impl Destroy {
    /// Destroys.
    ///
    /// # Errors
    /// In words: the resource that could not be deleted, and why.
    pub async fn run(&self) -> Result<(), Failure> {
        let aws = Aws::connect().await?;
        let names = [self.stack.clone(), network_of(&self.stack)];
        let mut found = Vec::new();
        for name in &names {
            if let Some(stack) = aws.stack(name).await? {
                found.push((name, stack));
            }
        }
        if found.is_empty() {
            say!("there is no stack {} in {}: nothing to do", self.stack, aws.region());
            return Ok(());
        }
        for (name, stack) in &found {
            say!("{name} ({}):", stack.status);
            self.tell(&aws, name, stack.outputs.get("Bucket")).await?;
        }
        if !self.yes {
            say!("nothing was deleted; to delete it: baton destroy --stack {} --yes", self.stack);
            return Ok(());
        }
        for (name, stack) in found {
            if *name == self.stack {
                let kept = self.keep(&aws, &stack).await?;
                if let Some(bucket) = stack.outputs.get("Bucket").filter(|_| !kept.contains(&Keep::Bucket)) {
                    empty(&aws, bucket).await?;
                }
                // Lambda releases a network's interfaces some time after the function is gone.
                say!("deleting {name}; the function's network interfaces can take 20 minutes and more");
            }
            stack::delete(&aws, name).await?;
        }
        say!("deleted");
        Ok(())
    }

    /// Lists the content of a stack.
    async fn tell(&self, aws: &Aws, name: &str, bucket: Option<&String>) -> Result<(), Failure> {
        let mut pages = aws.stacks.list_stack_resources().stack_name(name).into_paginator().items().send();
        while let Some(resource) = pages.next().await {
            let resource = resource.map_err(|error| said("list the resources of", name, error))?;
            let (logical, kind) = (
                resource.logical_resource_id().unwrap_or_default(),
                resource.resource_type().unwrap_or_default(),
            );
            say!("  - {logical:18} {kind}  {}", resource.physical_resource_id().unwrap_or_default());
        }
        if let Some(bucket) = bucket {
            let (count, bytes) =
                list(aws, bucket).await?.iter().fold((0, 0), |(n, sum), (_, b)| (n + 1, sum + b));
            say!("    the bucket holds {count} objects, {:.1} MB", bytes as f64 / 1e6);
        }
        Ok(())
    }

    /// Makes the kept resources outlive the stack, and returns them.
    async fn keep(&self, aws: &Aws, stack: &Stack) -> Result<Vec<Keep>, Failure> {
        let said = |key: &str| stack.parameters.get(key).map_or("", String::as_str);
        let before = Keep::of_parameter(said(Keep::PARAMETER));
        if self.keep.is_empty() || Keep::parameter(&self.keep) == Keep::parameter(&before) {
            return Ok(before);
        }
        let templates = Templates::load(self.templates.as_deref())?;
        let templates = templates.adapted(&self.keep, !said("RoleArn").is_empty());
        let parameters = BTreeMap::from([(Keep::PARAMETER, Keep::parameter(&self.keep))]);
        let wanted = Wanted { name: &self.stack, template: &templates.trainer, parameters };
        if let Some(changes) = stack::plan(aws, &wanted).await? {
            changes.carry_out(aws, &self.stack).await?;
        }
        Ok(self.keep.clone())
    }
}

/// The objects of a bucket with their sizes.
async fn list(aws: &Aws, bucket: &str) -> Result<Vec<(String, i64)>, Failure> {
    let mut pages = aws.objects.list_objects_v2().bucket(bucket).into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| said("list", bucket, error))?;
        let objects = page.contents().iter();
        found.extend(
            objects.filter_map(|object| Some((object.key()?.to_owned(), object.size().unwrap_or(0)))),
        );
    }
    Ok(found)
}

/// Removes all objects: CloudFormation deletes an empty bucket only.
async fn empty(aws: &Aws, bucket: &str) -> Result<(), Failure> {
    for some in list(aws, bucket).await?.chunks(1_000) {
        let objects: Result<Vec<_>, _> =
            some.iter().map(|(key, _)| ObjectIdentifier::builder().key(key).build()).collect();
        let delete =
            objects.and_then(|objects| Delete::builder().set_objects(Some(objects)).quiet(true).build());
        let delete = delete.map_err(|error| Failure::from(error.to_string()))?;
        let gone = aws.objects.delete_objects().bucket(bucket).delete(delete).send().await;
        let gone = gone.map_err(|error| said("empty", bucket, error))?;
        if let Some(error) = gone.errors().first() {
            let (key, why) = (error.key().unwrap_or_default(), error.message().unwrap_or_default());
            return Err(Failure::from(format!("cannot delete {key} from {bucket}: {why}")));
        }
    }
    Ok(())
}
