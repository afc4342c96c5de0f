//! The place of each value: few slots, each reused once its value is no longer read, or when a sum overwrites
//! it.

use crate::fuse::{Kind, Step};
use crate::kernels::LANES;
use crate::size::Size;
use networks::NodeId;

/// Where a value lives: images `[height, width, pitch]` one after the other, its channels from `offset` on.
///
/// Channels past the value's own, up to a multiple of the lanes, are zero in a value with a slot of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// None is the input of the steps: the caller's images, whose pixels are not padded.
    pub(crate) slot: Option<usize>,
    pub(crate) offset: usize,
    pub(crate) pitch: usize,
}

/// The places of all values, and the floats per image of each slot.
pub(crate) struct Plan {
    pub(crate) places: Vec<Option<Place>>,
    pub(crate) slots: Vec<usize>,
}

/// Channels in memory.
pub(crate) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}

/// Removes the concatenations from `steps` whose parts can be written in place, and assigns a place to every
/// value.
///
/// `input` is the value that the steps read, and its pitch.
pub(crate) fn plan(
    steps: &mut Vec<Step>,
    sizes: &[Size],
    (input, pitch): (NodeId, usize),
    output: NodeId,
) -> Plan {
    let parts = concatenated_in_place(steps, sizes, output);
    let home = |value: NodeId| parts[value].map_or(value, |(whole, _)| whole);
    let mut last_read = vec![0; sizes.len()];
    for (at, step) in steps.iter().enumerate() {
        step.inputs.iter().for_each(|&value| last_read[home(value)] = at);
    }
    last_read[home(output)] = usize::MAX;

    let mut places = vec![None; sizes.len()];
    places[input] = Some(Place { slot: None, offset: 0, pitch });
    let mut slots: Vec<usize> = Vec::new();
    let mut holder: Vec<Option<NodeId>> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let whole = home(step.output);
        if let Some(addend) = written_over(step, &parts).filter(|&addend| last_read[addend] == at)
            && let Some(place @ Place { slot: Some(slot), .. }) = places[addend]
        {
            holder[slot] = Some(whole);
            places[whole] = Some(place);
        }
        let place = *places[whole].get_or_insert_with(|| {
            let pitch = padded(sizes[whole].channels);
            let slot = free_slot(&mut slots, &mut holder, sizes[whole].pixels() * pitch);
            holder[slot] = Some(whole);
            Place { slot: Some(slot), offset: 0, pitch }
        });
        if let Some((_, offset)) = parts[step.output] {
            places[step.output] = Some(Place { offset, ..place });
        }
        for held in &mut holder {
            *held = held.filter(|&value| last_read[value] > at);
        }
    }
    Plan { places, slots }
}

/// The residual of a convolution that its output may overwrite, which saves one transfer through memory: it
/// is read where the output is written, and nowhere else.
fn written_over(step: &Step, parts: &[Option<(NodeId, usize)>]) -> Option<NodeId> {
    let (&addend, read) = step.inputs.split_last()?;
    let adds = matches!(step.kind, Kind::Conv { residual: true, .. }) && !read.contains(&addend);
    (adds && parts[addend].is_none() && parts[step.output].is_none()).then_some(addend)
}

/// The free slot that fits best, or else the largest one made larger, or a new one.
fn free_slot(slots: &mut Vec<usize>, holder: &mut Vec<Option<NodeId>>, floats: usize) -> usize {
    let free: Vec<usize> = (0..slots.len()).filter(|&slot| holder[slot].is_none()).collect();
    let fits = free.iter().copied().filter(|&slot| slots[slot] >= floats).min_by_key(|&slot| slots[slot]);
    match fits.or_else(|| free.into_iter().max_by_key(|&slot| slots[slot])) {
        Some(slot) => {
            slots[slot] = slots[slot].max(floats);
            slot
        }
        None => {
            slots.push(floats);
            holder.push(None);
            slots.len() - 1
        }
    }
}

/// For each value that a convolution can write straight into a concatenation: the concatenation, and the
/// first channel.
pub(crate) fn concatenated_in_place(
    steps: &mut Vec<Step>,
    sizes: &[Size],
    output: NodeId,
) -> Vec<Option<(NodeId, usize)>> {
    let mut parts = vec![None; sizes.len()];
    let reads =
        |steps: &[Step], value| steps.iter().flat_map(|step| &step.inputs).filter(|&&v| v == value).count();
    let fits = |steps: &[Step], value: NodeId| {
        value != output
            && sizes[value].channels.is_multiple_of(LANES)
            && reads(steps, value) == 1
            && steps.iter().any(|step| {
                step.output == value && matches!(step.kind, Kind::Conv { .. } | Kind::Separable(_))
            })
    };
    let whole = |step: &Step| step.kind == Kind::Concat;
    let in_place: Vec<bool> =
        steps.iter().map(|step| whole(step) && step.inputs.iter().all(|&value| fits(steps, value))).collect();
    for step in steps.iter().zip(&in_place).filter(|(_, in_place)| **in_place).map(|(step, _)| step) {
        let mut offset = 0;
        for &part in &step.inputs {
            parts[part] = Some((step.output, offset));
            offset += sizes[part].channels;
        }
    }
    let mut kept = in_place.iter().map(|in_place| !in_place);
    steps.retain(|_| kept.next().unwrap_or(true));
    parts
}
