//! Copies the sources of the protocol, the storage and the handler, with every mutation written in beside the
//! original. The shipped crates have none.

use std::path::{Path, PathBuf};
use std::{env, fs};

// The crate makes these items public; here they are only read.
#[allow(unreachable_pub, dead_code)]
#[path = "src/list.rs"]
mod list;

use list::{MUTATIONS, Mutation};

/// Each crate's folder of sources, and the files or folders of it that are copied.
const SOURCES: [(&str, &str, &[&str]); 4] = [
    ("protocol", "trainer/protocol/src", &["."]),
    ("storage", "trainer/storage/src", &["."]),
    ("work", "trainer/work/src", &["."]),
    ("trainer", "trainer/src", &["error.rs", "services.rs", "handler.rs", "handler"]),
];

/// The root of the crate of which only a part is copied.
const TRAINER: &str = "//! The handler, without the cloud.\n\n\
    mod error;\npub mod handler;\npub mod services;\n\n\
    pub use error::{Error, Fate};\n";

fn main() {
    let workspace = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo says where")).join("../../..");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo says where"));
    let mut unused: Vec<&str> = MUTATIONS.iter().map(|mutation| mutation.name).collect();
    let mut root = String::new();
    for (name, folder, parts) in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(folder).display());
        let target = out.join(name);
        let _ = fs::remove_dir_all(&target);
        for part in parts {
            copy(&workspace, &Path::new(folder).join(part), &target.join(part), name, &mut unused);
        }
        root += &format!(
            "/// From `{folder}`.\n#[allow(dead_code)]\n#[path = {:?}]\npub mod {name};\n",
            target.join("lib.rs")
        );
    }
    fs::write(out.join("trainer/lib.rs"), rewritten("trainer", TRAINER)).expect("writes");
    fs::write(out.join("mutants.rs"), root).expect("writes");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src");
    assert!(unused.is_empty(), "mutations whose text is not in the sources any more: {unused:?}");
}

fn copy(workspace: &Path, from: &Path, to: &Path, name: &str, unused: &mut Vec<&str>) {
    let source = workspace.join(from);
    if source.is_dir() {
        for entry in fs::read_dir(&source).expect("a folder") {
            let file = entry.expect("an entry").file_name();
            copy(workspace, &from.join(&file), &to.join(&file), name, unused);
        }
        return;
    }
    if from.extension().is_none_or(|extension| extension != "rs") {
        return;
    }
    let mut text = fs::read_to_string(&source).expect("a source file");
    let from = from.components().collect::<PathBuf>();
    for mutation in MUTATIONS.iter().filter(|mutation| Path::new(mutation.file) == from) {
        if !mutation.original.is_empty() && text.matches(mutation.original).count() == 1 {
            text = text.replace(mutation.original, &written(mutation, unused));
        }
    }
    fs::create_dir_all(to.parent().expect("a folder")).expect("makes it");
    fs::write(to, rewritten(name, &text)).expect("writes");
}

/// The text of a mutation, with the test whether it is on.
fn written(mutation: &Mutation, unused: &mut Vec<&str>) -> String {
    let mut text = mutation.mutant.to_owned();
    for other in MUTATIONS {
        let named = format!("MUTATED({})", other.name);
        if text.contains(&named) {
            text = text.replace(&named, &on(other.name));
            unused.retain(|name| *name != other.name);
        }
    }
    if text.contains("MUTATED") {
        unused.retain(|name| *name != mutation.name);
    }
    text.replace("MUTATED", &on(mutation.name))
}

fn on(name: &str) -> String {
    format!("crate::mutation::on({name:?})")
}

/// The crate `name` as a module: its own paths begin one step further down, and its siblings are beside it.
fn rewritten(name: &str, text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1024);
    let mut rest = text;
    while let Some(at) = rest.find("::") {
        let (head, tail) = rest.split_at(at);
        let word = head.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |end| end + 1);
        let (before, word) = head.split_at(word);
        out += before;
        let first = !before.ends_with("::");
        let sibling = SOURCES.iter().any(|(sibling, ..)| *sibling == word);
        match word {
            "crate" if first && !tail.starts_with("::mutation::") => out += &format!("crate::{name}"),
            _ if first && sibling => out += &format!("crate::{word}"),
            _ => out += word,
        }
        // The colons themselves, so that the next word does not count as a first one.
        out += "::";
        rest = &tail[2..];
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if rest[word..].starts_with("::") {
            out += &rest[..word];
            rest = &rest[word..];
        }
    }
    out + rest
}
