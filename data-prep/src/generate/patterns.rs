//! The looks of the generated classes: each a small function that says whether a point is on the pattern.
//!
//! A shape fills the circle of radius 1 around the origin; a texture covers the plane with a period of about
//! 1.

use std::f32::consts::{PI, TAU};

/// A point in a pattern's own coordinates, and four numbers in 0..1 that vary it from image to image.
pub(super) struct At<'a> {
    pub(super) x: f32,
    pub(super) y: f32,
    pub(super) vary: &'a [f32; 4],
}

/// Whether a pattern covers a point.
pub(super) type Pattern = fn(&At) -> bool;

/// How a pattern is placed in an image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Drawn once.
    Shape,
    /// Fills a region.
    Texture,
}

/// One class.
pub(super) struct Class {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) pattern: Pattern,
}

const fn shape(name: &'static str, pattern: Pattern) -> Class {
    Class { name, kind: Kind::Shape, pattern }
}

const fn texture(name: &'static str, pattern: Pattern) -> Class {
    Class { name, kind: Kind::Texture, pattern }
}

/// The classes that the small network is pretrained on.
pub(super) const BASE: [Class; 28] = [
    shape("disc", |p| p.r() < 0.85),
    shape("ring", |p| (p.r() - 0.7).abs() < p.between(0, 0.1, 0.2)),
    shape("square", |p| p.box_distance() < 0.7),
    shape("frame", |p| (p.box_distance() - 0.6).abs() < p.between(0, 0.08, 0.16)),
    shape("triangle", |p| p.polygon(3) < 0.5),
    shape("triangle_outline", |p| (p.polygon(3) - 0.4).abs() < p.between(0, 0.07, 0.11)),
    shape("hexagon_outline", |p| (p.polygon(6) - 0.7).abs() < p.between(0, 0.08, 0.15)),
    shape("plus", |p| p.x.abs().min(p.y.abs()) < p.between(0, 0.15, 0.28) && p.box_distance() < 0.9),
    shape("star", |p| p.r() < 0.38 + 0.55 * triangle_wave(p.angle() * 5.0 / TAU)),
    shape("half_disc", |p| p.r() < 0.95 && p.y > 0.0),
    shape("quarter", |p| (p.x + 0.5).hypot(p.y + 0.5) < 1.3 && p.x > -0.5 && p.y > -0.5),
    shape("bar", |p| p.y.abs() < p.between(0, 0.12, 0.25) && p.x.abs() < 0.95),
    shape("two_bars", |p| (p.y.abs() - 0.4).abs() < p.between(0, 0.12, 0.2) && p.x.abs() < 0.85),
    shape("corner", |p| p.box_distance() < 0.75 && (p.x + 0.75 < p.arm() || p.y + 0.75 < p.arm())),
    shape("tee", |p| p.box_distance() < 0.8 && (p.y + 0.8 < p.arm() || p.x.abs() < p.arm() / 2.0)),
    shape("cup", |p| {
        p.box_distance() < 0.8 && (p.x.abs() > 0.8 - p.arm() * 0.8 || p.y + 0.8 < p.arm() * 0.8)
    }),
    shape("chevron", |p| (p.y - p.x.abs() + 0.4).abs() < p.between(0, 0.2, 0.35) && p.x.abs() < 0.85),
    shape("dumbbell", |p| (p.x.abs() - 0.6).hypot(p.y) < 0.36 || (p.y.abs() < 0.1 && p.x.abs() < 0.6)),
    shape("three_discs", |p| p.folded(3, |x, y| (x - 0.6).hypot(y) < 0.33)),
    texture("stripes", |p| p.y.rem_euclid(1.0) < p.between(0, 0.35, 0.65)),
    texture("checks", |p| (p.x.rem_euclid(1.4) < 0.7) != (p.y.rem_euclid(1.4) < 0.7)),
    texture("dots", |p| cell(p.x, p.y).0.hypot(cell(p.x, p.y).1) < p.between(0, 0.25, 0.36)),
    texture("grid", |p| cell(p.x, p.y).0.abs().max(cell(p.x, p.y).1.abs()) > p.between(0, 0.3, 0.4)),
    texture("waves", |p| (p.y + 0.3 * (p.x * 2.6).sin()).rem_euclid(1.0) < p.between(0, 0.4, 0.6)),
    texture("target", |p| p.r().rem_euclid(1.0) < p.between(0, 0.4, 0.6)),
    texture("rays", |p| (p.angle() * (5.0 + (p.vary[0] * 5.0).floor()) / TAU).rem_euclid(1.0) < 0.5),
    texture("dashes", |p| p.y.rem_euclid(0.8) < 0.35 && (p.x + half_every(p.y, 0.8)).rem_euclid(1.6) < 1.0),
    texture("triangles", |p| {
        let (x, y) = cell(p.x * 0.8, p.y * 0.8);
        y > 2.0 * x.abs() - 0.45 && y < 0.4
    }),
];

