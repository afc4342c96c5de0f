//! Licences of dependencies: `deny.toml` allows each, and `THIRD-PARTY.md` names all that is shipped.
//!
//! ```sh
//! BATON_WRITE=1 cargo test --release -p tests --test licences     # writes the list anew
//! ```

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The crates whose programs are shipped.
const SHIPPED: [&str; 3] = ["trainer", "setup", "data-prep"];

/// How the list begins.
const HEAD: &str = "# Third-party notices

The programs `baton`, `trainer` and `data-prep` have these crates in them, on Linux. The text of each
licence, with its copyright notice, is in the crate's package of that version. A test makes this list:
`tests/suites/licences.rs`.

| crate | version | licence | source |
|---|---|---|---|
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_default()
}

/// All packages for the platform that Lambda has, and who needs whom.
fn metadata() -> Value {
    let arguments = ["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform"];
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    let command = command.args(arguments).arg("x86_64-unknown-linux-gnu").current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The licences that `deny.toml` allows, and what it says of crates that do not say theirs.
fn allowed() -> (BTreeSet<String>, BTreeMap<String, String>) {
    let text = read("deny.toml");
    let list = text.split("\nallow = [").nth(1).and_then(|rest| rest.split("\n]").next()).unwrap();
    let quoted = |line: &str| line.split('"').nth(1).map(str::to_owned);
    let crates = text.lines().filter(|line| line.starts_with("crate = ")).filter_map(quoted);
    let expressions = text.lines().filter(|line| line.starts_with("expression = ")).filter_map(quoted);
    (list.lines().filter_map(quoted).collect(), crates.zip(expressions).collect())
}

/// Whether an SPDX expression leaves a choice that is allowed.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    // Nobody nests deeper than alternatives in what has to hold together.
    expression.split(" AND ").all(|all| all.split(" OR ").any(|one| allowed.contains(one.trim())))
}

fn licence(package: &Value, clarified: &BTreeMap<String, String>) -> String {
    let name = package["name"].as_str().unwrap();
    let said = package["license"].as_str().map(str::to_owned);
    said.or_else(|| clarified.get(name).cloned()).unwrap_or_else(|| "none".into())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The packages that the shipped programs are made of, by their ids.
fn shipped(metadata: &Value) -> BTreeSet<&str> {
    let packages = metadata["packages"].as_array().unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let nodes: BTreeMap<&str, &Value> = nodes.iter().map(|node| (text(&node["id"]), node)).collect();
    let own = packages.iter().filter(|package| SHIPPED.contains(&text(&package["name"])));
    let mut open: Vec<&str> =
        own.filter(|package| package["source"].is_null()).map(|package| text(&package["id"])).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !found.insert(id) {
            continue;
        }
        let normal = |needed: &&Value| {
            needed["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null())
        };
        let needed = nodes[id]["deps"].as_array().unwrap().iter().filter(normal);
        open.extend(needed.map(|needed| text(&needed["pkg"])));
    }
    found
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let (allowed, clarified) = allowed();
    assert!(allowed.len() > 10 && !is_allowed("GPL-3.0-only", &allowed), "{allowed:?}");
    assert!(is_allowed("(MIT OR GPL-2.0) AND IJG", &allowed) && !is_allowed("MIT AND GPL-2.0", &allowed));
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let foreign = packages.filter(|package| !package["source"].is_null());
    let refused: Vec<String> = foreign
        .filter(|package| !is_allowed(&licence(package, &clarified), &allowed))
        .map(|package| {
            let said = licence(package, &clarified);
            format!("{} {}: {said}", package["name"], package["version"])
        })
        .collect();
    assert!(refused.is_empty(), "not allowed by deny.toml: {refused:#?}");
}

#[test]
fn every_crate_comes_from_the_registry() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().unwrap() {
        let source = package["source"].as_str().unwrap_or("registry+");
        assert!(source.starts_with("registry+"), "{} comes from {source}", package["name"]);
    }
}

#[test]
fn what_is_shipped_is_named() {
    let (_, clarified) = allowed();
    let metadata = metadata();
    let shipped = shipped(&metadata);
    let packages = metadata["packages"].as_array().unwrap().iter();
    let rows: BTreeSet<String> = packages
        .filter(|package| !package["source"].is_null() && shipped.contains(package["id"].as_str().unwrap()))
        .map(|package| {
            let [name, version, source] = ["name", "version", "repository"].map(|key| text(&package[key]));
            format!("| {name} | {version} | {} | {source} |", licence(package, &clarified))
        })
        .collect();
    assert!(rows.len() > 100, "{} crates", rows.len());
    let wanted = format!("{HEAD}{}\n", rows.into_iter().collect::<Vec<_>>().join("\n"));
    if std::env::var_os("BATON_WRITE").is_some() {
        std::fs::write(root().join("THIRD-PARTY.md"), &wanted).unwrap();
    }
    assert!(read("THIRD-PARTY.md") == wanted, "THIRD-PARTY.md is old: BATON_WRITE=1 writes it anew");
}
