//! `baton push`: copies datasets, weights, programs and a job to the bucket, from where the function copies
//! them to its file system.

mod parts;
mod sources;

use crate::Failure;
use crate::aws::{Aws, said};
use crate::fetch::sha256;
use aws_sdk_s3::primitives::ByteStream;
use parts::{Parts, Upload};
use protocol::{Errand, FileRef, Manifest, Pushed};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use storage::Root;
use terminal::{note, say};

/// How often the function is asked again after an error.
const TRIES: usize = 5;
/// The manifest of a folder of weights.
const WEIGHTS: &str = "weights.json";
/// S3 accepts an object of 5 TB.
const LARGEST: u64 = 5 << 40;

/// Copies datasets, weights, programs and a job from a folder to the function's file system.
///
/// A file that the bucket or the file system already has, with the same content, is not sent again: the same
/// command continues where it was interrupted.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    baton push --root efs --dataset cifar10 --weights vgg19 --job docs/jobs/cifar10-vgg19.json\n  \
    baton push --root efs --program geocode --dataset addresses")]
pub struct Push {
    /// The folder with datasets/, weights/ and programs/.
    #[arg(long, default_value_os_t = crate::usual_root())]
    pub root: PathBuf,
    /// Datasets, by name.
    #[arg(long)]
    pub dataset: Vec<String>,
    /// Weights, by name.
    #[arg(long)]
    pub weights: Vec<String>,
    /// Programs, by name: all of programs/NAME/; executable files stay executable.
    #[arg(long)]
    pub program: Vec<String>,
    /// A job, for a `start` without one.
    #[arg(long)]
    pub job: Option<PathBuf>,
    /// Larger files are sent in parts of this many MB; parts that have arrived are not sent again.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(5..=5_000))]
    pub part: u64,
    /// The stack's name.
    #[arg(long, default_value = crate::cloud::FUNCTION)]
    pub stack: String,
}

impl Push {
    /// Pushes.
    ///
    /// # Errors
    /// A file that cannot be read, another content under the same name on the file system, AWS's error.
    pub async fn run(&self) -> Result<(), Failure> {
        let files = self.files()?;
        if files.is_empty() {
            return Err(Failure::input(
                "nothing to push: name a --dataset, --weights, a --program or a --job",
            ));
        }
        let aws = Aws::connect().await?;
        let bucket = aws.output(&self.stack, "Bucket").await?;
        let function = aws.output(&self.stack, "Function").await?;
        let mut manifest = Manifest { schema: Manifest::SCHEMA, files: Vec::new() };
        for (index, (path, file)) in files.iter().enumerate() {
            let pushed = describe(path, file)?;
            let sent = upload(&aws, &bucket, file, &pushed, self.part << 20).await?;
            let how = if sent { "uploaded" } else { "is there" };
            say!("  {}/{} {path} {how} ({:.1} MB)", index + 1, files.len(), pushed.bytes as f64 / 1e6);
            manifest.files.push(pushed);
        }
        let text = serde_json::to_vec(&manifest).map_err(|error| Failure::from(error.to_string()))?;
        let key = format!("push/{}.json", &hex(&Sha256::digest(&text))[..32]);
        let put = aws.objects.put_object().bucket(&bucket).key(&key).body(ByteStream::from(text));
        put.send().await.map_err(|error| said("upload", &key, error))?;
        prepare(&aws, &function, &key).await
    }

    /// The files to push: paths under the function's root, and the files here. The files that make a folder
    /// visible are last.
    fn files(&self) -> Result<Vec<(String, PathBuf)>, Failure> {
        let root = Root::open(&self.root)?;
        let mut files = Vec::new();
        for name in &self.dataset {
            let (from, path) = (root.dataset(name)?, format!("datasets/{name}"));
            let listed =
                if from.join(datasets::MANIFEST).is_file() { sources::listed(&from, &path)? } else { None };
            files.extend(match listed {
                Some(listed) => listed,
                None => folder(&from, &path, "dataset.json")?,
            });
        }
        for name in &self.weights {
            files.extend(folder(&root.weights(name)?, &format!("weights/{name}"), WEIGHTS)?);
        }
        for name in &self.program {
            files.extend(sources::program(&root.program(name)?, &format!("programs/{name}"))?);
        }
        if let Some(job) = &self.job {
            crate::start::read_job(job)?;
            files.push(("job.json".to_owned(), job.clone()));
        }
        Ok(files)
    }
}

/// The files of a folder that its manifest `last` names, and the manifest at the end. No other file is sent,
/// and no link is followed.
fn folder(folder: &Path, path: &str, last: &str) -> Result<Vec<(String, PathBuf)>, Failure> {
    if !folder.join(last).is_file() {
        return Err(Failure::input(format!("{} has no {last}: is that the right folder?", folder.display())));
    }
    let manifest = folder.join(last);
    regular(folder, false)?;
    let text = storage::unseal(&manifest, &storage::read_whole(&manifest)?.0)?;
    let value: Value = serde_json::from_slice(&text)
        .map_err(|error| Failure::input(format!("{}: {error}", manifest.display())))?;
    let mut names = named(&value);
    if last == WEIGHTS {
        // It names no file: each folder of weights has the same two.
        names.insert("weights.safetensors".to_owned());
    }
    names.remove(last);
    let file = |name: String| {
        storage::check_file_name(&name)?;
        let file = folder.join(&name);
        regular(&file, true)?;
        Ok((format!("{path}/{name}"), file))
    };
    names.into_iter().chain([last.to_owned()]).map(file).collect()
}

