//! Functions: how long they are, and how many arguments they take.

use crate::code::{code, words};

/// A function in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Lines from `fn` to the end of its body; 0 without a body.
    pub(crate) lines: usize,
    /// Arguments without `self`; a tuple pattern counts as many as it holds.
    pub(crate) arguments: usize,
}

/// The functions of a source file.
pub(crate) fn functions(text: &str) -> Vec<Function> {
    let words = words(&code(text));
    let word = |at: usize| words.get(at).map_or("", |(word, _)| word.as_str());
    let mut found = Vec::new();
    for at in 0..words.len() {
        let named = word(at + 1).chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
        if word(at) != "fn" || !named {
            continue;
        }
        let mut open = at + 2;
        if word(open) == "<" {
            open = closed(&words, open) + 1;
        }
        let close = closed(&words, open);
        let body = (close..words.len()).scan(0, |depth, place| {
            *depth += match word(place) {
                "(" | "[" => 1,
                ")" | "]" => -1,
                _ => 0,
            };
            Some((place, *depth))
        });
        // The first mark is the end of the arguments, so outside of brackets the depth is one lower.
        let end = body.skip(1).find(|(place, depth)| *depth < 0 && matches!(word(*place), "{" | ";"));
        let lines = match end {
            Some((place, _)) if word(place) == "{" => words[closed(&words, place)].1 - words[at].1 + 1,
            _ => 0,
        };
        let arguments = parts(&words[open + 1..close]).iter().map(|part| weight(part)).sum();
        found.push(Function { name: word(at + 1).to_owned(), lines, arguments });
    }
    found
}

/// Where the bracket closes that opens at `open`.
fn closed(words: &[(String, usize)], open: usize) -> usize {
    let mark = words[open].0.as_str();
    let (opening, closing) = match mark {
        "<" => (["<", "<"], [">", ">"]),
        "{" => (["{", "{"], ["}", "}"]),
        _ => (["(", "["], [")", "]"]),
    };
    let mut depth = 0;
    for (place, (word, _)) in words.iter().enumerate().skip(open) {
        depth += i32::from(opening.contains(&word.as_str())) - i32::from(closing.contains(&word.as_str()));
        if depth == 0 {
            return place;
        }
    }
    words.len() - 1
}

/// The parts between the commas outside of all brackets.
fn parts(words: &[(String, usize)]) -> Vec<Vec<&str>> {
    let mut found: Vec<Vec<&str>> = vec![Vec::new()];
    let mut depth = 0;
    for (word, _) in words {
        match word.as_str() {
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" | ">" => depth -= 1,
            "," if depth == 0 => {
                found.push(Vec::new());
                continue;
            }
            _ => {}
        }
        found.last_mut().unwrap().push(word);
    }
    found.into_iter().filter(|part| !part.is_empty()).collect()
}

/// The number of arguments that one counts as.
fn weight(part: &[&str]) -> usize {
    let pattern: Vec<&str> = part.iter().take_while(|word| **word != ":").copied().collect();
    if pattern.contains(&"self") {
        return 0;
    }
    match pattern.as_slice() {
        ["(", inner @ .., ")"] => {
            let inner: Vec<(String, usize)> = inner.iter().map(|word| ((*word).to_owned(), 0)).collect();
            parts(&inner).iter().map(|part| weight(part)).sum()
        }
        _ => 1,
    }
}

#[test]
fn functions_are_measured() {
    let text = "fn short<F: Fn(u8) -> u8>(&self, f: F, (a, (b, c)): (u8, (u8, u8))) -> [u8; 2] {\n\
                    \"}\";\n}\n\
                fn none(\n    x: HashMap<u8, Vec<u8>>,\n);\ntype T = fn(u8, u8);\n";
    let found = functions(text);
    let expected = [("short", 3, 4), ("none", 0, 1)];
    let told = found.iter().map(|f| (f.name.as_str(), f.lines, f.arguments)).collect::<Vec<_>>();
    assert_eq!(told, expected);
    let long = format!("fn long() {{\n{}}}\n", "    work();\n".repeat(59));
    assert_eq!(functions(&long)[0].lines, 61);
}
