//! Small sources that the tests make, in every form that is read.

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat, RgbImage};
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

/// A made-up byte: number `i` of image `image`.
pub(crate) fn byte(image: usize, i: usize) -> u8 {
    (image * 89 + i * 7 + (i >> 8) * 13) as u8
}

/// A batch of CIFAR images in colour planes.
pub(crate) fn planes(images: usize) -> Vec<u8> {
    (0..images).flat_map(|image| (0..3072).map(move |i| byte(image, i))).collect()
}

/// The same image as rows of RGB.
pub(crate) fn interleaved(image: usize) -> Vec<u8> {
    (0..1024).flat_map(|p| [0, 1, 2].map(|c| byte(image, c * 1024 + p))).collect()
}

/// A CIFAR-10 batch as Python 2 pickled it, protocol 2.
pub(crate) fn python_batch(key: &str, labels: &[u8]) -> Vec<u8> {
    let data = planes(labels.len());
    let mut bytes = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x06a testU".to_vec();
    bytes.extend([key.len() as u8]);
    bytes.extend(key.as_bytes());
    bytes.extend(b"]q\x03(");
    bytes.extend(labels.iter().flat_map(|&label| [b'K', label]));
    bytes.extend(
        b"eU\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01M",
    );
    bytes.extend((labels.len() as u16).to_le_bytes());
    bytes.extend(b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes.extend(b"tbu.");
    bytes
}

/// A binary batch: for each image its label bytes, then its planes.
pub(crate) fn binary_batch(labels: &[&[u8]]) -> Vec<u8> {
    let planes = planes(labels.len());
    labels.iter().zip(planes.chunks(3072)).flat_map(|(label, pixels)| [label, pixels].concat()).collect()
}

/// A tar archive; names are written as they stand, `..` and all.
pub(crate) fn tar(members: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, content) in members {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// An IDX file of bytes.
pub(crate) fn idx(shape: &[u32], content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|d| d.to_be_bytes()));
    bytes.extend(content);
    bytes
}

/// A smooth picture that differs by number, so that JPEG keeps it.
pub(crate) fn picture(number: usize, width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let n = number as u32 * 17;
        image::Rgb([(x * 200 / width + n) as u8 / 2, (y * 200 / height) as u8, ((x + y) % 64 + 60) as u8])
    })
}

pub(crate) fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A folder with `per_class` PNGs in each of the classes `ants`, `bees` and `cats`.
pub(crate) fn class_folders(root: &Path, per_class: usize) {
    for (c, class) in ["ants", "bees", "cats"].iter().enumerate() {
        fs::create_dir_all(root.join(class)).unwrap();
        for i in 0..per_class {
            let picture = picture(c * 100 + i, 30 + i as u32, 20 + c as u32);
            fs::write(root.join(class).join(format!("{i:03}.png")), encoded(picture, ImageFormat::Png))
                .unwrap();
        }
    }
}

/// A zip archive, deflated.
pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        writer.start_file(*name, ::zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
