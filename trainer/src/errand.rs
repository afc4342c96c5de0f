//! Errands besides training: copying files from the bucket to the shared file system, copying a run's model
//! to the bucket, a probe.

use crate::Error;
use protocol::{Errand, Manifest, Pushed, RunId};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;
use storage::{Arrival, Incoming, Root};

/// The longest work of one errand, so that its caller sees it move.
const PATIENCE_MS: u64 = 45_000;
/// The most bytes of a manifest: some hundred thousand files.
const MOST_TEXT: usize = 64 << 20;
/// The part of an invocation's time that is kept for writing and answering.
const RESERVE_MS: u64 = 5_000;

/// Objects by their keys.
pub trait Bucket: Send + Sync {
    /// An object from a byte on, piece by piece, until there is no more or `take` returns false.
    fn stream(&self, key: &str, from: u64, take: &mut Take<'_>) -> Result<(), Error>;
    /// Puts a file of so many bytes.
    fn put(&self, key: &str, file: &Path, bytes: u64) -> Result<(), Error>;
}

/// Takes a piece of an object and returns whether to go on.
pub type Take<'a> = dyn FnMut(&[u8]) -> Result<bool, Error> + 'a;

/// The tools of an errand.
pub struct Desk<'a> {
    /// The shared file system.
    pub root: &'a Root,
    /// The bucket; none for a function without one.
    pub bucket: Option<&'a dyn Bucket>,
    /// The results of a probe besides the file system.
    pub probe: &'a dyn Fn() -> Value,
    /// The time, in milliseconds since 1970.
    pub now_ms: &'a dyn Fn() -> u64,
    /// When the invocation is killed.
    pub deadline_ms: u64,
}

impl Desk<'_> {
    /// Carries out an errand and returns its answer.
    ///
    /// # Errors
    /// Something could not be read, written or reached; the errand can be tried again.
    pub fn carry_out(&self, errand: &Errand) -> Result<Value, Error> {
        match errand {
            Errand::Prepare { manifest, from } => self.prepare(manifest, *from),
            Errand::Deliver { run, from } => self.deliver(run, *from),
            Errand::Probe => Ok(self.probe()),
        }
    }

    /// Copies files in until all are there or the time is up; the answer says where to continue.
    fn prepare(&self, manifest: &str, from: usize) -> Result<Value, Error> {
        let bucket = self.bucket()?;
        let text = small(bucket, manifest)?;
        let Manifest { schema, files } = serde_json::from_slice(&text)
            .map_err(|e| protocol::Error::refused(manifest, e.to_string(), "a manifest of `baton push`"))?;
        if schema != Manifest::SCHEMA {
            let (what, known) = (manifest.to_owned(), Manifest::SCHEMA);
            return Err(protocol::Error::Schema { what, found: schema, known }.into());
        }
        let until_ms = self.until_ms();
        let mut done = from;
        let mut bytes = 0;
        for file in files.iter().skip(from) {
            let (whole, new) = bring_in(self.root, bucket, file, &|| (self.now_ms)() < until_ms)?;
            bytes += new;
            if !whole {
                break;
            }
            if file.executable {
                storage::allow_running(self.root, &file.path)?;
            }
            done += 1;
        }
        Ok(json!({"prepared": done, "of": files.len(), "bytes": bytes}))
    }

    /// Puts a run's ledger and model into the bucket until all are there or the time is up: one file at
    /// least.
    fn deliver(&self, run: &RunId, from: usize) -> Result<Value, Error> {
        let bucket = self.bucket()?;
        let folder = self.root.run(run);
        let ledger = folder.ledger();
        match storage::Log::open(&ledger) {
            Err(storage::Error::Missing { .. }) => return Err(Error::NoRun { found: run.to_string() }),
            opened => drop(opened?),
        }
        let mut files = vec![("ledger".to_owned(), ledger)];
        let model = folder.model();
        // Nothing is decided by this listing: a person wants to see these files.
        let entries = std::fs::read_dir(&model).map_err(storage::Error::io("list", &model))?;
        for entry in entries {
            let entry = entry.map_err(storage::Error::io("list", &model))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().map_err(storage::Error::io("look at", &entry.path()))?;
            if !name.starts_with('.') && kind.is_file() {
                files.push((format!("model/{name}"), entry.path()));
            }
        }
        files.sort();
        let (until_ms, of) = (self.until_ms(), files.len());
        let mut delivered = Vec::new();
        for (name, path) in files.into_iter().skip(from) {
            if !delivered.is_empty() && (self.now_ms)() >= until_ms {
                break;
            }
            let (bytes, sha256) = content(&path).map_err(storage::Error::io("read", &path))?;
            let key = format!("runs/{run}/{name}");
            bucket.put(&key, &path, bytes)?;
            delivered.push(Pushed { path: key, bytes, sha256, executable: false });
        }
        Ok(json!({"delivered": delivered, "of": of}))
    }

    fn probe(&self) -> Value {
        let mut found = (self.probe)();
        let begun_ms = (self.now_ms)();
        let root = match Root::open(self.root.path()).and_then(|root| root.space()) {
            Ok(storage::Space { free, used }) => {
                let ms = (self.now_ms)().saturating_sub(begun_ms);
                json!({"ok": true, "ms": ms, "free": free, "used": used})
            }
            Err(error) => json!({"ok": false, "why": error.to_string()}),
        };
        found["file_system"] = root;
        found
    }

    fn bucket(&self) -> Result<&dyn Bucket, Error> {
        let expected = "a function with a bucket: set BATON_BUCKET, as the template does";
        self.bucket.ok_or_else(|| protocol::Error::refused("BATON_BUCKET", "nothing", expected).into())
    }

    fn until_ms(&self) -> u64 {
        (self.now_ms)().saturating_add(PATIENCE_MS).min(self.deadline_ms.saturating_sub(RESERVE_MS))
    }
}

