//! The imports of crates and of their modules.

use crate::known::{CIRCLES, UNUSED, held};
use crate::modules::{Imports, circles, imports, told};
use crate::tree::{Crate, code_of, crates, of_manifest, read, sources};
use std::collections::{BTreeMap, BTreeSet};

/// The other crates that a crate may import, outside its tests.
#[derive(Clone, Copy)]
enum Below {
    These(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

use Below::{AllBut, These};

/// The allowed imports of each crate of the workspace.
const MAY_IMPORT: &[(&str, Below)] = &[
    ("protocol", These(&[])),
    ("storage", These(&["protocol"])),
    ("networks", These(&[])),
    ("frozen", These(&["networks"])),
    ("work", These(&["protocol", "storage"])),
    ("datasets", These(&["protocol", "storage"])),
    ("rounds", These(&["protocol", "storage", "work", "frozen"])),
    ("units", These(&["protocol", "storage", "work"])),
    ("transfer", These(&["protocol", "storage", "work", "networks", "frozen", "datasets", "rounds"])),
    ("program", These(&["protocol", "storage", "work", "datasets", "units"])),
    ("factors", These(&["protocol", "storage", "work", "datasets", "rounds"])),
    ("workloads", These(&["work", "transfer", "program", "factors"])),
    ("trainer", These(&["protocol", "storage", "work", "workloads"])),
    ("example-divisors", These(&["protocol", "storage", "work", "units"])),
    ("terminal", These(&[])),
    ("local-cloud", These(&["terminal"])),
    ("data-prep", These(&["storage", "datasets", "terminal"])),
    ("setup", AllBut(&["frozen", "trainer", "tests", "baton-mutants"])),
    ("tests", AllBut(&["baton-mutants"])),
    ("baton-mutants", These(&[])),
];

/// The crates whose sources `tests/harness/mutants` compiles once more, with its own dependencies.
const COPIED: [&str; 4] = ["protocol", "storage", "work", "trainer"];

/// The imports that the table does not allow, and crates that are missing in the table or gone.
fn upward(crates: &[Crate], table: &[(&str, Below)]) -> Vec<String> {
    let names: BTreeSet<&str> = crates.iter().map(|of| of.name.as_str()).collect();
    let rows: BTreeMap<&str, Below> = table.iter().copied().collect();
    let gone = rows.keys().filter(|name| !names.contains(**name));
    let mut found: Vec<String> = gone.map(|name| format!("{name} is in the table and is no crate")).collect();
    for of in crates {
        let Some(below) = rows.get(of.name.as_str()) else {
            found.push(format!("{} is not in the table of what may import what", of.name));
            continue;
        };
        for name in of.dependencies.iter().filter(|name| names.contains(name.as_str())) {
            let allowed = match below {
                These(names) => names.contains(&name.as_str()),
                AllBut(names) => !names.contains(&name.as_str()),
            };
            if !allowed {
                found.push(format!("{} imports {name}, which is not below it", of.name));
            }
        }
    }
    found
}

/// Whether code names a crate: in a path, or in a `use` or an attribute of it.
fn names(code: &str, dependency: &str) -> bool {
    let name = dependency.replace('-', "_");
    let part = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(&name).any(|(at, _)| {
        let after = &code[at + name.len()..];
        let whole = !code[..at].chars().next_back().is_some_and(|c| part(c) || c == '.');
        let used = code[..at].trim_end().ends_with("use") && after.starts_with([';', ' ']);
        whole && (after.starts_with("::") || used)
    })
}

/// The dependencies of a manifest that the code does not name: in shipped code, and in all code.
fn unused(of: &Crate, (ships, all): (&str, &str)) -> Vec<String> {
    let own = of.dependencies.iter().filter(|name| !names(ships, name));
    let tests = of.dev_dependencies.iter().filter(|name| !names(all, name));
    own.chain(tests).map(|name| format!("{} {name}", of.name)).collect()
}

/// The imports of each crate's modules, by the crate's name and root.
fn module_imports(crates: &[Crate], sources: &[(String, String)]) -> Vec<(String, Imports)> {
    let sources: BTreeMap<String, String> = sources.iter().cloned().collect();
    let roots = crates.iter().flat_map(|of| {
        ["lib.rs", "main.rs"].map(|root| (of.name.clone(), format!("{}/src/{root}", of.folder)))
    });
    let there = roots.filter(|(_, root)| sources.contains_key(root));
    there.map(|(name, root)| (name, imports(&root, &sources))).collect()
}

#[test]
fn imports_run_downward_only() {
    let crates = crates();
    if std::env::var_os("BATON_IMPORTS").is_some() {
        for of in &crates {
            println!("{} -> {}", of.name, of.dependencies.join(" "));
        }
    }
    let found = upward(&crates, MAY_IMPORT);
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(crates.iter().filter(|of| of.dependencies.is_empty()).count() <= 2, "no dependencies were read");
}

#[test]
fn imports_of_modules_have_no_circle() {
    let mut found = BTreeMap::new();
    for (name, imports) in module_imports(&crates(), &sources()) {
        if std::env::var_os("BATON_IMPORTS").is_some() {
            for (module, others) in &imports {
                let others: Vec<String> = others.iter().map(told).collect();
                println!("{name}: {} -> {}", told(module), others.join(" "));
            }
        }
        found.extend(circles(&imports).into_iter().map(|circle| (format!("{name}: {circle}"), 1)));
    }
    held("modules that import each other in a circle", &found, CIRCLES);
}

#[test]
fn every_dependency_is_used() {
    let (crates, sources) = (crates(), sources());
    let mut found = BTreeMap::new();
    for of in &crates {
        let (mut ships, mut all) = code_of(of, &sources);
        if of.name == "baton-mutants" {
            for copied in crates.iter().filter(|of| COPIED.contains(&of.name.as_str())) {
                ships += &code_of(copied, &sources).0;
            }
            all += &crate::code::code(&read("tests/suites/mutations.rs"));
            all += &sources
                .iter()
                .filter(|(file, _)| file.starts_with("tests/harness/simulation/"))
                .fold(String::new(), |all, (_, text)| all + &crate::code::code(text));
        }
        found.extend(unused(of, (&ships, &all)).into_iter().map(|name| (name, 1)));
    }
    let workspace = of_manifest("", &format!("name = \"workspace\"\n{}", read("Cargo.toml")));
    let named = |name: &String| {
        crates.iter().any(|of| of.dependencies.contains(name) || of.dev_dependencies.contains(name))
    };
    let idle = workspace.dependencies.iter().filter(|name| !named(name));
    found.extend(idle.map(|name| (format!("workspace {name}"), 1)));
    held("dependencies that no source names", &found, UNUSED);
}

#[test]
fn an_import_upward_is_found() {
    let of = |name: &str, imports: &[&str]| Crate {
        name: name.to_owned(),
        dependencies: imports.iter().map(|name| (*name).to_owned()).collect(),
        ..Crate::default()
    };
    let table = [("a", These(&[])), ("b", These(&["a"])), ("c", AllBut(&["d"])), ("d", These(&[]))];
    let good = [of("a", &["serde"]), of("b", &["a"]), of("c", &["a", "b"]), of("d", &[])];
    assert!(upward(&good, &table).is_empty());
    for (place, bad) in [(0, of("a", &["b"])), (2, of("c", &["d"])), (3, of("e", &[]))] {
        let mut crates = good.to_vec();
        crates[place] = bad;
        assert!(!upward(&crates, &table).is_empty(), "{place}");
    }
}

#[test]
fn an_idle_dependency_is_found() {
    let of = Crate {
        name: "x".to_owned(),
        dependencies: vec!["a-b".to_owned(), "c".to_owned(), "d".to_owned()],
        dev_dependencies: vec!["e".to_owned(), "f".to_owned()],
        ..Crate::default()
    };
    let ships = "use a_b::A;\nuse xc::B;\nx.c::<u8>();\nuse d as g;";
    assert_eq!(unused(&of, (ships, "e::f();\nlet f = 1;")), ["x c", "x f"]);
}
