//! The modules of a crate: their imports, and circles among them.

use crate::code::{code, shipped, words};
use std::collections::{BTreeMap, BTreeSet};

/// A module's name: its path from the root of the crate, which is empty.
type Name = Vec<String>;

/// The imports of each module. A parent may declare its children and use them.
pub(crate) type Imports = BTreeMap<Name, BTreeSet<Name>>;

/// One module: its words, and the names that its `use`s define.
struct Module {
    words: Vec<String>,
    called: BTreeMap<String, Name>,
}

/// The modules that are declared from `root` on (a file such as `x/src/lib.rs`), tests left out.
pub(crate) fn imports(root: &str, sources: &BTreeMap<String, String>) -> Imports {
    let mut modules = BTreeMap::new();
    let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
    collect(&Vec::new(), root, folder, sources, &mut modules);
    let names: BTreeSet<Name> = modules.keys().cloned().collect();
    let mut paths = BTreeMap::new();
    for (name, module) in &mut modules {
        let (found, called) = mentioned(name, &module.words, &names);
        module.called = called;
        paths.insert(name.clone(), found);
    }
    let mut imports = Imports::new();
    for (name, paths) in paths {
        let targets = paths.iter().map(|path| resolve(path, &modules, 0));
        // A parent contains its children: that is not an import.
        let others = targets.filter(|target| !target.starts_with(&name));
        imports.insert(name.clone(), others.collect());
    }
    imports
}

/// Reads a module and those that it declares.
fn collect(
    name: &Name,
    file: &str,
    folder: &str,
    sources: &BTreeMap<String, String>,
    modules: &mut BTreeMap<Name, Module>,
) {
    let Some(text) = sources.get(file) else { return };
    let words: Vec<String> = words(&shipped(&code(text))).into_iter().map(|(word, _)| word).collect();
    for place in 0..words.len().saturating_sub(2) {
        if words[place] == "mod" && words[place + 2] == ";" {
            let child = [name.as_slice(), &words[place + 1..place + 2]].concat();
            let below = format!("{folder}/{}", words[place + 1]);
            collect(&child, &format!("{below}.rs"), &below, sources, modules);
        }
    }
    modules.insert(name.clone(), Module { words, called: BTreeMap::new() });
}

/// The paths that a module mentions, from the root on, and the names that its `use`s define.
fn mentioned(name: &Name, words: &[String], names: &BTreeSet<Name>) -> (Vec<Name>, BTreeMap<String, Name>) {
    let (mut paths, mut called) = (Vec::new(), BTreeMap::new());
    let mut inline: Vec<(String, usize)> = Vec::new();
    let (mut depth, mut at) = (0, 0);
    while at < words.len() {
        let word = words[at].as_str();
        let mut here = name.clone();
        here.extend(inline.iter().map(|(name, _)| name.clone()));
        match word {
            "{" => {
                depth += 1;
                if at > 1 && words[at - 2] == "mod" {
                    inline.push((words[at - 1].clone(), depth));
                }
            }
            "}" => {
                inline.retain(|(_, from)| *from < depth);
                depth -= 1;
            }
            // `use<'a>` among bounds is another word.
            "use" if words.get(at + 1).is_some_and(|next| next != "<") => {
                let end = (at..words.len()).find(|place| words[*place] == ";").unwrap_or(words.len());
                for (path, called_so) in leaves(&words[at + 1..end]) {
                    let Some(path) = absolute(&here, &path, names) else { continue };
                    if inline.is_empty() {
                        called.insert(called_so, path.clone());
                    }
                    paths.push(path);
                }
                at = end;
            }
            "crate" | "super" | "self" if words.get(at + 1).is_some_and(|next| next == "::") => {
                let mut path = vec![word.to_owned()];
                while words.get(at + 1).is_some_and(|next| next == "::") && at + 2 < words.len() {
                    path.push(words[at + 2].clone());
                    at += 2;
                }
                paths.extend(absolute(&here, &path, names));
            }
            _ => {}
        }
        at += 1;
    }
    (paths, called)
}

/// A path of a `use`, seen from `here`, from the root on; none if it is of another crate.
fn absolute(here: &Name, path: &[String], names: &BTreeSet<Name>) -> Option<Name> {
    let (mut from, mut rest) = (here.clone(), path);
    match path.first().map(String::as_str) {
        Some("crate") => (from, rest) = (Vec::new(), &path[1..]),
        Some("self") => rest = &path[1..],
        Some("super") => {}
        Some(first) => {
            let child = [here.as_slice(), &[first.to_owned()]].concat();
            return names.contains(&child).then(|| [here.as_slice(), path].concat());
        }
        None => return None,
    }
    while rest.first().is_some_and(|word| word == "super") {
        from.pop()?;
        rest = &rest[1..];
    }
    Some([from.as_slice(), rest].concat())
}

