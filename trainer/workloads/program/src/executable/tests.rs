//! Tests on made ELF files, scripts, real programs and garbage: some run on this machine, others do not.

use super::*;
use std::env::consts::ARCH;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;
use work::Fate;

const OWN: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
const OTHER: u16 = if cfg!(target_arch = "aarch64") { 62 } else { 183 };

/// A made ELF file.
struct Made {
    machine: u16,
    kind: u16,
    entry: u64,
    loader: Option<String>,
    /// Names of versions with their flags.
    needs: Vec<(&'static str, u16)>,
    defines: Vec<&'static str>,
}

impl Default for Made {
    fn default() -> Made {
        Made { machine: OWN, kind: 2, entry: 0x40_0000, loader: None, needs: vec![], defines: vec![] }
    }
}

impl Made {
    /// Header, three program headers, the loader's path, names, versions, the dynamic section.
    fn bytes(&self) -> Vec<u8> {
        let base = 0x40_0000_u64;
        let mut body = Vec::new();
        let start = 64 + 3 * 56;
        let loader = (start, self.loader.as_ref().map_or(0, |path| path.len() as u64 + 1));
        body.extend(self.loader.iter().flat_map(|path| path.bytes().chain([0])));
        let strings = start + body.len() as u64;
        let mut names = vec![0_u8];
        let mut name = |text: &str| {
            let at = names.len() as u32;
            names.extend(text.bytes().chain([0]));
            at
        };
        let library = name("libc.so.6");
        let needs: Vec<(u32, u16)> = self.needs.iter().map(|&(text, flags)| (name(text), flags)).collect();
        let defines: Vec<u32> = self.defines.iter().map(|text| name(text)).collect();
        body.extend(names);
        let needed = start + body.len() as u64;
        body.extend([1, needs.len() as u16].map(u16::to_le_bytes).concat());
        body.extend([library, 16, 0].map(u32::to_le_bytes).concat());
        for (name, flags) in needs {
            body.extend(0_u32.to_le_bytes());
            body.extend([flags, 2].map(u16::to_le_bytes).concat());
            body.extend([name, 16].map(u32::to_le_bytes).concat());
        }
        let defined = start + body.len() as u64;
        for (place, name) in defines.iter().enumerate() {
            let next = if place + 1 == defines.len() { 0 } else { 28 };
            body.extend([1, 0, 2, 1].map(u16::to_le_bytes).concat());
            body.extend([0, 20, next, *name, 0].map(u32::to_le_bytes).concat());
        }
        let dynamic = start + body.len() as u64;
        let mut entries = vec![(5, base + strings)];
        if !self.needs.is_empty() {
            entries.extend([(0x6fff_fffe, base + needed), (0x6fff_ffff, 1)]);
        }
        if !self.defines.is_empty() {
            entries.extend([(0x6fff_fffc, base + defined), (0x6fff_fffd, self.defines.len() as u64)]);
        }
        entries.push((0, 0));
        body.extend(entries.iter().flat_map(|&(tag, value)| [tag, value]).flat_map(u64::to_le_bytes));
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend([self.kind, self.machine].map(u16::to_le_bytes).concat());
        file.extend(1_u32.to_le_bytes());
        file.extend([self.entry, 64, 0].map(u64::to_le_bytes).concat());
        file.extend(0_u32.to_le_bytes());
        file.extend([64_u16, 56, 3, 0, 0, 0].map(u16::to_le_bytes).concat());
        let kind_of_loader = if self.loader.is_some() { 3 } else { 0 };
        let whole = start + body.len() as u64;
        for (kind, offset, bytes) in
            [(1_u32, 0, whole), (kind_of_loader, loader.0, loader.1), (2, dynamic, entries.len() as u64 * 16)]
        {
            file.extend([kind, 5].map(u32::to_le_bytes).concat());
            file.extend(
                [offset, base + offset, base + offset, bytes, bytes, 8].map(u64::to_le_bytes).concat(),
            );
        }
        file.extend(body);
        file
    }
}

/// A folder with a loader and a libc of glibc 2.34 beside it.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        place.file("ld.so", &Made::default().bytes());
        let defines = vec!["GLIBC_2.2.5", "GLIBC_2.9", "GLIBC_2.34", "GLIBC_PRIVATE"];
        place.file("libc.so.6", &Made { defines, ..Made::default() }.bytes());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        // A file system may wait for its disk if a file is overwritten under its old name.
        let _ = fs::remove_file(&path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn loader(&self) -> Option<String> {
        Some(self.path("ld.so").to_str().unwrap().to_owned())
    }

    /// The reason why a file is refused.
    fn refusal(&self, content: &[u8]) -> String {
        let path = self.file("program", content);
        let failed = check(&path).expect_err("a refusal");
        assert_eq!(failed.fate, Fate::Halt, "{failed}");
        assert!(failed.words.contains(path.to_str().unwrap()), "{failed}");
        failed.words
    }
}

#[test]
fn programs_that_this_machine_runs_are_taken() {
    let place = Place::new();
    let glibc = vec![("GLIBC_2.34", 0), ("GLIBC_2.2.5", 0)];
    for made in [
        Made::default(),
        Made { kind: 3, ..Made::default() },
        Made { loader: place.loader(), ..Made::default() },
        Made { loader: place.loader(), needs: glibc.clone(), ..Made::default() },
        // A weak version may be missing, and 2.9 is older than 2.34.
        Made { loader: place.loader(), needs: vec![("GLIBC_2.99", 2), ("GLIBC_2.9", 0)], ..Made::default() },
        Made { loader: place.loader(), needs: vec![("GCC_3.0", 0)], ..Made::default() },
    ] {
        check(&place.file("program", &made.bytes())).unwrap();
    }
    for script in
        ["#!/bin/sh", "#! /bin/sh -e\ntrue\n", "#!/usr/bin/env sh\n", "#!/usr/bin/env -S A=1 sh -e\n"]
    {
        check(&place.file("program", script.as_bytes())).unwrap();
    }
    let inner = place.file("inner", b"#!/bin/sh\n");
    check(&place.file("program", format!("#!{}\n", inner.display()).as_bytes())).unwrap();
}

#[test]
fn elf_files_that_do_not_run_here_are_refused_by_name() {
    let place = Place::new();
    let (own, other) = if OWN == 62 { ("x86-64", "aarch64") } else { ("aarch64", "x86-64") };
    let told = place.refusal(&Made { machine: OTHER, ..Made::default() }.bytes());
    assert!(told.contains(&format!("a program for {own}")), "{told}");
    assert!(told.contains(&format!("one for {other}; build it for {own}")), "{told}");
    let told = place.refusal(&Made { machine: 243, ..Made::default() }.bytes());
    assert!(told.contains("one for RISC-V"), "{told}");
    let mut narrow = Made { machine: 3, ..Made::default() }.bytes();
    narrow[4] = 1;
    assert!(place.refusal(&narrow).contains("one for 32-bit x86"));
    for (made, words) in [
        (Made { kind: 1, ..Made::default() }, "an object file"),
        (Made { kind: 3, entry: 0, ..Made::default() }, "a library"),
        (
            Made { loader: Some("/nowhere/ld.so".into()), ..Made::default() },
            "/nowhere/ld.so on this machine, found none",
        ),
    ] {
        let told = place.refusal(&made.bytes());
        assert!(told.contains(words), "{told}");
    }
    for cut in [8, 63, 100, 300] {
        let told = place.refusal(&Made { loader: place.loader(), ..Made::default() }.bytes()[..cut]);
        assert!(told.contains("a whole ELF program"), "{told}");
    }
}

#[test]
fn a_newer_glibc_is_named() {
    let place = Place::new();
    let of = |needs| Made { loader: place.loader(), needs, ..Made::default() }.bytes();
    let told = place.refusal(&of(vec![("GLIBC_2.2.5", 0), ("GLIBC_2.38", 0)]));
    assert!(told.contains("glibc 2.34") && told.contains("needs 2.38;"), "{told}");
    let told = place.refusal(&of(vec![("GLIBC_2.34", 0), ("GLIBC_ABI_DT_RELR", 0)]));
    assert!(told.contains("GLIBC_ABI_DT_RELR"), "{told}");
}

#[test]
fn scripts_that_do_not_run_here_are_refused_by_name() {
    let place = Place::new();
    for (script, words) in [
        ("#!/nowhere/python\n", "its interpreter /nowhere/python on this machine"),
        ("#!/usr/bin/env no-such-name\n", "no-such-name in PATH"),
        ("#!/usr/bin/env -S A=1 no-such-name -u\n", "no-such-name in PATH"),
        ("#!/usr/bin/env sh -e\n", "write env -S"),
        ("#!python3\n", "/usr/bin/env NAME"),
        ("#!\n", "/usr/bin/env NAME"),
        ("#!/bin/sh\r\ntrue\r\n", "carriage return"),
        ("\u{feff}#!/bin/sh\n", "byte order mark"),
        ("import sys\n", "a text without #!"),
        ("", "an empty file"),
        ("MZ\0\0", "Windows"),
        ("\0\0\0\0", "data of an unknown kind"),
    ] {
        let told = place.refusal(script.as_bytes());
        assert!(told.contains(words), "{script:?}: {told}");
    }
    let long = format!("#!/bin/sh {}\n", "x".repeat(300));
    assert!(place.refusal(long.as_bytes()).contains("at most 255 bytes"));
    let own = format!("#!{}\n", place.path("program").display());
    assert!(place.refusal(own.as_bytes()).contains("scripts that lead to scripts"));
    place.file("foreign", &Made { machine: OTHER, ..Made::default() }.bytes());
    let path = place.file("program", format!("#!{}\n", place.path("foreign").display()).as_bytes());
    let told = check(&path).unwrap_err().words;
    assert!(told.contains("foreign: expected a program for"), "{told}");
}

#[test]
fn what_is_no_plain_executable_file_is_refused() {
    let place = Place::new();
    let told = check(place.0.path()).unwrap_err();
    assert!(told.fate == Fate::Halt && told.words.contains("a folder"), "{told}");
    let program = place.file("program", b"#!/bin/sh\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    let told = check(&program).unwrap_err();
    assert!(told.fate == Fate::Halt && told.words.contains("chmod +x"), "{told}");
    let told = check(&place.path("not-there")).unwrap_err();
    assert!(told.fate == Fate::Retry && told.words.contains("is not there"), "{told}");
    let socket = place.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let told = check(&socket).unwrap_err();
    assert!(told.words.contains("a socket"), "{told}");
}

/// The programs of this machine, and this test, run here. Baton's own programs for another processor do not.
#[test]
fn real_programs_are_told_apart() {
    let test = std::env::current_exe().unwrap();
    check(&test).unwrap();
    for name in
        ["/bin/sh", "/usr/bin/env", "/usr/bin/ldd", "/usr/bin/python3", "/usr/bin/perl", "/sbin/ldconfig"]
    {
        if Path::new(name).exists() {
            check(Path::new(name)).unwrap();
        } else {
            eprintln!("skipped {name}: not there");
        }
    }
    let other = if ARCH == "aarch64" { "x86_64" } else { "aarch64" };
    let built = ["lambda", "release"].map(|profile| format!("{other}-unknown-linux-musl/{profile}/trainer"));
    // The compiler's folder is one of those around this test; it has no mark if it was there before.
    let around = test.ancestors().flat_map(|folder| built.each_ref().map(|path| folder.join(path)));
    match around.into_iter().find(|path| path.exists()) {
        Some(program) => {
            let told = check(&program).unwrap_err();
            assert!(told.fate == Fate::Halt && told.words.contains("as this machine is"), "{told}");
        }
        None => eprintln!("skipped: no trainer for {other} beside {}", test.display()),
    }
}

/// Changed files are accepted or refused; none panics, hangs, or counts as a failure to retry.
#[test]
fn garbage_is_refused_and_nothing_else() {
    let seed = std::env::var("BATON_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    eprintln!("BATON_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let place = Place::new();
    let needs = vec![("GLIBC_2.34", 0), ("GLIBC_2.38", 2), ("GLIBC_2.9", 0)];
    let defines = vec!["GLIBC_2.2", "GLIBC_2.3"];
    let elf = Made { loader: place.loader(), needs, defines, ..Made::default() }.bytes();
    let mut refused = 0;
    for round in 0..20_000 {
        let mut content =
            if round % 4 == 0 { b"#!/usr/bin/env -S A=b sh -e\n".to_vec() } else { elf.clone() };
        for _ in 0..random.usize(1..6) {
            let at = random.usize(..content.len());
            match random.u8(0..4) {
                0 => content[at] = random.u8(..),
                1 => content[at] ^= 1 << random.u8(0..8),
                2 => {
                    let end = (at + 8).min(content.len());
                    let value = *random.choice([0, u64::MAX, 1 << 63, 1 << 32].iter()).unwrap();
                    content[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
                }
                _ => content.truncate(at.max(1)),
            }
        }
        // Checked as an interpreter, because then its folder is not read afresh each time.
        if let Err(failed) = check_below(&place.file("program", &content), 1) {
            assert_eq!(failed.fate, Fate::Halt, "round {round}: {failed}");
            refused += 1;
        }
    }
    assert!((500..20_000).contains(&refused), "{refused} refused");
}
