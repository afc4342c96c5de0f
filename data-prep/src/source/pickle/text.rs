//! Strings as the oldest protocols of pickle write them: a line of text, with unprintable characters escaped.

/// The bytes of a quoted string of Python 2: `'a\x00\n'`.
pub(super) fn quoted(line: &[u8]) -> Option<Vec<u8>> {
    let inner = match line {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return None,
    };
    let (mut bytes, mut rest) = (Vec::with_capacity(inner.len()), inner);
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'\\' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let (&escaped, after) = after.split_first()?;
        rest = after;
        match escaped {
            b'x' => {
                let (digits, after) = rest.split_at_checked(2)?;
                bytes.push(hexadecimal(digits)? as u8);
                rest = after;
            }
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'\\' | b'\'' | b'"' => bytes.push(escaped),
            _ => return None,
        }
    }
    Some(bytes)
}

/// The text of a raw unicode line, in which only `\uXXXX` and `\UXXXXXXXX` are escapes, as UTF-8.
pub(super) fn raw_unicode(line: &[u8]) -> Option<Vec<u8>> {
    let (mut text, mut rest) = (String::with_capacity(line.len()), line);
    while let Some((&byte, after)) = rest.split_first() {
        let digits = match (byte, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                text.push(byte.into());
                rest = after;
                continue;
            }
        };
        let (code, after) = after[1..].split_at_checked(digits)?;
        text.push(char::from_u32(hexadecimal(code)?)?);
        rest = after;
    }
    Some(text.into_bytes())
}

/// The bytes that a text encodes, a character each.
pub(super) fn latin1(text: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(text).ok()?.chars().map(|c| u8::try_from(c).ok()).collect()
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let digits =
        std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        assert_eq!(quoted(br"'a\x00\n\'b'").unwrap(), b"a\0\n'b");
        assert_eq!(quoted(b"\"it's\"").unwrap(), b"it's");
        assert_eq!(raw_unicode(b"a\xff\\u0100\\U0001F600").unwrap(), "aÿĀ😀".as_bytes());
        assert_eq!(latin1("aÿ".as_bytes()).unwrap(), b"a\xff");
        for wrong in [&b"'a"[..], b"'\\'", b"'\\x0'", b"'\\xgg'", b"'\\q'", b"a"] {
            assert_eq!(quoted(wrong), None, "{wrong:?}");
        }
        assert_eq!(
            (raw_unicode(b"\\u12"), raw_unicode(b"\\ud800"), latin1("Ā".as_bytes())),
            (None, None, None)
        );
    }
}