/// Copies one file in; returns whether it is whole, and how many bytes were new.
fn bring_in(
    root: &Root,
    bucket: &dyn Bucket,
    file: &Pushed,
    in_time: &dyn Fn() -> bool,
) -> Result<(bool, u64), Error> {
    let mut incoming = match Incoming::begin(root, &file.path, (file.bytes, &file.sha256), in_time)? {
        Arrival::There => return Ok((true, 0)),
        Arrival::Unknown => return Ok((false, 0)),
        Arrival::Missing(incoming) => incoming,
    };
    let had = incoming.have();
    if !incoming.is_whole() {
        bucket.stream(&Manifest::key(&file.sha256), had, &mut |piece| {
            incoming.take(piece)?;
            Ok(in_time())
        })?;
    }
    let new = incoming.have() - had;
    if !incoming.is_whole() {
        return Ok((false, new));
    }
    Ok((incoming.finish(in_time)?, new))
}

/// A small object, whole.
fn small(bucket: &dyn Bucket, key: &str) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    bucket.stream(key, 0, &mut |piece| {
        text.extend_from_slice(piece);
        Ok(text.len() <= MOST_TEXT)
    })?;
    if text.len() > MOST_TEXT {
        let expected = format!("at most {MOST_TEXT}: push fewer files at a time");
        return Err(protocol::Error::refused(key, "more bytes", expected).into());
    }
    Ok(text)
}

