//! The targets of the fuzzer: valid inputs of a format, the reader that gets changed ones, and its limits.

use super::mutation::Dice;
use super::{binary, calls, seal, text};
use std::path::Path;

/// One format and its reader.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Valid inputs; every one of them is accepted.
    pub(crate) corpus: fn() -> Vec<Vec<u8>>,
    /// The words of the format.
    pub(crate) tokens: &'static [&'static [u8]],
    /// Corrects checksums, so that the code after the check is reached.
    pub(crate) seal: fn(&mut Dice, Vec<u8>) -> Vec<u8>,
    /// Reads an input, with a folder to write in; returns whether it was accepted.
    pub(crate) read: fn(&Path, &[u8]) -> bool,
    /// The memory that it may take for an input of this many bytes.
    pub(crate) most_bytes: fn(usize) -> usize,
}

const JSON: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"\\u0000",
    b"\\ud800",
    b"\"schema\":2,",
    b"\"../x\"",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"\xff",
    b"\"run\":\"r\",",
];
const NPY: &[&[u8]] = &[
    b"\x93NUMPY",
    b"'<f4'",
    b"'<i8'",
    b"'|u1'",
    b"'|O'",
    b"'<U9'",
    b"True",
    b"(",
    b")",
    b", ",
    b"'shape': ()",
    b"((((((((",
    b"[('a', '<f4')]",
    b"-1",
    b"99999999999999999999",
    b"\n",
];
const PICKLE: &[&[u8]] = &[
    b"\x80\x02",
    b"\x80\x04\x95",
    b"cos\nsystem\n(S'touch outside'\ntR.",
    b"cposix\nsystem\nU\x02id\x85R.",
    b"(",
    b"t",
    b"l",
    b"d",
    b"u",
    b"s",
    b"R",
    b"b",
    b"h\x00",
    b"q\x00",
    b"r\xff\xff\xff\xff",
    b"K\x00",
    b"M\xff\xff",
    b"J\xff\xff\xff\xff",
    b"T\xff\xff\xff\x7f",
    b"X\xff\xff\xff\xff",
    b"\x8a\xff",
    b"\x8b\xff\xff\xff\x7f",
    b"]",
    b"}",
    b"\x85",
    b"\x86",
    b"\x87",
    b"N",
    b".",
    b"e",
    b"a",
    b"0",
    b"2",
    b"cnumpy\nndarray\n",
    b"ccollections\nOrderedDict\n",
    b"Q",
    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x94",
    b"\x93",
];
const TAR: &[&[u8]] = &[
    b"../../outside",
    b"/etc/passwd",
    b"ustar\x00",
    b"ustar  \x00",
    b"77777777777",
    b"\x80\x00\x00\x00\x7f\xff\xff\xff",
    b"L",
    b"K",
    b"x",
    b"1",
    b"2",
    b"5",
    b"S",
    b"././@LongLink",
    b"30 path=../../../outside/xxxx\n",
    b"9 size=-1\n",
    b"cifar-10-batches-bin/data_batch_1.bin",
];
const SAFETENSORS: &[&[u8]] = &[
    b"\"dtype\":\"F32\"",
    b"\"dtype\":\"U8\"",
    b"\"dtype\":\"F4\"",
    b"\"shape\":[]",
    b"\"shape\":[18446744073709551615,2]",
    b"\"data_offsets\":[0,0]",
    b"\"data_offsets\":[8,0]",
    b"__metadata__",
    b"{",
    b"}",
    b"[[[[[[[[",
    b"\xff\xff\xff\xff",
];
const RATINGS: &[&[u8]] = &[
    b"::",
    b"\t",
    b",",
    b";",
    b" ",
    b"\"",
    b"\n",
    b"\r\n",
    b"userId,movieId,rating,timestamp\n",
    b"rating",
    b"user",
    b"nan",
    b"1e999",
    b"-0.5",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x1f\x8b",
    b"\x00",
];
const IMAGE: &[&[u8]] = &[
    b"\x89PNG\r\n\x1a\n",
    b"IHDR",
    b"IDAT",
    b"PLTE",
    b"tRNS",
    b"iCCP",
    b"eXIf",
    b"acTL",
    b"\xff\xd8",
    b"\xff\xd9",
    b"\xff\xc0",
    b"\xff\xc2",
    b"\xff\xda",
    b"\xff\xe1\x00\x10Exif\x00\x00",
    b"\xff\xc4",
    b"\xff\xdb",
    b"GIF89a",
    b"\x21\xf9\x04",
    b"\x2c",
    b"BM",
    b"RIFF",
    b"WEBPVP8L",
    b"WEBPVP8 ",
    b"VP8X",
    b"\x7f\xff\xff\xff",
    b"\x00\x00\x7f\xff",
];

