//! The values that a pass keeps, and the places of the derivatives.

use std::ops::Range;

use networks::NodeId;

use super::layer::{Taken, floats};
use crate::fuse::Step;
use crate::layer::View;
use crate::plan::{concatenated_in_place, padded};
use crate::size::Size;

/// The most segments whose values are computed again.
const MOST_SEGMENTS: usize = 16;

/// A step, and how derivatives are taken there.
pub(super) struct Planned {
    pub(super) step: Step,
    /// How each input takes its derivatives.
    pub(super) taken: Vec<Taken>,
    /// Whether it is the first to write the value that it computes (or has a part of).
    pub(super) begins: bool,
}

/// The steps of a network in the order of a pass.
pub(super) struct Plan {
    pub(super) steps: Vec<Planned>,
    sizes: Vec<Size>,
    /// For each value that is a part of another one: the other one, and its first channel there.
    parts: Vec<Option<(NodeId, usize)>>,
    pub(super) output: NodeId,
    /// The runs of steps whose values are in memory at once while gradients are computed: all, or one after
    /// the other.
    pub(super) segments: Vec<Range<usize>>,
    /// Numbers that all steps compute for an image.
    pub(super) values: usize,
    /// Images whose values fit, at least one.
    pub(super) images: usize,
}

impl Plan {
    /// A plan that keeps about `most` values at once.
    pub(super) fn new(mut steps: Vec<Step>, sizes: Vec<Size>, output: NodeId, most: usize) -> Plan {
        let parts = concatenated_in_place(&mut steps, &sizes, output);
        let home = |value: NodeId| parts[value].map_or(value, |(whole, _)| whole);
        let mut begun = vec![false; sizes.len()];
        begun[output] = true;
        let mut taken: Vec<Vec<Taken>> = steps.iter().map(|_| Vec::new()).collect();
        for (step, taken) in steps.iter().zip(&mut taken).rev() {
            for &value in &step.inputs {
                taken.push(match value {
                    0 => Taken::Not,
                    _ if begun[value] => Taken::Added,
                    _ => Taken::First,
                });
                begun[value] = true;
            }
        }
        let mut written = vec![false; sizes.len()];
        let planned = steps.into_iter().zip(taken).map(|(step, taken)| {
            let begins = !std::mem::replace(&mut written[home(step.output)], true);
            Planned { step, taken, begins }
        });
        let steps: Vec<Planned> = planned.collect();
        let all = 0..steps.len();
        let mut plan =
            Plan { steps, sizes, parts, output, segments: vec![all.clone()], values: 0, images: 1 };
        plan.values = plan.values_of(&all);
        plan.images = (most / plan.values.max(1)).max(1);
        if plan.values > most {
            plan.segments = plan.best_segments();
        }
        plan
    }

    /// The value in whose memory a value is, and its first channel there.
    pub(super) fn home(&self, value: NodeId) -> (NodeId, usize) {
        self.parts[value].unwrap_or((value, 0))
    }

    pub(super) fn view(&self, value: NodeId) -> View {
        View { size: self.sizes[value], pitch: padded(self.sizes[self.home(value).0].channels) }
    }

    /// The values that some steps begin and that no later one reads.
    pub(super) fn done(&self, steps: Range<usize>) -> Vec<NodeId> {
        let later = |value: NodeId| {
            value == self.output
                || self.steps[steps.end..].iter().any(|later| later.step.inputs.contains(&value))
        };
        let given = self.steps[steps.clone()].iter().map(|planned| self.home(planned.step.output).0);
        let mut done: Vec<NodeId> = given.filter(|&value| !later(value)).collect();
        done.dedup();
        done
    }

    /// Numbers that some steps compute for an image.
    fn values_of(&self, steps: &Range<usize>) -> usize {
        let begun = self.steps[steps.clone()].iter().filter(|planned| planned.begins);
        begun.map(|planned| floats(self.sizes[self.home(planned.step.output).0])).sum()
    }

    /// The segments with which the fewest values are in memory at once: those that later segments read, and
    /// those of a whole segment.
    fn best_segments(&self) -> Vec<Range<usize>> {
        let cost = |segments: &Vec<Range<usize>>| {
            let kept = |steps: &Range<usize>| {
                let done: usize =
                    self.done(steps.clone()).iter().map(|&value| floats(self.sizes[value])).sum();
                self.values_of(steps) - done
            };
            let most = segments.iter().map(|steps| self.values_of(steps)).max().unwrap_or(0);
            segments.iter().map(kept).sum::<usize>() + most
        };
        (1..=MOST_SEGMENTS).map(|count| self.cut(count)).min_by_key(cost).unwrap_or_default()
    }

    /// About `count` segments of about as many values.
    fn cut(&self, count: usize) -> Vec<Range<usize>> {
        let most = self.values_of(&(0..self.steps.len())).div_ceil(count);
        let mut segments: Vec<Range<usize>> = Vec::new();
        let mut from = 0;
        for at in 1..=self.steps.len() {
            let end = at == self.steps.len();
            // A value that several steps write together is not split.
            if end || self.steps[at].begins && self.values_of(&(from..at + 1)) > most {
                segments.push(from..at);
                from = at;
            }
        }
        segments
    }
}