/// The names of all files that a manifest of a data set lists: whatever has a name, a length and a checksum.
fn named(manifest: &Value) -> BTreeSet<String> {
    if let Ok(file) = FileRef::deserialize(manifest) {
        return BTreeSet::from([file.name]);
    }
    let inner: Vec<&Value> = match manifest {
        Value::Array(values) => values.iter().collect(),
        Value::Object(entries) => entries.values().collect(),
        _ => Vec::new(),
    };
    inner.into_iter().flat_map(named).collect()
}

/// Checks that a path is a file or a folder, and no link to one: what it leads to may be anything of this
/// machine's.
fn regular(path: &Path, file: bool) -> Result<(), Failure> {
    let about = std::fs::symlink_metadata(path).map_err(Failure::io("look at", path))?;
    if about.is_file() == file && !about.is_symlink() {
        return Ok(());
    }
    let expected = if file { "file" } else { "folder" };
    let why = "only what lies there itself is pushed";
    Err(Failure::input(format!("{} is no {expected}: {why}", path.display())))
}

fn describe(path: &str, file: &Path) -> Result<Pushed, Failure> {
    let metadata = std::fs::metadata(file).map_err(Failure::io("look at", file))?;
    let bytes = metadata.len();
    let executable = path.starts_with("programs/") && metadata.permissions().mode() & 0o111 != 0;
    if bytes > LARGEST {
        return Err(Failure::input(format!("{} has more than 5 TB: make smaller shards", file.display())));
    }
    let sha256 = sha256(file).map_err(Failure::io("read", file))?;
    Ok(Pushed { path: path.to_owned(), bytes, sha256, executable })
}

/// Uploads a file unless the bucket has its content; returns whether it did.
async fn upload(
    aws: &Aws,
    bucket: &str,
    file: &Path,
    pushed: &Pushed,
    part_bytes: u64,
) -> Result<bool, Failure> {
    let key = Manifest::key(&pushed.sha256);
    let head = aws.objects.head_object().bucket(bucket).key(&key).send().await;
    if head.is_ok_and(|head| head.content_length() == i64::try_from(pushed.bytes).ok()) {
        return Ok(false);
    }
    if pushed.bytes > part_bytes {
        let parts = Parts::new(pushed.bytes, part_bytes);
        return Upload { aws, bucket, key: &key, file, parts }.run().await.map(|()| true);
    }
    let body = ByteStream::from_path(file).await;
    let body = body.map_err(|error| Failure::from(format!("cannot read {}: {error}", file.display())))?;
    let put = aws.objects.put_object().bucket(bucket).key(&key).body(body);
    put.send().await.map(|_| true).map_err(|error| said("upload", &pushed.path, error))
}

/// Asks the function to copy the files in, again and again until all are there.
async fn prepare(aws: &Aws, function: &str, manifest: &str) -> Result<(), Failure> {
    let mut from = 0;
    let mut failed = 0;
    loop {
        let errand = Errand::Prepare { manifest: manifest.to_owned(), from };
        let reply = match aws.ask(function, &errand).await {
            Ok(reply) => reply,
            // A refusal (code 3) is final; a file system that is slow to answer is not.
            Err(failure) if failure.code != 3 && failed + 1 < TRIES => {
                failed += 1;
                note!("  {failure}; again");
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let number = |key: &str| reply.get(key).and_then(Value::as_u64).unwrap_or(0) as usize;
        let (prepared, of) = (number("prepared"), number("of"));
        say!("  on the file system: {prepared} of {of}, {:.1} MB new", number("bytes") as f64 / 1e6);
        if prepared >= of {
            return Ok(());
        }
        from = prepared;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_makes_a_folder_visible_is_pushed_last() {
        let temporary = tempfile::tempdir().unwrap();
        let dataset = temporary.path().join("datasets/a");
        std::fs::create_dir_all(&dataset).unwrap();
        let push = Push {
            root: temporary.path().to_owned(),
            dataset: vec!["a".into()],
            weights: Vec::new(),
            program: Vec::new(),
            job: None,
            part: 256,
            stack: "baton".into(),
        };
        assert!(push.files().unwrap_err().message.contains("no dataset.json"));
        let listed = |name: &str| json!({"name": name, "bytes": 1, "xxh3": "0".repeat(32)});
        let manifest = |names: &[&str]| {
            let shards: Vec<_> = names.iter().map(|name| json!({"pixels": listed(name)})).collect();
            let text = json!({"schema": 2, "splits": {"train": {"shards": shards}}}).to_string();
            std::fs::write(dataset.join("dataset.json"), text).unwrap();
        };
        manifest(&["z.npy", "a.npy"]);
        for name in ["a.npy", "z.npy", ".hidden", "private-key"] {
            std::fs::write(dataset.join(name), name).unwrap();
        }
        let paths: Vec<_> = push.files().unwrap().into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["datasets/a/a.npy", "datasets/a/z.npy", "datasets/a/dataset.json"]);
        // A link, and a name that leaves the folder.
        std::os::unix::fs::symlink("private-key", dataset.join("link.npy")).unwrap();
        for name in ["link.npy", "../../../etc/passwd", "missing.npy"] {
            manifest(&["a.npy", name]);
            assert!(push.files().is_err(), "{name}");
        }
        let outside = Push { dataset: vec!["../a".into()], ..push };
        assert!(outside.files().is_err());
    }

    #[test]
    fn what_can_be_run_is_told_for_programs_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let file = temporary.path().join("run");
        for (path, mode, executable) in
            [("programs/p/run", 0o755, true), ("programs/p/run", 0o644, false), ("job.json", 0o755, false)]
        {
            std::fs::write(&file, "x").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(describe(path, &file).unwrap().executable, executable, "{path} {mode:o}");
        }
    }
}
