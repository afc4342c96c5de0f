//! The workspace as text: its files, its sources, its crates and the dependencies in their manifests.

use crate::code::{code, shipped};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A crate of the workspace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crate {
    /// The name in its manifest.
    pub(crate) name: String,
    /// Its folder below the workspace.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<String>,
    pub(crate) dev_dependencies: Vec<String>,
}

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Reads a file of the workspace.
pub(crate) fn read(file: &str) -> String {
    fs::read_to_string(workspace().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The files that git tracks, or would: relative paths.
pub(crate) fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace())
        .output()
        .expect("git lists the files");
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines().filter(|file| workspace().join(file).is_file()).map(str::to_owned).collect()
}

/// The Rust files with their texts.
pub(crate) fn sources() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|file| file.ends_with(".rs"));
    rust.map(|file| (read(&file), file)).map(|(text, file)| (file, text)).collect()
}

/// The crates of the workspace, as its manifest lists them.
pub(crate) fn crates() -> Vec<Crate> {
    let manifest = read("Cargo.toml");
    let members = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next());
    let folders = members.expect("the workspace lists its members").split('"').skip(1).step_by(2);
    folders.map(|folder| of_manifest(folder, &read(&format!("{folder}/Cargo.toml")))).collect()
}

/// The crate that a manifest describes.
pub(crate) fn of_manifest(folder: &str, manifest: &str) -> Crate {
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \""));
    let mut found = Crate {
        name: name.expect("a manifest has a name").trim_end_matches('"').to_owned(),
        folder: folder.to_owned(),
        ..Crate::default()
    };
    let mut table = String::new();
    for line in manifest.lines() {
        if let Some(heading) = line.strip_prefix('[') {
            table = heading.trim_end_matches(']').to_owned();
            continue;
        }
        let key = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if key.is_empty() || key.starts_with('#') {
            continue;
        }
        match table.rsplit('.').next() {
            Some("dependencies" | "build-dependencies") => found.dependencies.push(key.to_owned()),
            Some("dev-dependencies") => found.dev_dependencies.push(key.to_owned()),
            _ => {}
        }
    }
    found
}

/// The code that a crate ships, and all of its code: without comments and the insides of literals.
pub(crate) fn code_of(of: &Crate, sources: &[(String, String)]) -> (String, String) {
    let (mut ships, mut all) = (String::new(), String::new());
    for (file, text) in sources {
        let Some(below) = file.strip_prefix(&format!("{}/", of.folder)) else { continue };
        let own = ["src/", "tests/", "benches/", "build.rs"].iter().any(|place| below.starts_with(place));
        // The crate `tests` has its sources beside its manifest, and another crate below it.
        if !own && (of.name != "tests" || below.starts_with("harness/mutants/")) {
            continue;
        }
        let code = code(text);
        if below.starts_with("src/") || below == "build.rs" || of.name == "tests" {
            ships += &shipped(&code);
        }
        all += &code;
    }
    (ships, all)
}

#[test]
fn a_manifest_is_read() {
    let text = "[package]\nname = \"x\"\n\n\
                [dependencies]\na.workspace = true\n# why\nb-c = { path = \"c\" }\n\n\
                [target.'cfg(unix)'.dependencies]\nd = \"1\"\n\n[dev-dependencies]\ne.workspace = true\n\n\
                [lints]\nf = 1\n";
    let read = of_manifest("folder", text);
    assert_eq!((read.name.as_str(), read.dependencies.join(" ").as_str()), ("x", "a b-c d"));
    assert_eq!(read.dev_dependencies, ["e"]);
}
