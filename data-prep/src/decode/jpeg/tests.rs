//! Pictures that are whole, and the same ones cut and closed again with an end marker.

use super::*;
use crate::samples::picture;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// 24 x 17, subsampled, in ten scans that add coefficients bit by bit, as libjpeg writes them.
const PROGRESSIVE: &str = "\
    ffd8ffdb004300100b0c0e0c0a100e0d0e1211101318281a181616183123251d283a333d3c3933383740485c4e404457\
     453738506d51575f626768673e4d71797064785c656763ffdb0043011112121815182f1a1a2f63423842636363636363\
     6363636363636363636363636363636363636363636363636363636363636363636363636363636363636363ffc20011\
     080011001803012200021101031101ffc40017000101010100000000000000000000000000040502ffc4001701010101\
     0100000000000000000000000001030204ffda000c03010002100310000001cfa29a64673414c665035ec3c7ffc4001c\
     1000020202030000000000000000000000010200031121313341ffda0008010100010502090571934aa32144b06aae2b\
     eef7ffc400191100020301000000000000000000000000000301043112ffda0008010301013f015387d89eb45e96f60f\
     ffc4001a110002020300000000000000000000000000020111313242ffda0008010201013f0159b1596b072c2ea7ffc4\
     001e100001040105000000000000000000000000010211c1711021316172ffda0008010100063f02d6369393a1994b1d\
     9b1dead0ffc4001c100002010501000000000000000000000000016110112131f051ffda0008010100013f21a74e5836\
     082e2093699761b163abe8e38d15ffda000c03010002000300000010a3df83ffc4001b11000201050000000000000000\
     000000000001b121314181a1ffda0008010301013f106d043117f7273b967fffc4001b11000104030000000000000000\
     000000000001113141a1c1f0ffda0008010201013f10b247384c5b22ea43ffc4001f1001010002010403000000000000\
     0000000111002131105171814161c1ffda0008010100013f10a229aed8124ddc8b4e54791693f7ef9cbe10318514a6bc\
     6fd61c091abcbdbcd30f28a22cf9ba3da9d5d9463fffd9";

fn progressive() -> Vec<u8> {
    let digits = PROGRESSIVE.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn encoded(settings: impl FnOnce(&mut Encoder<&mut Vec<u8>>), (width, height): (u16, u16)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 80);
    settings(&mut encoder);
    let noise = picture(7, width.into(), height.into());
    let pixels: Vec<u8> = noise.iter().enumerate().map(|(i, &v)| v ^ (i * i % 97) as u8).collect();
    encoder.encode(&pixels, width, height, ColorType::Rgb).unwrap();
    bytes
}

/// JPEGs of every kind.
fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("baseline", encoded(|_| {}, (70, 50))),
        ("subsampled", encoded(|e| e.set_sampling_factor(SamplingFactor::F_2_2), (70, 50))),
        ("subsampled unevenly", encoded(|e| e.set_sampling_factor(SamplingFactor::F_4_1), (65, 33))),
        ("with its own tables", encoded(|e| e.set_optimized_huffman_tables(true), (70, 50))),
        ("with restarts", encoded(|e| e.set_restart_interval(3), (70, 50))),
        ("progressive", encoded(|e| e.set_progressive(true), (70, 50))),
        (
            "progressive with restarts",
            encoded(
                |e| {
                    e.set_progressive(true);
                    e.set_restart_interval(4);
                },
                (70, 50),
            ),
        ),
        ("bit by bit", progressive()),
    ]
}

/// Where the codes of the first scan begin, and the end marker.
fn codes(jpeg: &[u8]) -> (usize, usize) {
    let start = jpeg.windows(2).position(|pair| pair == [0xff, START_OF_SCAN]).unwrap();
    (start + 2 + usize::from(jpeg[start + 3]), jpeg.len() - 2)
}

#[test]
fn whole_pictures_are_whole() {
    for (kind, jpeg) in kinds() {
        assert_eq!(check(&jpeg), Ok(()), "{kind}");
    }
}

#[test]
fn pictures_that_are_cut_and_closed_again_are_told_wherever_they_were_cut() {
    for (kind, jpeg) in kinds() {
        let (first, end) = codes(&jpeg);
        // One of the last scan's last bytes may have only padding bits.
        for cut in (first..end - 2).rev().step_by(7) {
            let closed = [&jpeg[..cut], &[0xff, END_OF_IMAGE]].concat();
            assert!(check(&closed).is_err(), "{kind}, cut at {cut} of {end}");
        }
        let error = check(&[&jpeg[..(first + end) / 2], &[0xff, END_OF_IMAGE]].concat()).unwrap_err();
        assert!(error.contains("truncated"), "{kind}: {error}");
        assert!(check(&jpeg[..end]).unwrap_err().contains("before its end marker"), "{kind}");
    }
}

#[test]
fn a_stretch_between_restarts_that_is_cut_or_lost_is_told() {
    let jpeg = encoded(|e| e.set_restart_interval(3), (70, 50));
    let (first, _) = codes(&jpeg);
    let restart = |from: usize| {
        let is_restart = |pair: &[u8]| pair[0] == 0xff && (0xd0..=0xd7).contains(&pair[1]);
        from + jpeg[from..].windows(2).position(is_restart).unwrap()
    };
    let (one, two) = (restart(first), restart(restart(first) + 2));
    assert!(check(&[&jpeg[..one], &jpeg[two..]].concat()).is_err(), "a stretch is lost");
    assert!(check(&[&jpeg[..two - 8], &jpeg[two..]].concat()).is_err(), "a stretch is cut");
}

#[test]
fn bits_that_are_no_code_are_damage() {
    let jpeg = encoded(|_| {}, (70, 50));
    let (first, end) = codes(&jpeg);
    let ones = [0xff, 0x00].repeat((end - first) / 4);
    let damaged = [&jpeg[..first], &ones, &jpeg[first + ones.len()..]].concat();
    assert!(check(&damaged).unwrap_err().contains("it has a code without a meaning"));
}

#[test]
fn what_follows_the_picture_and_lies_between_the_headers_is_passed_over() {
    let jpeg = encoded(|_| {}, (40, 30));
    let thumbnail = encoded(|_| {}, (16, 16));
    let length = (thumbnail.len() as u16 + 2).to_be_bytes();
    let nested = [&jpeg[..2], &[0xff, 0xe5], &length, &thumbnail, &jpeg[2..]].concat();
    assert_eq!(check(&nested), Ok(()));
    // A second picture after the first, as phones write them; zeros before the end marker, as webcams do.
    assert_eq!(check(&[&jpeg[..], &thumbnail[..30]].concat()), Ok(()));
    let (_, end) = codes(&jpeg);
    assert_eq!(check(&[&jpeg[..end], &[0, 0, 0], &jpeg[end..]].concat()), Ok(()));
}

#[test]
fn no_change_of_a_byte_makes_it_panic() {
    for (_, jpeg) in kinds() {
        let frame =
            jpeg.windows(2).position(|pair| pair[0] == 0xff && matches!(pair[1], 0xc0..=0xc2)).unwrap();
        // A size that the file cannot hold is refused before the codes are walked.
        for at in (2..jpeg.len()).filter(|at| !(frame + 5..frame + 9).contains(at)) {
            for bits in [1, 128] {
                let mut changed = jpeg.clone();
                changed[at] ^= bits;
                let _ = check(&changed);
            }
        }
    }
}
