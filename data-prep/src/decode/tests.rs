//! Every form of image file, and files that are not images.

use super::*;
use crate::samples::{encoded, picture};
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, Luma, LumaA, Rgba, RgbaImage};

/// An 8 x 8 CMYK JPEG by Pillow: the left half red, the right half blue.
const CMYK: &str = "\
    ffd8ffee000e41646f626500640000000000ffdb0043000302020302020303030304030304050805050404050a070706080c\
     0a0c0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffc00014080008000804431100\
     4d11005911004b1100ffc4001f0000010501010101010100000000000000000102030405060708090a0bffc400b510000201\
     0303020403050504040000017d01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282\
     090a161718191a25262728292a3435363738393a434445464748494a535455565758595a636465666768696a737475767778\
     797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5\
     d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9faffda000e0443004d0059004b00003f004ff82e77fcd13ffb8d\
     ff00ed857e55527fc10c7fe6b67fdc13ff006febf54ebfffd9";

const USUAL: Reading = Reading { short_side: 256, bits: None };

fn rgb(content: &[u8]) -> RgbImage {
    let image = decode(content, &Reading::new(4096)).unwrap();
    RgbImage::from_raw(image.width as u32, image.height as u32, image.pixels).unwrap()
}

fn is_near(found: [u8; 3], expected: [u8; 3]) -> bool {
    found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 6)
}

#[test]
fn formats_are_told_by_content() {
    let original = picture(3, 40, 30);
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
        assert_eq!(rgb(&encoded(original.clone(), format)), original, "{format:?}");
    }
    for format in [ImageFormat::Jpeg, ImageFormat::Gif] {
        let decoded = rgb(&encoded(original.clone(), format));
        assert_eq!(decoded.dimensions(), (40, 30));
        let wrong: u32 = decoded.iter().zip(original.iter()).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        assert!(wrong < 40 * 30 * 3 * 8, "{format:?}: {wrong}");
    }
}

#[test]
fn grey_and_deep_images_become_rgb() {
    let grey = GrayImage::from_fn(3, 2, |x, y| Luma([(x * 80 + y) as u8]));
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let decoded = rgb(&encoded(grey.clone(), format));
        assert!(decoded.pixels().all(|p| p[0] == p[1] && p[1] == p[2]), "{format:?}");
    }
    assert_eq!(rgb(&encoded(grey, ImageFormat::Png)).get_pixel(2, 1).0, [161; 3]);
    let deep: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_pixel(2, 2, Luma([0x8080]));
    assert_eq!(rgb(&encoded(deep, ImageFormat::Png)).get_pixel(0, 0).0, [0x80; 3]);
}

#[test]
fn transparent_images_lie_over_white() {
    let colours = [[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 128]];
    let image = RgbaImage::from_fn(3, 1, |x, _| Rgba(colours[x as usize]));
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let decoded = rgb(&encoded(image.clone(), format));
        let pixels: Vec<[u8; 3]> = decoded.pixels().map(|p| p.0).collect();
        assert_eq!(pixels, [[10, 20, 30], [255, 255, 255], [127, 177, 227]], "{format:?}");
    }
    let grey = GrayAlphaImage::from_pixel(1, 1, LumaA([0, 0]));
    assert_eq!(rgb(&encoded(grey, ImageFormat::Png)).get_pixel(0, 0).0, [255; 3]);
}

#[test]
fn cmyk_jpegs_are_read() {
    let bytes: Vec<u8> = CMYK
        .as_bytes()
        .chunks(2)
        .map(|h| u8::from_str_radix(std::str::from_utf8(h).unwrap(), 16).unwrap())
        .collect();
    let decoded = rgb(&bytes);
    assert!(is_near(decoded.get_pixel(1, 4).0, [255, 0, 0]), "{:?}", decoded.get_pixel(1, 4));
    assert!(is_near(decoded.get_pixel(6, 4).0, [0, 0, 255]), "{:?}", decoded.get_pixel(6, 4));
}

