//! Random numbers that are a function of their purpose: Philox 4x32-10, a counter-based generator.
//!
//! No generator's state is ever saved: seed, purpose, stage and worker name a stream, and any number of a
//! stream can be computed at any time. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy
//! as 1, 2, 3", 2011.

/// The purpose of a stream of random numbers. The values are part of the file format of a run: never change
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The head's first weights.
    Initial = 1,
    /// The order of the training images.
    Order = 2,
    /// Weights of an untrained network, for comparison.
    Untrained = 3,
    /// The changes of a copy of a training image.
    Augment = 4,
    /// The copy with which an image begins.
    Copy = 5,
    /// The dropped inputs of a layer.
    Dropout = 6,
    /// The first factors of users and items.
    Factors = 7,
}

/// One stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    /// Counter words 1 to 3; word 0 counts the blocks.
    name: [u32; 3],
    block: u32,
    words: [u32; 4],
    left: usize,
}

impl Stream {
    /// The stream of this seed and purpose, and of up to two numbers that distinguish its streams.
    pub fn new(seed: u64, purpose: Purpose, stage: u32, worker: u32) -> Stream {
        let key = [seed as u32, (seed >> 32) as u32];
        Stream { key, name: [purpose as u32, stage, worker], block: 0, words: [0; 4], left: 0 }
    }

    /// The next 32 bits.
    pub fn bits32(&mut self) -> u32 {
        if self.left == 0 {
            let [a, b, c] = self.name;
            self.words = philox([self.block, a, b, c], self.key);
            self.block = self.block.checked_add(1).expect("a stream is shorter than 2^34 numbers");
            self.left = 4;
        }
        self.left -= 1;
        self.words[3 - self.left]
    }

    /// The next 64 bits.
    pub fn bits64(&mut self) -> u64 {
        u64::from(self.bits32()) << 32 | u64::from(self.bits32())
    }

    /// A number from 0 to below `bound`; off by at most `bound` / 2⁶⁴ from uniform.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits64()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from 0 to below 1 in steps of 2⁻²⁴.
    pub fn unit(&mut self) -> f32 {
        (self.bits32() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform from `-bound` to below `bound`.
    pub fn symmetric(&mut self, bound: f32) -> f32 {
        (2.0 * self.unit() - 1.0) * bound
    }

    /// Shuffles a list (Fisher and Yates).
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// Ten rounds of Philox 4x32.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    let multiply = |a: u32, b: u32| {
        let product = u64::from(a) * u64::from(b);
        ((product >> 32) as u32, product as u32)
    };
    for _ in 0..10 {
        let (high0, low0) = multiply(0xD251_1F53, counter[0]);
        let (high1, low1) = multiply(0xCD9E_8D57, counter[2]);
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that come with the authors' own library, Random123.
    #[test]
    fn philox_gives_the_known_answers() {
        let known = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, words) in known {
            assert_eq!(philox(counter, key), words);
        }
    }

    #[test]
    fn streams_differ_by_every_part_of_their_name() {
        let first = |seed, purpose, stage, worker| Stream::new(seed, purpose, stage, worker).bits64();
        let values = [
            first(1, Purpose::Order, 1, 1),
            first(1 << 32, Purpose::Order, 1, 1),
            first(1, Purpose::Initial, 1, 1),
            first(1, Purpose::Order, 2, 1),
            first(1, Purpose::Order, 1, 2),
        ];
        assert_eq!(values.iter().collect::<std::collections::HashSet<_>>().len(), 5);
        assert_eq!(values[0], first(1, Purpose::Order, 1, 1));
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_every_place_is_as_likely() {
        let mut counts = [[0_u32; 5]; 5];
        for stage in 0..20_000 {
            let mut list = [0, 1, 2, 3, 4];
            Stream::new(7, Purpose::Order, stage, 0).shuffle(&mut list);
            list.iter().enumerate().for_each(|(place, &item)| counts[place][item] += 1);
        }
        assert!(counts.iter().flatten().all(|&count| (3_800..4_200).contains(&count)), "{counts:?}");
    }

    #[test]
    fn uniform_numbers_stay_within_their_bounds() {
        let mut stream = Stream::new(3, Purpose::Initial, 0, 0);
        let values: Vec<f32> = (0..10_000).map(|_| stream.symmetric(0.5)).collect();
        assert!(values.iter().all(|v| (-0.5..0.5).contains(v)));
        assert!((values.iter().sum::<f32>() / 10_000.0).abs() < 0.01);
    }
}
