//! One generated image: a background, clutter, the class's pattern, light and noise, all drawn at random.
//!
//! Colours, place, size, rotation and light are drawn in the same way for every class, so they do not reveal
//! it.

use super::patterns::{At, Class, Kind, Pattern};
use super::random::Random;
use std::f32::consts::TAU;

type Colour = [f32; 3];

/// An image being drawn: `[side, side]` pixels in 0..1.
struct Canvas {
    side: usize,
    pixels: Vec<Colour>,
}

/// The place of a pattern: pattern = turn · (image - centre), image coordinates in 0..1.
struct Place {
    centre: (f32, f32),
    turn: [f32; 4],
}

/// A colour that changes along a direction.
struct Paint {
    colour: Colour,
    slope: Colour,
    along: (f32, f32),
}

/// Draws one image of a class, `side * side * 3` bytes, RGB, row by row.
pub(super) fn draw(class: &Class, random: &mut Random, side: usize) -> Vec<u8> {
    let ground = Paint::draw(random);
    let ink = Paint::draw_apart(random, ground.colour);
    let mut canvas = Canvas::new(side, &ground);
    canvas.stain(random, 0.06);
    for _ in 0..random.below(4) {
        clutter(&mut canvas, random);
    }
    match class.kind {
        Kind::Shape => shape(&mut canvas, random, class.pattern, &ink),
        Kind::Texture => texture(&mut canvas, random, class.pattern, &ink),
    }
    for _ in 0..random.below(2) {
        clutter(&mut canvas, random);
    }
    canvas.stain(random, 0.03);
    canvas.develop(random)
}

fn shape(canvas: &mut Canvas, random: &mut Random, pattern: Pattern, ink: &Paint) {
    let radius = random.range(0.28, 0.44);
    let reach = 0.5 - radius * 0.85;
    let centre = (0.5 + random.range(-reach, reach), 0.5 + random.range(-reach, reach));
    let vary = [random.unit(), random.unit(), random.unit(), random.unit()];
    let place = Place::draw(random, centre, radius, 0.2);
    canvas.paint(ink, |x, y| {
        let (x, y) = place.of(x, y);
        pattern(&At { x, y, vary: &vary })
    });
}

/// Fills an uneven round region with a texture.
fn texture(canvas: &mut Canvas, random: &mut Random, pattern: Pattern, ink: &Paint) {
    let period = random.range(0.14, 0.24);
    let centre = (random.range(0.35, 0.65), random.range(0.35, 0.65));
    let vary = [random.unit(), random.unit(), random.unit(), random.unit()];
    let place = Place::draw(random, centre, period, 0.2);
    let radius = random.range(0.32, 0.55);
    let middle = (random.range(0.4, 0.6), random.range(0.4, 0.6));
    let region = Place::draw(random, middle, radius, 0.3);
    let (bumps, depth, phase) =
        (2.0 + random.below(4) as f32, random.range(0.0, 0.2), random.range(0.0, TAU));
    canvas.paint(ink, |x, y| {
        let (u, v) = region.of(x, y);
        let (x, y) = place.of(x, y);
        u.hypot(v) < 1.0 + depth * (bumps * v.atan2(u) + phase).sin() && pattern(&At { x, y, vary: &vary })
    });
}

/// A small stroke, spot or splinter that belongs to no class.
fn clutter(canvas: &mut Canvas, random: &mut Random) {
    let paint = Paint::draw(random);
    let centre = (random.unit(), random.unit());
    let size = random.range(0.02, 0.06);
    let place = Place::draw(random, centre, size, 0.4);
    let kind = random.below(3);
    canvas.paint(&paint, |x, y| {
        let (x, y) = place.of(x, y);
        match kind {
            0 => y.abs() < 0.3 && x.abs() < 2.5,
            1 => x.hypot(y) < 0.8,
            _ => y > 0.0 && x > 0.0 && x + y < 1.4,
        }
    });
}

