//! All files under a folder with their bytes, to find the changes of a command.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every file under `folder` by its path below it. The local cloud's log is left out:
/// it may grow at any time.
pub fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(folder, folder, &mut files);
    files.retain(|name, _| !["local-cloud.log", "local-cloud.lock"].iter().any(|own| name.ends_with(own)));
    files
}

fn collect(top: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry").path();
        let kind = fs::symlink_metadata(&path).expect("an entry").file_type();
        if kind.is_dir() {
            collect(top, &path, files);
            continue;
        }
        let bytes = match kind.is_symlink() {
            true => format!("a link to {}", fs::read_link(&path).expect("a link").display()).into_bytes(),
            false => fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        };
        let name = path.strip_prefix(top).expect("below the top").display().to_string();
        files.insert(name, bytes);
    }
}

/// The names that differ between two trees, with the kind of change.
pub fn changes(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let gone = before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("- {name}"));
    let new_or_other = after.iter().filter_map(|(name, bytes)| match before.get(name) {
        None => Some(format!("+ {name}")),
        Some(old) if old != bytes => Some(format!("* {name}")),
        Some(_) => None,
    });
    gone.chain(new_or_other).collect()
}