/// The classes of the demo's data set: the small network has not seen them.
pub(super) const NOVEL: [Class; 10] = [
    shape("crescent", |p| p.r() < 0.9 && (p.x - p.between(0, 0.35, 0.5)).hypot(p.y) > 0.75),
    shape("heart", |p| {
        let (x, y) = (p.x * 1.25, p.y * 1.25 + 0.15);
        (x * x + y * y - 0.6).powi(3) < -(x * x * y * y * y)
    }),
    shape("arrow", |p| {
        let head = p.x > 0.0 && p.x + 1.1 * p.y.abs() < 0.9;
        head || (p.y.abs() < p.between(0, 0.15, 0.25) && p.x > -0.9 && p.x <= 0.0)
    }),
    shape("gear", |p| {
        let teeth = 7.0 + (p.vary[0] * 3.0).floor();
        let rim = if (p.angle() * teeth / TAU).rem_euclid(1.0) < 0.5 { 0.95 } else { 0.7 };
        p.r() < rim && p.r() > 0.3
    }),
    shape("spiral", |p| {
        let turns = (p.r() * 2.3 - p.angle() / TAU).rem_euclid(1.0);
        turns < p.between(0, 0.35, 0.5) && p.r() < 0.95
    }),
    shape("hourglass", |p| p.y.abs() < 0.85 && p.x.abs() < 0.1 + 0.75 * p.y.abs()),
    shape("ladder", |p| {
        let rails = (p.x.abs() - 0.45).abs() < 0.1;
        let rungs = p.x.abs() < 0.45 && p.y.rem_euclid(0.5) < 0.17;
        p.y.abs() < 0.9 && (rails || rungs)
    }),
    texture("zigzag", |p| (p.y + 0.7 * triangle_wave(p.x * 0.6)).rem_euclid(1.0) < p.between(0, 0.4, 0.55)),
    texture("bricks", |p| {
        p.y.rem_euclid(0.7) > 0.16 && (p.x + half_every(p.y, 0.7) * 0.9).rem_euclid(1.44) > 0.16
    }),
    texture("scales", |p| {
        let (x, _) = cell(p.x + half_every(p.y, 0.6), 0.0);
        (x.hypot(p.y.rem_euclid(0.6) - 0.05) - 0.42).abs() < 0.1
    }),
];

impl At<'_> {
    /// Distance from the origin.
    fn r(&self) -> f32 {
        self.x.hypot(self.y)
    }

    /// Angle around the origin, -π to π.
    fn angle(&self) -> f32 {
        self.y.atan2(self.x)
    }

    /// One of the four numbers, stretched to a range.
    fn between(&self, which: usize, low: f32, high: f32) -> f32 {
        low + (high - low) * self.vary[which]
    }

    /// Width of the arms of the letter-like shapes.
    fn arm(&self) -> f32 {
        self.between(0, 0.35, 0.55)
    }

    /// Half the side of the axis-parallel square through the point.
    fn box_distance(&self) -> f32 {
        self.x.abs().max(self.y.abs())
    }

    /// Inner radius of the regular polygon through the point.
    fn polygon(&self, sides: u16) -> f32 {
        self.folded(sides, |x, _| x)
    }

    /// A function of the point turned into the first of `times` equal sectors, which is around the x axis.
    fn folded<T>(&self, times: u16, f: impl Fn(f32, f32) -> T) -> T {
        let sector = TAU / f32::from(times);
        let angle = (self.angle() + PI).rem_euclid(sector) - sector / 2.0;
        f(self.r() * angle.cos(), self.r() * angle.sin())
    }
}

/// The point's place in its cell of the unit grid, each coordinate in -0.5..0.5.
fn cell(x: f32, y: f32) -> (f32, f32) {
    (x.rem_euclid(1.0) - 0.5, y.rem_euclid(1.0) - 0.5)
}

/// 0.5 in every second row of the given height: shifts bricks against each other.
fn half_every(y: f32, row: f32) -> f32 {
    0.5 * (y / row).floor().rem_euclid(2.0)
}

/// 1 at whole numbers, 0 halfway between them, straight lines in between.
fn triangle_wave(x: f32) -> f32 {
    (2.0 * x.rem_euclid(1.0) - 1.0).abs()
}
