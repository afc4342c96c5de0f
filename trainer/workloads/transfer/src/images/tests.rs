//! The rule compared with torchvision and PIL (`tests/reference/make_reference.py` made the values), and its
//! edge cases.

use super::*;
use crate::weights::Seeded;

const PLAIN: Normalisation = Normalisation { mean: [0.0; 3], std: [1.0; 3] };

fn prepared(image: &[u8], sides: (usize, usize), size: usize, normalisation: Normalisation) -> Vec<f32> {
    let preprocessing = Preprocessing { size, normalisation };
    let mut out = vec![0.0; preprocessing.len()];
    preprocessing.prepare(image, sides, &mut out).unwrap();
    out
}

#[test]
fn equals_torchvision() {
    let reference = crate::testing::reference("resized.safetensors");
    let names = reference.names();
    assert_eq!(names.len(), 8);
    for name in names {
        let mut numbers = name.split(['x', ' ']).filter_map(|word| word.parse::<usize>().ok());
        let mut next = || numbers.next().unwrap();
        let (height, width, size) = (next(), next(), next());
        let image = Seeded::default().bytes(&format!("image {height} {width}"), height * width * 3);
        let found = prepared(&image, (height, width), size, PLAIN);
        let expected = reference.tensor(&name, &[size, size, 3]).unwrap();
        let error = found.iter().zip(expected.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 2e-6, "{name}: {error}");
    }
}

#[test]
fn an_image_of_the_right_size_is_only_normalised() {
    let image = Seeded { seed: 3 }.bytes("pixels", 12 * 12 * 3);
    let found = prepared(&image, (12, 12), 12, Normalisation::IMAGENET);
    let Normalisation { mean, std } = Normalisation::IMAGENET;
    for (index, (&byte, &value)) in image.iter().zip(&found).enumerate() {
        let channel = index % 3;
        assert_eq!(value, (f32::from(byte) / 255.0 - mean[channel]) / std[channel]);
    }
}

#[test]
fn an_even_image_stays_even() {
    for (sides, size) in [((1, 1), 7), ((3, 500), 5), ((211, 100), 64), ((64, 65), 63), ((2, 3), 224)] {
        let found = prepared(&vec![51; sides.0 * sides.1 * 3], sides, size, PLAIN);
        assert!(found.iter().all(|value| (value - 0.2).abs() < 1e-6), "{sides:?} to {size}");
    }
}

#[test]
fn lengths_are_checked() {
    let preprocessing = Preprocessing { size: 4, normalisation: PLAIN };
    let mut out = vec![0.0; preprocessing.len()];
    assert!(preprocessing.prepare(&[0; 26], (3, 3), &mut out).is_err());
    assert!(preprocessing.prepare(&[], (0, 3), &mut out).is_err());
    assert!(preprocessing.prepare(&[0; 27], (3, 3), &mut out[1..]).is_err());
}