#[test]
fn the_orientation_that_a_camera_noted_is_applied() {
    // Red at the left, blue at the right, 32 x 16; then an Exif segment with the orientation.
    let plain = RgbImage::from_fn(32, 16, |x, _| image::Rgb(if x < 16 { [250, 0, 0] } else { [0, 0, 250] }));
    let jpeg = encoded(plain, ImageFormat::Jpeg);
    let (red, blue) = ([250, 0, 0], [0, 0, 250]);
    for (orientation, size, first, last) in [
        (1, (32, 16), red, blue),
        (2, (32, 16), blue, red),
        (3, (32, 16), blue, red),
        (6, (16, 32), red, blue),
        (8, (16, 32), blue, red),
    ] {
        let mut turned = jpeg[..2].to_vec();
        turned.extend(b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0");
        turned.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        turned.extend(&jpeg[2..]);
        let decoded = rgb(&turned);
        assert_eq!(decoded.dimensions(), size, "orientation {orientation}");
        let (w, h) = size;
        assert!(
            is_near(decoded.get_pixel(2, 2).0, first),
            "orientation {orientation}: {:?}",
            decoded.get_pixel(2, 2)
        );
        assert!(is_near(decoded.get_pixel(w - 3, h - 3).0, last), "orientation {orientation}");
    }
}

#[test]
fn shorter_sides_are_bounded_and_never_enlarged() {
    let size = |width, height, short| {
        let image =
            decode(&encoded(picture(1, width, height), ImageFormat::Png), &Reading::new(short)).unwrap();
        assert_eq!(image.pixels.len(), image.width * image.height * 3);
        (image.width, image.height)
    };
    assert_eq!(size(100, 50, 20), (40, 20));
    assert_eq!(size(50, 100, 20), (20, 40));
    assert_eq!(size(99, 40, 20), (50, 20));
    assert_eq!(size(19, 100, 20), (19, 100));
    assert_eq!(size(20, 20, 20), (20, 20));
    assert_eq!(size(1000, 3, 1), (333, 1));
}

#[test]
fn shrinking_averages() {
    let stripes = RgbImage::from_fn(64, 64, |x, _| image::Rgb([if x % 2 == 0 { 0 } else { 200 }; 3]));
    let image = decode(&encoded(stripes, ImageFormat::Png), &Reading::new(16)).unwrap();
    assert!(image.pixels.iter().all(|p| p.abs_diff(100) < 12), "stripes must blur, not alias");
}

/// The pixels of Pillow's `resize((6, 4), BILINEAR)`, within rounding;
/// the CPU's instructions make no difference.
#[test]
fn shrinking_is_pillows() {
    let byte = |x: u32, y: u32, c: u32| ((x * 37 + y * 59 + c * 83 + x * y * 11) % 256) as u8;
    let picture = RgbImage::from_fn(13, 9, |x, y| image::Rgb([0, 1, 2].map(|c| byte(x, y, c))));
    let image = decode(&encoded(picture, ImageFormat::Png), &Reading::new(4)).unwrap();
    let expected = [
        85, 137, 133, 143, 139, 111, 146, 119, 109, 105, 119, 125, 127, 123, 148, 129, 144, 126, 163, 94,
        126, 139, 128, 128, 117, 132, 128, 122, 140, 140, 126, 115, 119, 160, 91, 121, 125, 132, 122, 142,
        140, 136, 157, 133, 122, 109, 149, 141, 100, 120, 97, 115, 115, 111, 125, 131, 132, 151, 127, 134,
        150, 105, 134, 123, 98, 160, 101, 132, 135, 139, 103, 130,
    ];
    assert_eq!((image.width, image.height), (6, 4));
    let wrong = image.pixels.iter().zip(expected).filter(|(a, b)| a.abs_diff(*b) > 1).count();
    assert_eq!(wrong, 0, "{:?}", image.pixels);
}

#[test]
fn files_that_are_no_images_say_what_they_are() {
    let why = |content: &[u8]| decode(content, &USUAL).unwrap_err();
    assert!(why(b"").contains("but an empty file"));
    assert!(why(b"\0\0\0\x1cftypheic\0").contains("but a HEIC picture"));
    assert!(why(&[1, 2, 0xfe, 0xff]).contains("but data of an unknown kind"));
    // A file behind a link may be secret: nothing of it is repeated.
    let words = why(b"root:secret:0:0\n");
    assert!(words.contains("but a text") && !words.contains("root") && !words.contains("secret"), "{words}");
}

#[test]
fn truncated_images_are_not_read() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::WebP]
    {
        let whole = encoded(picture(5, 60, 50), format);
        assert!(decode(&whole, &USUAL).is_ok());
        for part in [1, 3, 5, 7] {
            assert!(decode(&whole[..whole.len() * part / 8], &USUAL).is_err(), "{format:?} {part}/8");
        }
    }
}

#[test]
fn a_thumbnail_does_not_hide_truncation() {
    let jpeg = encoded(picture(5, 200, 150), ImageFormat::Jpeg);
    let thumbnail = encoded(picture(5, 16, 16), ImageFormat::Jpeg);
    let mut nested = jpeg[..2].to_vec();
    nested.extend([0xff, 0xe5]);
    nested.extend((thumbnail.len() as u16 + 2).to_be_bytes());
    nested.extend(&thumbnail);
    nested.extend(&jpeg[2..]);
    assert!(decode(&nested, &USUAL).is_ok());
    assert!(decode(&nested[..nested.len() * 3 / 4], &USUAL).unwrap_err().contains("truncated"));
}