impl Place {
    /// A random rotation and mirroring, stretched by up to `uneven` in a random direction, of a given size.
    fn draw(random: &mut Random, centre: (f32, f32), size: f32, uneven: f32) -> Place {
        let stretch = 1.0 + random.range(-uneven, uneven);
        let (outer, inner) = (random.range(0.0, TAU), random.range(0.0, TAU));
        let mirror = if random.below(2) == 0 { 1.0 } else { -1.0 };
        let (a, b) = (outer.sin_cos(), inner.sin_cos());
        let [wide, high] = [1.0 / (size * stretch.sqrt()), mirror * stretch.sqrt() / size];
        let turn = [
            a.1 * wide * b.1 - a.0 * high * b.0,
            -a.1 * wide * b.0 - a.0 * high * b.1,
            a.0 * wide * b.1 + a.1 * high * b.0,
            -a.0 * wide * b.0 + a.1 * high * b.1,
        ];
        Place { centre, turn }
    }

    fn of(&self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = (x - self.centre.0, y - self.centre.1);
        (self.turn[0] * x + self.turn[1] * y, self.turn[2] * x + self.turn[3] * y)
    }
}

impl Paint {
    fn draw(random: &mut Random) -> Paint {
        let colour = [random.unit(), random.unit(), random.unit()];
        let slope = [random.range(-0.2, 0.2), random.range(-0.2, 0.2), random.range(-0.2, 0.2)];
        let (sin, cos) = random.range(0.0, TAU).sin_cos();
        Paint { colour, slope, along: (cos, sin) }
    }

    /// A paint that differs visibly from another colour; it may be lighter or darker.
    fn draw_apart(random: &mut Random, other: Colour) -> Paint {
        loop {
            let paint = Paint::draw(random);
            let distance = (0..3).map(|c| (paint.colour[c] - other[c]).powi(2)).sum::<f32>().sqrt();
            if distance > 0.7 {
                return paint;
            }
        }
    }

    fn at(&self, x: f32, y: f32) -> Colour {
        let along = (x - 0.5) * self.along.0 + (y - 0.5) * self.along.1;
        std::array::from_fn(|c| self.colour[c] + self.slope[c] * along)
    }
}

impl Canvas {
    fn new(side: usize, ground: &Paint) -> Canvas {
        let mut canvas = Canvas { side, pixels: vec![[0.0; 3]; side * side] };
        canvas.each(|x, y, pixel| *pixel = ground.at(x, y));
        canvas
    }

    /// Calls with every pixel's centre.
    fn each(&mut self, mut f: impl FnMut(f32, f32, &mut Colour)) {
        let side = self.side;
        for (i, pixel) in self.pixels.iter_mut().enumerate() {
            f(((i % side) as f32 + 0.5) / side as f32, ((i / side) as f32 + 0.5) / side as f32, pixel);
        }
    }

    /// Paints where `covers` says so, four samples a pixel.
    fn paint(&mut self, paint: &Paint, covers: impl Fn(f32, f32) -> bool) {
        let quarter = 0.25 / self.side as f32;
        self.each(|x, y, pixel| {
            let samples = [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)];
            let hits = samples.iter().filter(|s| covers(x + s.0 * quarter, y + s.1 * quarter)).count();
            if hits > 0 {
                let (share, colour) = (hits as f32 / 4.0, paint.at(x, y));
                (0..3).for_each(|c| pixel[c] += share * (colour[c] - pixel[c]));
            }
        });
    }

    /// Adds soft stains: three waves of random direction and length for each colour.
    fn stain(&mut self, random: &mut Random, depth: f32) {
        let mut wave = || {
            let (sin, cos) = random.range(0.0, TAU).sin_cos();
            let rate = random.range(3.0, 16.0);
            (cos * rate, sin * rate, random.range(0.0, TAU), random.range(0.0, depth))
        };
        let waves: [[_; 3]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| wave()));
        self.each(|x, y, pixel| {
            for (value, waves) in pixel.iter_mut().zip(&waves) {
                *value += waves.iter().map(|w| w.3 * (w.0 * x + w.1 * y + w.2).sin()).sum::<f32>();
            }
        });
    }

    /// Light from one side, exposure and the sensor's noise; then bytes.
    fn develop(mut self, random: &mut Random) -> Vec<u8> {
        let (sin, cos) = random.range(0.0, TAU).sin_cos();
        let (light, exposure) = (random.range(0.0, 0.6), random.range(0.7, 1.2));
        let noise = random.range(0.01, 0.05);
        self.each(|x, y, pixel| {
            let gain = exposure * (1.0 + light * ((x - 0.5) * cos + (y - 0.5) * sin));
            pixel.iter_mut().for_each(|value| *value = *value * gain + noise * random.normal());
        });
        self.pixels.iter().flatten().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect()
    }
}
