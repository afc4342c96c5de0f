//! The function's zip: one file, `bootstrap`, that starts on Amazon Linux 2023 or is refused here.

use crate::Failure;
use flate2::{Compression, Crc, write::DeflateEncoder};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::Path;

/// The newest glibc that Amazon Linux 2023 has.
const GLIBC: u32 = 34;
/// Lambda accepts 250 MB unzipped.
const LARGEST: usize = 250 << 20;

/// A zip that is ready to be uploaded.
#[derive(Clone, Debug)]
pub struct Package {
    /// The zip.
    pub zip: Vec<u8>,
    /// The architecture that it was built for, in Lambda's words.
    pub architecture: &'static str,
    /// The newest glibc that it needs (2.x), if it is linked to one.
    pub glibc: Option<u32>,
    /// The binary's size.
    pub unzipped: usize,
}

impl Package {
    /// Packs the trainer.
    ///
    /// # Errors
    /// In words: a file that would not start on Lambda.
    pub fn of(trainer: &Path) -> Result<Package, Failure> {
        let binary = std::fs::read(trainer).map_err(Failure::io("read", trainer))?;
        let refused = |why: String| Failure::input(format!("{}: {why}", trainer.display()));
        let architecture = architecture(&binary).map_err(refused)?;
        let glibc = newest_glibc(&binary);
        if glibc.is_some_and(|minor| minor > GLIBC) {
            return Err(refused(format!(
                "needs glibc 2.{}, Lambda has 2.{GLIBC}: build it on an older system, or with \
                 `cargo zigbuild --target {}-unknown-linux-gnu.2.{GLIBC}`",
                glibc.unwrap_or_default(),
                if architecture == "arm64" { "aarch64" } else { "x86_64" },
            )));
        }
        if binary.len() > LARGEST {
            return Err(refused(format!("has {} bytes, Lambda takes {LARGEST}", binary.len())));
        }
        let zip = zip("bootstrap", &binary).map_err(Failure::io("pack", trainer))?;
        Ok(Package { zip, architecture, glibc, unzipped: binary.len() })
    }

    /// Its key in the bucket: a name for this content, so that new content is a change and the same content
    /// is none.
    pub fn key(&self) -> String {
        let hash: String = Sha256::digest(&self.zip).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("trainer/{}.zip", &hash[..32])
    }
}

/// The architecture of an ELF program for Linux.
fn architecture(binary: &[u8]) -> Result<&'static str, String> {
    let machine = binary.get(18..20).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    match (binary.get(..6), machine) {
        // 64 bits, little-endian
        (Some(b"\x7fELF\x02\x01"), Some(62)) => Ok("x86_64"),
        (Some(b"\x7fELF\x02\x01"), Some(183)) => Ok("arm64"),
        _ => Err(
            "expected a 64-bit Linux program for x86_64 or arm64: build it on Linux, or with cargo zigbuild"
                .into(),
        ),
    }
}

/// The newest `GLIBC_2.x` among the names of symbol versions.
fn newest_glibc(binary: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"GLIBC_2.";
    let names = binary.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let minor = |(at, _): (usize, &[u8])| {
        let digits = binary[at + NAME.len()..].iter().take_while(|c| c.is_ascii_digit());
        digits.map(|c| char::from(*c)).collect::<String>().parse::<u32>().ok()
    };
    names.filter_map(minor).max()
}

/// A zip with one program in it. The same program always makes the same bytes: the time in it is 1980.
fn zip(name: &str, content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut crc = Crc::new();
    crc.update(content);
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content)?;
    let packed = encoder.finish()?;
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    // Version 2.0, deflated, 1980-01-01; then checksum, sizes, the name's length, no extra field.
    let mut entry = vec![20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0];
    for field in [crc.sum().to_le_bytes(), size(packed.len()), size(content.len())] {
        entry.extend(field);
    }
    entry.extend([name.len() as u8, 0, 0, 0]);
    let mut file = b"PK\x03\x04".to_vec();
    file.extend(&entry);
    file.extend(name.as_bytes());
    file.extend(&packed);
    let directory = file.len();
    // Made on Unix, so that the mode counts: a regular file, rwxr-xr-x. No comment, disk 0, at the beginning.
    file.extend(b"PK\x01\x02\x14\x03");
    file.extend(&entry);
    file.extend([0; 6]);
    file.extend((0o100_755_u32 << 16).to_le_bytes());
    file.extend([0; 4]);
    file.extend(name.as_bytes());
    let end = file.len();
    file.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    file.extend(size(end - directory));
    file.extend(size(directory));
    file.extend([0; 2]);
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The beginning of an ELF program, and some text.
    fn program(machine: u8, text: &str) -> Vec<u8> {
        let mut binary = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        binary.extend([machine, 0]);
        binary.extend(text.as_bytes());
        binary
    }

    fn package(binary: &[u8]) -> Result<Package, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trainer");
        std::fs::write(&path, binary).unwrap();
        Package::of(&path)
    }

    #[test]
    fn what_would_not_start_is_refused_with_what_to_do() {
        let old = package(&program(62, "GLIBC_2.9\0GLIBC_2.34\0GLIBC_2.3.4\0")).unwrap();
        assert_eq!((old.architecture, old.glibc), ("x86_64", Some(34)));
        assert_eq!(package(&program(183, "")).unwrap().architecture, "arm64");
        let new = package(&program(183, "GLIBC_2.35\0")).unwrap_err().message;
        assert!(new.contains("needs glibc 2.35") && new.contains("aarch64-unknown-linux-gnu.2.34"), "{new}");
        for other in [b"#!/bin/sh\n".to_vec(), b"MZ".to_vec(), program(3, ""), Vec::new()] {
            assert!(package(&other).unwrap_err().message.contains("expected a 64-bit Linux program"));
        }
    }

    #[test]
    fn the_zip_opens_elsewhere_with_the_program_in_it_and_is_the_same_every_time() {
        let content = program(62, &"some text ".repeat(1_000));
        let first = package(&content).unwrap();
        assert_eq!((first.zip.clone(), first.key()), (package(&content).unwrap().zip, first.key()));
        assert_ne!(first.key(), package(&program(62, "other")).unwrap().key());
        assert!(first.zip.len() < content.len() / 5);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code.zip");
        std::fs::write(&path, &first.zip).unwrap();
        let script = "import sys, zipfile\n\
            z = zipfile.ZipFile(sys.argv[1])\n\
            assert z.testzip() is None\n\
            assert z.namelist() == ['bootstrap']\n\
            print(oct(z.getinfo('bootstrap').external_attr >> 16), end=' ')\n\
            print(len(z.read('bootstrap')), end='')";
        match Command::new("python3").args(["-c", script]).arg(&path).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                assert_eq!(said, format!("0o100755 {}", content.len()), "{output:?}");
            }
            Err(_) => println!("SKIPPED: the zip is not opened by another program: there is no python3"),
        }
    }
}
