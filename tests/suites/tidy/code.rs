//! Rust as text: code without comments and literals, without its tests, and as words.

/// The same text with blanks for comments and for the content of literals; lines keep their places.
pub(crate) fn code(text: &str) -> String {
    let all: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < all.len() {
        let end = skipped(&all, at);
        for (place, character) in all[at..end.max(at + 1)].iter().enumerate() {
            let kept = end <= at || *character == '\n' || (all[at] != '/' && at + place + 1 == end);
            out.push(if kept || (place == 0 && *character == '"') { *character } else { ' ' });
        }
        at = end.max(at + 1);
    }
    out
}

/// Where the comment or literal ends that begins at `at`; `at` itself if none does.
fn skipped(all: &[char], at: usize) -> usize {
    let ahead = |n: usize| all.get(at + n).copied().unwrap_or('\0');
    match all[at] {
        '/' if ahead(1) == '/' => until(all, at, |place| all[place] == '\n'),
        '/' if ahead(1) == '*' => {
            let mut depth = 0;
            let mut place = at;
            while place + 1 < all.len() {
                match (all[place], all[place + 1]) {
                    ('/', '*') => (depth, place) = (depth + 1, place + 2),
                    ('*', '/') if depth == 1 => return place + 2,
                    ('*', '/') => (depth, place) = (depth - 1, place + 2),
                    _ => place += 1,
                }
            }
            all.len()
        }
        '"' => quoted(all, at),
        '\'' if ahead(1) == '\\' => until(all, at + 3, |place| all[place] == '\'') + 1,
        '\'' if ahead(2) == '\'' => at + 3,
        'r' if at == 0
            || !is_word(all[at - 1])
            || (matches!(all[at - 1], 'b' | 'c') && (at < 2 || !is_word(all[at - 2]))) =>
        {
            let hashes = all[at + 1..].iter().take_while(|character| **character == '#').count();
            if ahead(1 + hashes) != '"' {
                return at;
            }
            let ends = |place: usize| {
                all[place] == '"'
                    && all[place + 1..].iter().take_while(|character| **character == '#').count() >= hashes
            };
            until(all, at + 2 + hashes, ends) + 1 + hashes
        }
        _ => at,
    }
}

fn quoted(all: &[char], at: usize) -> usize {
    let mut place = at + 1;
    while place < all.len() && all[place] != '"' {
        place += if all[place] == '\\' { 2 } else { 1 };
    }
    (place + 1).min(all.len())
}

fn until(all: &[char], from: usize, ends: impl Fn(usize) -> bool) -> usize {
    (from..all.len()).find(|place| ends(*place)).unwrap_or(all.len() - 1)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Code without the items that only tests have; lines keep their places.
pub(crate) fn shipped(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(at) = ["#[cfg(test)]", "#[cfg(all(test"].iter().filter_map(|mark| out.find(mark)).min() {
        let end = at + item_end(&out[at..]);
        let blank: String = out[at..end].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        out.replace_range(at..end, &blank);
    }
    out
}

/// Where the item ends that begins with an attribute: at its `;` or at the end of its braces.
fn item_end(code: &str) -> usize {
    let mut depth = 0;
    for (place, character) in code.char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        let ends = matches!(character, ';' | '}' | ',') && depth == 0;
        if ends || depth < 0 {
            return place + character.len_utf8();
        }
    }
    code.len()
}

/// The words and marks of code: names, `::`, and every other character that is not a blank; with their lines.
pub(crate) fn words(code: &str) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|character| !is_word(character)).unwrap_or(rest.len())
            } else if rest.starts_with("::") || rest.starts_with("->") || rest.starts_with("=>") {
                2
            } else {
                first.len_utf8()
            };
            found.push((rest[..length].to_owned(), line + 1));
            rest = rest[length..].trim_start();
        }
    }
    found
}

#[test]
fn comments_literals_and_tests_are_left_out() {
    let text = "a /* b /* c */ d */ e // f\n\"g \\\" h\" 'i' '\\'' '\"' &'j str br#\"k \" l\"# for\n";
    assert_eq!(
        code(text).split_whitespace().collect::<Vec<_>>().join(" "),
        "a e \" \" ' ' ' &'j str b # for"
    );
    assert_eq!(code(text).lines().count(), 2);
    let text =
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { [1; 2]; }\n}\n#[cfg(test)]\nmod c;\nfn d() {}";
    assert_eq!(shipped(text).split_whitespace().collect::<Vec<_>>().join(" "), "fn a() {} fn d() {}");
    assert_eq!(shipped(text).lines().count(), text.lines().count());
    let found: Vec<String> = words("a::b_1(c) -> D").into_iter().map(|(word, _)| word).collect();
    assert_eq!(found, ["a", "::", "b_1", "(", "c", ")", "->", "D"]);
}
