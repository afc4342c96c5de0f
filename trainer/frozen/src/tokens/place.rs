//! The place of each value of tokens: rows in few slots, each reused once its value is no longer read.

use networks::NodeId;

use super::steps::{Kind, Step};

/// The owner of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Each {
    Token,
    /// An image or a sentence.
    Sequence,
}

/// How a value's numbers are laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    /// Numbers of a row.
    pub(crate) width: usize,
    /// Floats from a row to the next.
    pub(crate) pitch: usize,
    pub(crate) each: Each,
    /// Heads, if each head's rows are together and all of them after the last head's: `[heads][rows][width /
    /// heads]`.
    pub(crate) heads: usize,
}

/// A value's slot, and where its first row begins there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) slot: usize,
    pub(super) offset: usize,
    pub(super) view: View,
}

/// The places of all values, and the floats of each slot for a token.
pub(super) struct Places {
    pub(super) of: Vec<Option<Place>>,
    pub(super) slots: Vec<usize>,
}

/// Assigns a place to every value; `width` returns the width and the kind of row of a step's output.
pub(super) fn places(
    steps: &[Step],
    count: usize,
    output: NodeId,
    width: impl Fn(&Step) -> (usize, usize, Each),
) -> Places {
    let mut last_read = vec![0; count];
    for (at, step) in steps.iter().enumerate() {
        step.inputs.iter().for_each(|&value| last_read[value] = at);
    }
    last_read[output] = usize::MAX;
    let mut places = Places { of: vec![None; count], slots: Vec::new() };
    let mut held: Vec<Vec<NodeId>> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let (width, padded, each) = width(step);
        let values = step.output.into_iter().chain(step.norm);
        let pitch = padded * values.clone().count();
        let slot = free_slot(&mut places.slots, &mut held, pitch);
        let heads = match step.kind {
            Kind::Attention { heads, .. } => heads,
            _ => 1,
        };
        for (beside, value) in values.enumerate() {
            let view = View { width, pitch, each, heads };
            places.of[value] = Some(Place { slot, offset: beside * padded, view });
            held[slot].push(value);
        }
        for values in &mut held {
            values.retain(|&value| last_read[value] > at);
        }
    }
    places
}

/// The free slot that fits best, or the widest one made wider, or a new one.
fn free_slot(slots: &mut Vec<usize>, held: &mut Vec<Vec<NodeId>>, pitch: usize) -> usize {
    let free: Vec<usize> = (0..slots.len()).filter(|&slot| held[slot].is_empty()).collect();
    let fits = free.iter().copied().filter(|&slot| slots[slot] >= pitch).min_by_key(|&slot| slots[slot]);
    match fits.or_else(|| free.into_iter().max_by_key(|&slot| slots[slot])) {
        Some(slot) => {
            slots[slot] = slots[slot].max(pitch);
            slot
        }
        None => {
            slots.push(pitch);
            held.push(Vec::new());
            slots.len() - 1
        }
    }
}