#[test]
fn a_small_file_cannot_claim_a_huge_image() {
    let mut bmp = encoded(DynamicImage::from(picture(1, 2, 2)), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&2_000_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&2_000_000u32.to_le_bytes());
    assert!(decode(&bmp, &USUAL).is_err());
    let mut gif = encoded(picture(1, 20, 12), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[0, 0x40, 0, 0x40]); // 16,384 x 16,384
    assert!(decode(&gif, &USUAL).unwrap_err().contains("a claim to be 16384 x 16384"));
}

#[test]
fn a_jpeg_of_which_blocks_are_missing_is_not_read() {
    let jpeg = encoded(picture(5, 200, 150), ImageFormat::Jpeg);
    let closed = [&jpeg[..jpeg.len() / 2], &[0xff, 0xd9]].concat();
    assert!(decode(&closed, &USUAL).unwrap_err().contains("blocks of the picture are missing"));
}

#[test]
fn values_of_12_or_10_bits_are_refused_or_stretched_when_told() {
    let reading = |bits| Reading { short_side: 256, bits };
    let deep = |values: [u16; 2]| {
        let grey: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::from_raw(2, 1, values.to_vec()).unwrap();
        [encoded(grey.clone(), ImageFormat::Png), encoded(grey, ImageFormat::Tiff)]
    };
    for (largest, bits, half) in [(4095, 12, 2048), (1023, 10, 512)] {
        for file in deep([largest, half]) {
            let error = decode(&file, &reading(None)).unwrap_err();
            assert!(error.contains(&format!("largest value is {largest} of 65535")), "{error}");
            assert!(error.contains("--bits"), "{error}");
            let image = decode(&file, &reading(Some(bits))).unwrap();
            assert_eq!(image.pixels, [255, 255, 255, 128, 128, 128]);
        }
    }
    for file in deep([4096, 7]) {
        assert_eq!(decode(&file, &reading(None)).unwrap().pixels[0], 16);
        assert!(decode(&file, &reading(Some(12))).unwrap_err().contains("4096, which is more than 12 bits"));
    }
    // Black stays black, and the opacity of a dark image does not count as a value.
    assert_eq!(decode(&deep([0, 0])[0], &reading(None)).unwrap().pixels, [0; 6]);
    let alpha: ImageBuffer<LumaA<u16>, Vec<u16>> = ImageBuffer::from_pixel(2, 2, LumaA([4000, 65535]));
    assert!(decode(&encoded(alpha, ImageFormat::Png), &reading(None)).is_err());
    // Images of 8 bits have their own range.
    let dark = GrayImage::from_pixel(2, 2, Luma([3]));
    assert_eq!(decode(&encoded(dark, ImageFormat::Png), &reading(Some(12))).unwrap().pixels[0], 3);
}

#[test]
fn tiffs_are_read_and_fractions_outside_of_0_to_1_refused() {
    let original = picture(3, 40, 30);
    assert_eq!(rgb(&encoded(original.clone(), ImageFormat::Tiff)), original);
    let fractions = |value: f32| {
        let image = image::Rgb32FImage::from_pixel(2, 2, image::Rgb([0.5, value, 1.0]));
        decode(&encoded(DynamicImage::from(image), ImageFormat::Tiff), &USUAL)
    };
    assert_eq!(fractions(0.0).unwrap().pixels[..3], [128, 0, 255]);
    assert!(fractions(1.5).unwrap_err().contains("a value of 1.5, outside of 0 to 1"));
}

#[test]
fn a_file_among_images_that_is_none_is_told_from_a_damaged_image() {
    let png = encoded(picture(1, 8, 8), ImageFormat::Png);
    for (name, content, is_stray) in [
        ("readme.txt", &b"words"[..], true),
        ("labels.csv", b"a,b", true),
        ("1.jpg", b"words", false),
        ("1.HEIC", b"\0\0\0\x1cftypheic\0", false),
        ("0001", b"words", false),
        ("1.dat", &png[..40], false),
    ] {
        let error = decode_named(name, content, &USUAL).unwrap_err();
        assert_eq!(matches!(error, NoImage::Stray(_)), is_stray, "{name}: {error}");
    }
    assert!(decode_named("1.dat", &png, &USUAL).is_ok());
}
