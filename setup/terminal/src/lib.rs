//! Lines for a terminal: a name that a stranger chose is shown, and cannot control the terminal.
//!
//! Names of classes and files, messages of services and items of a table come from outside. Printed
//! unchanged, such a text could move the cursor, hide lines, set the window's title, or imitate one of our
//! lines. So every line goes through [`say!`] or [`note!`], which escape it completely; a text of several
//! lines is written line by line. The escapes are those of JSON, so that a line of JSON keeps its meaning.

use std::fmt::{self, Display, Write as _};
use std::io::{self, ErrorKind, Write as _};
use std::process::exit;

/// The exit code of a program that a closed pipe has ended, as in shells.
const CLOSED_PIPE: i32 = 128 + 13;
/// The exit code for output that cannot be written.
const UNWRITTEN: i32 = 4;

/// Writes a line to standard output, as `println!` does.
#[macro_export]
macro_rules! say {
    ($($line:tt)*) => { $crate::say(::std::format_args!($($line)*)) };
}

/// Writes a line to standard error, as `eprintln!` does.
#[macro_export]
macro_rules! note {
    ($($line:tt)*) => { $crate::note(::std::format_args!($($line)*)) };
}

/// Writes a line to standard output. Its reader may have closed it, as `head` does: then the process ends
/// silently.
pub fn say(line: fmt::Arguments<'_>) {
    match writeln!(io::stdout(), "{}", Shown(line)) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(CLOSED_PIPE),
        Err(error) => {
            note(format_args!("cannot write to standard output: {error}"));
            exit(UNWRITTEN)
        }
    }
}

/// Writes a line to standard error; if that fails nobody can be told.
pub fn note(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", Shown(line));
}

/// A text for one line, in which every control character is shown instead of sent.
pub fn shown(text: impl Display) -> String {
    Shown(text).to_string()
}

/// Shows a text; see [`shown`].
struct Shown<T>(T);

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(formatter), "{}", self.0)
    }
}

/// Passes text on, escaped.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, acting)) = rest.char_indices().find(|(_, character)| acts(*character)) {
            self.0.write_str(&rest[..at])?;
            match acting {
                '\n' => self.0.write_str("\\n")?,
                '\r' => self.0.write_str("\\r")?,
                '\t' => self.0.write_str("\\t")?,
                other => {
                    let mut units = [0; 2];
                    other
                        .encode_utf16(&mut units)
                        .iter()
                        .try_for_each(|unit| write!(self.0, "\\u{unit:04x}"))?;
                }
            }
            rest = &rest[at + acting.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Whether a character has an effect: a control, another line, another direction of writing, or an invisible
/// one.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown_and_all_else_stays() {
        for (text, line) in [
            ("\x1b]0;title\x07cat\x1b[2K", "\\u001b]0;title\\u0007cat\\u001b[2K"),
            ("a\nrun fine: done\r\tb\x08\0", "a\\nrun fine: done\\r\\tb\\u0008\\u0000"),
            ("\u{9b}2Jx\u{7f}", "\\u009b2Jx\\u007f"),
            ("exe.\u{202e}gpj\u{2066}\u{2028}", "exe.\\u202egpj\\u2066\\u2028"),
            ("\u{feff}\u{200b}\u{e0041}", "\\ufeff\\u200b\\udb40\\udc41"),
            ("Ärzte 猫 · 👩\u{200d}🔬 \\n C:\\x", "Ärzte 猫 · 👩\u{200d}🔬 \\n C:\\x"),
            ("", ""),
        ] {
            assert_eq!(shown(text), line);
        }
    }

    #[test]
    fn a_line_of_json_stays_what_it_was() {
        let all: String = ('\0'..='\u{3000}').chain('\u{e0000}'..='\u{e0100}').collect();
        // As serde_json writes it: quotes, backslashes and C0 escaped, all else as it is.
        let written: String = all
            .chars()
            .flat_map(|c| match c {
                '"' | '\\' => vec!['\\', c],
                '\0'..='\x1f' => format!("\\u{:04x}", c as u32).chars().collect(),
                other => vec![other],
            })
            .collect();
        let line = shown(format_args!("\"{written}\""));
        assert!(!line.chars().any(acts));
        assert_eq!(unescaped(line.trim_matches('"')), all.encode_utf16().collect::<Vec<_>>());
    }

    /// The UTF-16 units between the quotes of a JSON string.
    fn unescaped(text: &str) -> Vec<u16> {
        let (mut units, mut rest) = (Vec::new(), text.chars());
        while let Some(character) = rest.next() {
            match (character, (character == '\\').then(|| rest.next().unwrap())) {
                (_, Some('u')) => {
                    let digits: String = rest.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).unwrap());
                }
                (_, Some(plain)) => units.push(plain as u16),
                (plain, None) => units.extend(plain.encode_utf16(&mut [0; 2]).iter()),
            }
        }
        units
    }
}
