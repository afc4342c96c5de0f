//! Forms compared with torchvision (`tests/reference/make_reference.py` made the values), and the drawn
//! numbers.

use super::*;
use crate::weights::Seeded;
use std::collections::HashSet;

fn image(height: usize, width: usize) -> Image {
    let pixels = Seeded::default().bytes(&format!("image {height} {width}"), height * width * 3);
    Image { height, width, pixels }
}

const ALL: Augment = Augment { flip: true, crop: 0.125, colour: 0.2, copies: 4, seed: 11 };

#[test]
fn equals_torchvision() {
    let reference = crate::testing::reference("augmented.safetensors");
    let names = reference.names();
    assert_eq!(names.len(), 4);
    for name in names {
        let numbers: Vec<f32> = name.split(' ').map(|word| word.parse().unwrap()).collect();
        let (height, width) = (numbers[0] as usize, numbers[1] as usize);
        let form = Form {
            mirrored: numbers[2] == 1.0,
            moved: [numbers[3] as isize, numbers[4] as isize],
            colours: [numbers[5], numbers[6], numbers[7]],
        };
        let found = form.of(&image(height, width));
        let expected = reference.tensor(&name, &[height, width, 3]).unwrap();
        let apart = found.pixels.iter().zip(expected.iter()).map(|(a, b)| (f32::from(*a) - b).abs());
        let apart = apart.fold(0.0, f32::max);
        assert!(apart < 0.501, "{name}: {apart}");
    }
}

#[test]
fn copy_0_is_the_image_and_each_other_copy_is_of_its_own() {
    println!("seed {}", ALL.seed);
    let stored = image(16, 16);
    assert_eq!(augmented(&ALL, &stored, 3, 0), stored);
    let copies: Vec<Image> = (0..60)
        .map(|n| {
            augmented(
                &Augment { seed: ALL.seed + n / 30, ..ALL },
                &stored,
                n as usize % 10,
                1 + n as u32 / 10 % 3,
            )
        })
        .collect();
    let others: HashSet<&[u8]> = copies.iter().map(|copy| &copy.pixels[..]).collect();
    assert_eq!(others.len(), copies.len(), "by image, copy and seed");
    assert_eq!(augmented(&ALL, &stored, 3, 1), copies[3], "the same whenever it is made");
}

#[test]
fn what_is_drawn_stays_within_what_is_asked_for_and_uses_all_of_it() {
    println!("seed {}", ALL.seed);
    let forms: Vec<Form> = (0..2_000).map(|index| Form::draw(&ALL, index, 1, 32)).collect();
    let mirrored = forms.iter().filter(|form| form.mirrored).count();
    assert!((900..1_100).contains(&mirrored), "{mirrored} of 2,000");
    for side in 0..2 {
        let moves: HashSet<isize> = forms.iter().map(|form| form.moved[side]).collect();
        assert_eq!(moves, (-4..=4).collect(), "an eighth of 32 pixels");
    }
    for colour in 0..3 {
        let factors = forms.iter().map(|form| form.colours[colour]);
        let (least, most) = factors.fold((2.0_f32, 0.0_f32), |(l, m), f| (l.min(f), m.max(f)));
        assert!((0.8..0.81).contains(&least) && (1.19..=1.2).contains(&most), "{least} to {most}");
    }
}

#[test]
fn one_key_changes_nothing_of_another() {
    println!("seed {}", ALL.seed);
    for index in 0..50 {
        let form = Form::draw(&ALL, index, 2, 32);
        let plain = Form { mirrored: false, moved: [0; 2], colours: [1.0; 3] };
        let only = |augment: Augment| Form::draw(&augment, index, 2, 32);
        let nothing = Augment { flip: false, crop: 0.0, colour: 0.0, ..ALL };
        assert_eq!(only(Augment { flip: true, ..nothing }), Form { mirrored: form.mirrored, ..plain });
        assert_eq!(only(Augment { crop: 0.125, ..nothing }), Form { moved: form.moved, ..plain });
        assert_eq!(only(Augment { colour: 0.2, ..nothing }), Form { colours: form.colours, ..plain });
    }
}

#[test]
fn images_of_one_row_or_pixel_have_copies_too() {
    for (height, width) in [(1, 1), (1, 9), (2, 3)] {
        for index in 0..20 {
            let copy = augmented(&Augment { crop: 0.5, ..ALL }, &image(height, width), index, 1);
            assert_eq!((copy.height, copy.width, copy.pixels.len()), (height, width, height * width * 3));
        }
    }
}