/// The single paths of a `use` with groups, each with the name that it gets.
fn leaves(words: &[String]) -> Vec<(Name, String)> {
    let (mut found, mut path, mut groups) = (Vec::new(), Name::new(), Vec::new());
    let mut called = None;
    let mut ended = |path: &mut Name, called: &mut Option<String>, kept: usize| {
        if path.len() > kept {
            if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                path.pop();
            }
            let last = path.last().cloned().unwrap_or_default();
            found.push((path.clone(), called.take().unwrap_or(last)));
        }
        path.truncate(kept);
    };
    let mut at = 0;
    while at < words.len() {
        match words[at].as_str() {
            "::" => {}
            "{" => groups.push(path.len()),
            "," => ended(&mut path, &mut called, groups.last().copied().unwrap_or(0)),
            "}" => {
                ended(&mut path, &mut called, groups.pop().unwrap_or(0));
                path.truncate(groups.last().copied().unwrap_or(0));
            }
            "as" => {
                called = words.get(at + 1).cloned();
                at += 1;
            }
            word => path.push(word.to_owned()),
        }
        at += 1;
    }
    ended(&mut path, &mut called, 0);
    found
}

/// The module that a path from the root leads to, through the names that modules define.
fn resolve(path: &[String], modules: &BTreeMap<Name, Module>, hops: usize) -> Name {
    let mut at = Name::new();
    for (place, word) in path.iter().enumerate() {
        let child = [at.as_slice(), std::slice::from_ref(word)].concat();
        if modules.contains_key(&child) {
            at = child;
            continue;
        }
        let further = modules.get(&at).and_then(|module| module.called.get(word));
        return match further {
            Some(further) if hops < 8 => {
                resolve(&[further.as_slice(), &path[place + 1..]].concat(), modules, hops + 1)
            }
            _ => at,
        };
    }
    at
}

/// The circles: modules that import each other, as text.
pub(crate) fn circles(imports: &Imports) -> Vec<String> {
    let reached: BTreeMap<&Name, BTreeSet<&Name>> =
        imports.keys().map(|from| (from, reachable(from, imports))).collect();
    let mut found = BTreeSet::new();
    for (from, to) in &reached {
        let circle: Vec<String> = to
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(from)))
            .map(|other| told(other))
            .collect();
        if !circle.is_empty() {
            found.insert(circle.join(" "));
        }
    }
    found.into_iter().collect()
}

fn reachable<'a>(from: &'a Name, imports: &'a Imports) -> BTreeSet<&'a Name> {
    let mut found = BTreeSet::new();
    let mut ahead = vec![from];
    while let Some(at) = ahead.pop() {
        for next in imports.get(at).into_iter().flatten() {
            if found.insert(next) {
                ahead.push(next);
            }
        }
    }
    found
}

/// A module's name in words.
pub(crate) fn told(name: &Name) -> String {
    if name.is_empty() { "(root)".to_owned() } else { name.join("::") }
}

#[test]
fn a_circle_is_found() {
    let tree = |texts: &[(&str, &str)]| {
        let sources =
            texts.iter().map(|(file, text)| (format!("x/src/{file}"), (*text).to_owned())).collect();
        circles(&imports("x/src/lib.rs", &sources))
    };
    let root = ("lib.rs", "mod a;\nmod b;\nmod c;\npub use c::{C, d::{self, D as E}};\n");
    let c = ("c.rs", "pub mod d;\nuse d::D;\npub struct C;\n");
    let d = |text| ("c/d.rs", text);
    let b = ("b.rs", "use super::{a::A, C};\n#[cfg(test)]\nmod tests { use crate::e::F; }\n");
    assert!(tree(&[root, ("a.rs", "use crate::C;"), b, c, d("// use crate::b::B;")]).is_empty());
    // By a `use`, by a path in the code, through a name that the root defines, by a child.
    assert_eq!(tree(&[root, ("a.rs", "use crate::{C, b::B};"), b, c, d("")]), ["a b"]);
    assert_eq!(tree(&[root, ("a.rs", "fn f() { super::b::g() }"), b, c, d("")]), ["a b"]);
    assert_eq!(tree(&[root, ("a.rs", "use crate::E;"), b, c, d("use super::super::a::A;")]), ["a c::d"]);
    assert_eq!(tree(&[root, ("a.rs", ""), b, c, d("mod e { use super::super::C; use crate::d; }")]), [""; 0]);
    assert_eq!(tree(&[root, ("a.rs", "use crate::c::d::D;"), b, c, d("use crate::b::B;")]), ["a b c::d"]);
}
