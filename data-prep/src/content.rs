//! Recognises a file by its first bytes, so that an error can name its kind without repeating its content.

/// Kinds of archives.
pub(crate) const ZIP: &str = "a zip archive";
pub(crate) const GZIP: &str = "a gzipped file";
pub(crate) const TAR: &str = "a tar archive";

/// Beginnings of files and their kinds; the first that fits counts.
const KINDS: [(usize, &[u8], &str); 33] = [
    // First: a tar begins with the name of its first member.
    (257, b"ustar", TAR),
    (0, b"\xff\xd8\xff", "a JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG"),
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP"),
    (8, b"WEBP", "a WebP"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftypavis", "an AVIF picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftyphev", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIC picture"),
    (4, b"ftyp", "a film or a picture in a film's container"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (4, b"JXL \r\n", "a JPEG XL picture"),
    (4, b"jP  \r\n", "a JPEG 2000 picture"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"PK\x03\x04", ZIP),
    (0, b"PK\x05\x06", ZIP),
    (0, b"\x1f\x8b", GZIP),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\xfd7zXZ\0", "an xz-packed file"),
    (0, b"BZh", "a bzip2-packed file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd-packed file"),
    (0, b"\x93NUMPY", "a numpy array"),
    (0, b"\x89HDF\r\n", "an HDF5 file"),
    (0, b"%PDF", "a PDF"),
    (
        0,
        b"version https://git-lfs",
        "a pointer of Git LFS in place of the file: fetch it with `git lfs pull`",
    ),
    (0, b"<!DOCTYPE html", "a web page"),
    (0, b"<html", "a web page"),
];

/// The kind of a file, if its beginning is known.
pub(crate) fn kind_of(head: &[u8]) -> Option<&'static str> {
    let fits =
        |(at, magic, _): &&(usize, &[u8], &str)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic));
    KINDS.iter().find(fits).map(|(_, _, kind)| *kind)
}

/// The kind of a file, in any case.
pub(crate) fn describe(content: &[u8]) -> &'static str {
    let head = &content[..content.len().min(512)];
    let text = || match std::str::from_utf8(head) {
        Ok(text) => !text.contains('\0'),
        // A character that was cut in two does not mean other data.
        Err(e) => e.error_len().is_none() && !head.contains(&0),
    };
    match kind_of(head) {
        Some(kind) => kind,
        None if head.is_empty() => "an empty file",
        None if head.iter().all(|&byte| byte == 0) => "zeros",
        None if text() => "a text",
        None => "data of an unknown kind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_beginning() {
        for (content, kind) in [
            (&b""[..], "an empty file"),
            (b"These are words.\n", "a text"),
            ("größer".as_bytes(), "a text"),
            (&"größer".as_bytes()[..3], "a text"),
            (b"\0\0\0\0", "zeros"),
            (b"\x01\xfe\0\xff", "data of an unknown kind"),
            (b"\0\0\0\x1cftypheic\0", "a HEIC picture"),
            (b"\0\0\0\x1cftypavif\0", "an AVIF picture"),
            (b"PK\x03\x04rest", "a zip archive"),
            (b"<!DOCTYPE html><html>", "a web page"),
        ] {
            assert_eq!(describe(content), kind, "{content:?}");
        }
        assert!(describe(b"version https://git-lfs.github.com/spec/v1\noid").contains("git lfs pull"));
    }
}
