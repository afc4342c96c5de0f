//! `baton pull`: a run's model and ledger from the function's file system, via the bucket.

use crate::Failure;
use crate::aws::{Aws, said};
use crate::fetch::download::{Download, sha256};
use crate::fetch::{PATIENCE, WAITS};
use aws_sdk_s3::presigning::PresigningConfig;
use protocol::{Errand, Pushed, RunId};
use std::path::PathBuf;
use std::time::Duration;
use terminal::say;

/// How long the address of a file is good for.
const SIGNED: Duration = Duration::from_secs(6 * 3_600);

/// Copies a run's model here, for `baton predict`, `evaluate` and `export`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    baton pull --run my-run --root efs && baton predict --run my-run --root efs photo.jpg")]
pub struct Pull {
    /// The run.
    #[arg(long)]
    pub run: String,
    /// The folder whose runs/ it is copied to; use the folder that was pushed from.
    #[arg(long, default_value_os_t = crate::usual_root())]
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
        let delivered = deliver(&aws, &function, &run).await?;
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
        if !delivered.iter().any(|file| file.path.contains("/model/")) {
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
        let folder = path.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(folder).map_err(Failure::io("create", folder))?;
        let signed = PresigningConfig::expires_in(SIGNED).map_err(|error| error.to_string())?;
        let object = aws.objects.get_object().bucket(bucket).key(&file.path).presigned(signed).await;
        let url = object.map_err(|error| said("download", &file.path, error))?.uri().to_owned();
        // Beside, under its content's name: an interrupted download is gone on with, and what is there stays
        // until the new is whole.
        let incoming = folder.join(format!(".{}", file.sha256.get(..16).unwrap_or(&file.sha256)));
        let (sha256, most, waits) = (file.sha256.clone(), file.bytes, WAITS.to_vec());
        let download = Download { url, path: incoming.clone(), sha256, most, patience: PATIENCE, waits };
        let got = tokio::task::spawn_blocking(move || download.run(&|_| {})).await;
        got.map_err(|error| error.to_string())?
            .map_err(|error| Failure { code: 4, message: format!("{error}: do the same again") })?;
        std::fs::rename(&incoming, &path).map_err(Failure::io("write", &path))?;
        say!("  {} ({:.1} MB)", path.display(), file.bytes as f64 / 1e6);
        Ok(())
    }
}

/// Has the function put a run's files into the bucket, in as many goes as it takes.
async fn deliver(aws: &Aws, function: &str, run: &RunId) -> Result<Vec<Pushed>, Failure> {
    let mut delivered: Vec<Pushed> = Vec::new();
    loop {
        let errand = Errand::Deliver { run: run.clone(), from: delivered.len() };
        let reply = aws.ask(function, &errand).await?;
        let some: Vec<Pushed> = serde_json::from_value(reply["delivered"].clone())
            .map_err(|error| Failure::from(format!("the function's answer: {error}")))?;
        let none = some.is_empty();
        delivered.extend(some);
        if none || delivered.len() as u64 >= reply["of"].as_u64().unwrap_or(0) {
            return Ok(delivered);
        }
    }
}