/// No seal.
fn plain(_: &mut Dice, input: Vec<u8>) -> Vec<u8> {
    input
}

/// Values of JSON take up to a hundred and some bytes for a character or two.
fn of_json(length: usize) -> usize {
    256 * length + (1 << 20)
}

/// Arrays and batches: the data is in memory a few times.
fn of_arrays(length: usize) -> usize {
    64 * length + (16 << 20)
}

/// deflate makes at most 1,032 bytes from one; a growing buffer has twice as many.
fn of_archives(length: usize) -> usize {
    2 * 1_032 * length + (16 << 20)
}

/// The most bytes of a decoded image (see `data_prep::decode`), in its own form, as RGBA and as RGB.
fn of_images(length: usize) -> usize {
    4 * ((64 << 20) + 4_096 * length)
}

/// Every target.
pub(crate) const TARGETS: [Target; 19] = [
    Target {
        name: "events",
        corpus: text::events,
        tokens: JSON,
        seal: plain,
        read: text::read_event,
        most_bytes: of_json,
    },
    Target {
        name: "jobs",
        corpus: text::jobs,
        tokens: JSON,
        seal: plain,
        read: text::read_job,
        most_bytes: of_json,
    },
    Target {
        name: "ledger",
        corpus: text::ledgers,
        tokens: JSON,
        seal: seal::ledger,
        read: text::read_ledger,
        most_bytes: of_json,
    },
    Target {
        name: "dataset",
        corpus: text::datasets,
        tokens: JSON,
        seal: plain,
        read: text::read_dataset,
        most_bytes: of_json,
    },
    Target {
        name: "features",
        corpus: text::features,
        tokens: JSON,
        seal: plain,
        read: text::read_features,
        most_bytes: of_json,
    },
    Target {
        name: "npy",
        corpus: binary::npys,
        tokens: NPY,
        seal: plain,
        read: binary::read_npy,
        most_bytes: of_arrays,
    },
    Target {
        name: "shards",
        corpus: binary::shards,
        tokens: NPY,
        seal: plain,
        read: binary::read_shard,
        most_bytes: of_arrays,
    },
    Target {
        name: "tensors",
        corpus: binary::tensors,
        tokens: SAFETENSORS,
        seal: plain,
        read: binary::read_tensors,
        most_bytes: of_json,
    },
    Target {
        name: "safetensors",
        corpus: binary::tensors,
        tokens: SAFETENSORS,
        seal: plain,
        read: binary::read_weights,
        most_bytes: of_json,
    },
    Target {
        name: "pth",
        corpus: binary::pths,
        tokens: PICKLE,
        seal: seal::zip,
        read: binary::read_weights,
        most_bytes: of_arrays,
    },
    Target {
        name: "pickles",
        corpus: binary::pickles,
        tokens: PICKLE,
        seal: plain,
        read: binary::read_pickle,
        most_bytes: of_arrays,
    },
    Target {
        name: "archives",
        corpus: binary::archives,
        tokens: TAR,
        seal: seal::archive,
        read: binary::read_archive,
        most_bytes: of_archives,
    },
    Target {
        name: "idx",
        corpus: binary::idxs,
        tokens: &[b"\x00\x00\x08\x03", b"\x1f\x8b\x08"],
        seal: plain,
        read: binary::read_idx,
        most_bytes: of_archives,
    },
    Target {
        name: "npz",
        corpus: binary::npzs,
        tokens: NPY,
        seal: seal::zip,
        read: binary::read_npz,
        most_bytes: of_arrays,
    },
    Target {
        name: "labels",
        corpus: binary::labels,
        tokens: &[b",", b";", b"\t", b"\"", b"\n", b"a.png", b"label", b"split", b"train"],
        seal: plain,
        read: binary::read_labels,
        most_bytes: of_arrays,
    },
    Target {
        name: "ratings",
        corpus: text::ratings,
        tokens: RATINGS,
        seal: plain,
        read: text::read_ratings,
        most_bytes: of_arrays,
    },
    Target {
        name: "images",
        corpus: binary::images,
        tokens: IMAGE,
        seal: seal::png,
        read: binary::read_image,
        most_bytes: of_images,
    },
    Target {
        name: "calls",
        corpus: calls::calls,
        tokens: calls::TOKENS,
        seal: plain,
        read: calls::read_call,
        most_bytes: of_json,
    },
    Target {
        name: "invokes",
        corpus: calls::invokes,
        tokens: calls::INVOKE_TOKENS,
        seal: plain,
        read: calls::read_invoke,
        most_bytes: of_json,
    },
];