/// Length and SHA-256 of a file, however large it is.
fn content(path: &Path) -> std::io::Result<(u64, String)> {
    let (mut file, mut hash) = (std::fs::File::open(path)?, Sha256::new());
    let (mut bytes, mut piece) = (0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        hash.update(&piece[..read]);
        bytes += read as u64;
    }
    Ok((bytes, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn sha256(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    use std::collections::BTreeMap;
    use std::sync::Mutex;

    /// A bucket in memory that returns pieces of four bytes and cuts a stream after a while.
    #[derive(Default)]
    struct Memory {
        objects: Mutex<BTreeMap<String, Vec<u8>>>,
        cut_after: Option<usize>,
    }

    impl Bucket for Memory {
        fn stream(&self, key: &str, from: u64, take: &mut Take<'_>) -> Result<(), Error> {
            for (index, piece) in self.read(key)?[from as usize..].chunks(4).enumerate() {
                if self.cut_after == Some(index) && key.starts_with("push/files/") {
                    return Err(Error::Bucket { key: key.into(), reason: "cut".into() });
                }
                if !take(piece)? {
                    break;
                }
            }
            Ok(())
        }
        fn put(&self, key: &str, file: &Path, _: u64) -> Result<(), Error> {
            self.objects.lock().unwrap().insert(key.into(), std::fs::read(file).unwrap());
            Ok(())
        }
    }

    impl Memory {
        fn read(&self, key: &str) -> Result<Vec<u8>, Error> {
            let found = self.objects.lock().unwrap().get(key).cloned();
            found.ok_or_else(|| Error::Bucket { key: key.into(), reason: "NoSuchKey".into() })
        }

        fn push(&self, files: &[(&str, &str)]) {
            let mut objects = self.objects.lock().unwrap();
            let pushed = |(path, text): &(&str, &str)| {
                let sha256 = sha256(text.as_bytes());
                objects.insert(Manifest::key(&sha256), text.as_bytes().to_vec());
                let executable = path.ends_with("/run");
                Pushed { path: (*path).into(), bytes: text.len() as u64, sha256, executable }
            };
            let files = files.iter().map(pushed).collect();
            let manifest = serde_json::to_vec(&Manifest { schema: Manifest::SCHEMA, files }).unwrap();
            objects.insert("push/1.json".into(), manifest);
        }
    }

    fn ask(root: &Root, bucket: &Memory, errand: &Errand, ticks_ms: u64) -> Result<Value, Error> {
        let clock = Cell::new(0);
        let now_ms = || clock.replace(clock.get() + ticks_ms);
        let desk = Desk {
            root,
            bucket: Some(bucket),
            probe: &|| json!({"lambda": {"ok": true}}),
            now_ms: &now_ms,
            deadline_ms: 900_000,
        };
        desk.carry_out(errand)
    }

    fn prepare(from: usize) -> Errand {
        Errand::Prepare { manifest: "push/1.json".into(), from }
    }

    const FILES: [(&str, &str); 2] =
        [("datasets/a/train.npy", "0123456789abcdef"), ("datasets/a/dataset.json", "{}")];

    #[test]
    fn what_is_pushed_is_brought_in_over_several_invocations() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let bucket = Memory::default();
        bucket.push(&FILES);
        // Each look at the clock takes 30 s: the time is up at the second piece.
        let first = ask(&root, &bucket, &prepare(0), 30_000).unwrap();
        assert_eq!(first, json!({"prepared": 0, "of": 2, "bytes": 8}));
        assert!(!folder.path().join(FILES[0].0).exists());
        let second = ask(&root, &bucket, &prepare(0), 0).unwrap();
        assert_eq!(second, json!({"prepared": 2, "of": 2, "bytes": 10}));
        for (path, text) in FILES {
            assert_eq!(std::fs::read_to_string(folder.path().join(path)).unwrap(), text);
        }
        assert_eq!(ask(&root, &bucket, &prepare(0), 0).unwrap()["bytes"], 0, "all there");
    }

    #[test]
    fn hashing_stops_when_the_time_is_up_and_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let bucket = Memory::default();
        let large = "0123456789abcdef".repeat(3 << 16);
        bucket.push(&[("datasets/a/train.npy", &large), ("datasets/a/dataset.json", "{}")]);
        ask(&root, &bucket, &prepare(0), 0).unwrap();
        // It is there. Each look at the clock takes 20 s: an errand has time for two pieces of a megabyte.
        let mut errands = 1;
        while ask(&root, &bucket, &prepare(0), 20_000).unwrap()["prepared"] != 2 {
            errands += 1;
            assert!(errands < 9, "no errand comes further than the one before");
        }
        assert!(errands > 1, "three megabytes were looked at in one errand, whatever the time");
    }

    #[test]
    fn a_manifest_without_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let bucket = Memory::default();
        bucket.objects.lock().unwrap().insert("push/1.json".into(), vec![b' '; MOST_TEXT + 1]);
        let error = ask(&root, &bucket, &prepare(0), 0).unwrap_err().to_string();
        assert!(error.contains("push fewer files"), "{error}");
    }

    #[test]
    fn a_stream_that_breaks_off_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let mut bucket = Memory { cut_after: Some(2), ..Memory::default() };
        bucket.push(&FILES);
        assert_eq!(ask(&root, &bucket, &prepare(0), 0).unwrap_err().fate(), crate::Fate::Retry);
        bucket.cut_after = None;
        assert_eq!(ask(&root, &bucket, &prepare(0), 0).unwrap()["bytes"], 8 + 2);
    }

    #[test]
    fn a_program_that_is_pushed_can_be_run() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let bucket = Memory::default();
        let files = [("programs/p/run", "#!/bin/sh\necho 7\n"), ("programs/p/lib/data", "#!/bin/sh\n")];
        bucket.push(&files);
        assert_eq!(ask(&root, &bucket, &prepare(0), 0).unwrap()["prepared"], 2);
        let run = folder.path().join(files[0].0);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o111;
        assert_eq!(mode(&folder.path().join(files[1].0)), 0);
        assert_eq!(std::process::Command::new(&run).output().unwrap().stdout, b"7\n");
        // A file that exists without the right receives it again.
        std::fs::set_permissions(&run, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(ask(&root, &bucket, &prepare(0), 0).unwrap()["bytes"], 0);
        assert_eq!(mode(&run), 0o110);
    }

    #[test]
    fn damage_in_the_bucket_never_gets_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let bucket = Memory::default();
        bucket.push(&FILES);
        let key = Manifest::key(&sha256(FILES[0].1.as_bytes()));
        bucket.objects.lock().unwrap().insert(key, b"0123456789abcdeX".to_vec());
        assert!(ask(&root, &bucket, &prepare(0), 0).is_err());
        assert!(!folder.path().join(FILES[0].0).exists());
    }

    #[test]
    fn a_runs_model_is_delivered_with_its_checksums() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let bucket = Memory::default();
        let run = RunId::new("a-run").unwrap();
        let deliver = Errand::Deliver { run: run.clone(), from: 0 };
        assert!(matches!(ask(&root, &bucket, &deliver, 0), Err(Error::NoRun { .. })));
        root.run(&run).create().unwrap();
        std::fs::write(root.run(&run).ledger(), "facts").unwrap();
        std::fs::write(root.run(&run).model().join("model.json"), "{}").unwrap();
        let reply = ask(&root, &bucket, &deliver, 0).unwrap();
        let delivered: Vec<Pushed> = serde_json::from_value(reply["delivered"].clone()).unwrap();
        let keys: Vec<_> = delivered.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(keys, ["runs/a-run/ledger", "runs/a-run/model/model.json"]);
        assert_eq!(delivered[1].sha256, sha256(b"{}"));
        assert_eq!((bucket.read(keys[1]).unwrap(), reply["of"].as_u64()), (b"{}".to_vec(), Some(2)));
        // Each look at the clock takes a minute: a file for each errand, and the next goes on behind it.
        for (from, key) in keys.iter().enumerate() {
            let reply = ask(&root, &bucket, &Errand::Deliver { run: run.clone(), from }, 60_000).unwrap();
            let files: Vec<Pushed> = serde_json::from_value(reply["delivered"].clone()).unwrap();
            assert_eq!((files.len(), files[0].path.as_str()), (1, *key), "{reply}");
        }
    }

    #[test]
    fn a_probe_says_what_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let probe = || ask(&root, &Memory::default(), &Errand::Probe, 1).unwrap();
        assert_eq!(probe()["file_system"]["ok"], true);
        assert!(probe()["file_system"]["free"].as_u64().is_some_and(|free| free > 0));
        assert_eq!(probe()["lambda"]["ok"], true);
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(probe()["file_system"]["ok"], false);
    }
}
