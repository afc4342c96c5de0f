//! `baton pull`: a run's model and ledger from the function's file system, via the bucket.

use crate::Failure;
use crate::aws::{Aws, said};
use crate::fetch::sha256;
use crate::output::write_whole;
use protocol::{Errand, Pushed, RunId};
use std::path::PathBuf;
use terminal::say;

/// Copies a run's model here, for `baton predict`, `evaluate` and `export`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example:\n  baton pull --run my-run --root efs && baton predict --run my-run --root efs photo.jpg"
)]
pub struct Pull {
    /// The run.
    #[arg(long)]
    pub run: String,
    /// The folder whose runs/ it is copied to; use the folder that was pushed from.
    #[arg(long)]
    pub root: PathBuf,
    /// The stack's name.
    #[arg(long, default_value = crate::cloud::FUNCTION)]
    pub stack: String,
}

impl Pull {
    /// Pulls.
    ///
    /// # Errors
    /// No such run, damage on the way, AWS's error.
    pub async fn run(&self) -> Result<(), Failure> {
        let run = RunId::new(&self.run).map_err(Failure::input)?;
        let aws = Aws::connect().await?;
        let bucket = aws.output(&self.stack, "Bucket").await?;
        let function = aws.output(&self.stack, "Function").await?;
        let reply = aws.ask(&function, &Errand::Deliver { run: run.clone() }).await?;
        let delivered: Vec<Pushed> = serde_json::from_value(reply["delivered"].clone())
            .map_err(|error| Failure::from(format!("the function's answer: {error}")))?;
        let within = format!("runs/{run}/");
        for file in &delivered {
            // A function that is not ours must not be able to write elsewhere here.
            let plain = file.path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
            if !file.path.starts_with(&within) || !plain {
                return Err(Failure::input(format!(
                    "the function returned {:?}, expected {within}…",
                    file.path
                )));
            }
            self.fetch(&aws, &bucket, file).await?;
        }
        if !delivered.iter().any(|file| file.path.ends_with("/model/model.json")) {
            say!("run {run} has no model yet: baton watch --run {run} --table {}", self.stack);
        }
        Ok(())
    }

    async fn fetch(&self, aws: &Aws, bucket: &str, file: &Pushed) -> Result<(), Failure> {
        let path = self.root.join(&file.path);
        if path.is_file() && sha256(&path).is_ok_and(|found| found == file.sha256) {
            say!("  {} is there", path.display());
            return Ok(());
        }
        let object = aws.objects.get_object().bucket(bucket).key(&file.path).send().await;
        let object = object.map_err(|error| said("download", &file.path, error))?;
        let body = object.body.collect().await;
        let body = body.map_err(|error| Failure::from(format!("{}: {error}", file.path)))?.to_vec();
        let found: String =
            <sha2::Sha256 as sha2::Digest>::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
        if found != file.sha256 {
            return Err(Failure::input(format!(
                "{} arrived with SHA-256 {found}, expected {}: run the same command again",
                file.path, file.sha256
            )));
        }
        let folder = path.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(folder).map_err(Failure::io("create", folder))?;
        write_whole(&path, &body)?;
        say!("  {} ({:.1} MB)", path.display(), body.len() as f64 / 1e6);
        Ok(())
    }
}
