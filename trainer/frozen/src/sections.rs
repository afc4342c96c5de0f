//! The cuts between sections, which take different numbers of images at a time.
//!
//! Early layers have large maps and few weights: their maps stay in the cache if images go one after the
//! other. Later ones have small maps and many weights, which are read once for all images that go together.
//! The fully connected layers at the end, after which no map is read, are nearly all weights.

use networks::{Network, NodeId, Parameter};

use crate::choice::{sooner_few, winograd_pays};
use crate::fuse::{Kind, Step};
use crate::kernels::POINTS;
use crate::layer::convolved;
use crate::plan::padded;
use crate::size::Size;

/// A run of steps and the one earlier value that it reads.
pub(crate) struct Section {
    pub(crate) steps: Vec<Step>,
    pub(crate) input: NodeId,
    pub(crate) together: Together,
}

/// How many images a section takes at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Together {
    /// As few as keep the threads busy.
    Few,
    /// As many as suit weights and maps.
    Some,
    /// All of them.
    Most,
}

/// Cuts the steps into one to three sections.
pub(crate) fn sections(mut steps: Vec<Step>, network: &Network, sizes: &[Size]) -> Vec<Section> {
    let split = |steps: &mut Vec<Step>, (first, input), together| Section {
        steps: steps.split_off(first),
        input,
        together,
    };
    let dense = fully_connected(&steps).filter(|&(_, input)| input != 0);
    let dense = dense.map(|cut| split(&mut steps, cut, Together::Most));
    let late = Some(large_maps(&steps, network, sizes)).filter(|&(first, _)| first < steps.len());
    let late = late.map(|cut| split(&mut steps, cut, Together::Some));
    let early = Section { steps, input: 0, together: Together::Few };
    let behind = [late, dense].into_iter().flatten().collect::<Vec<_>>();
    // A network that only passes on its images has a section, too, without steps.
    let early = Some(early).filter(|early| !early.steps.is_empty() || behind.is_empty());
    early.into_iter().chain(behind).collect()
}

/// Where the fully connected layers begin after which no map is read, and the value that they read.
fn fully_connected(steps: &[Step]) -> Option<(usize, NodeId)> {
    let dense = |step: &Step| matches!(step.kind, Kind::Linear { .. } | Kind::Activation);
    let first = steps.iter().rposition(|step| !dense(step))? + 1;
    let input = steps.get(first).filter(|step| matches!(step.kind, Kind::Linear { .. }))?.inputs[0];
    (only_read(steps, first) == Some(input)).then_some((first, input))
}

/// Where the layers end that take few images together, and the value that the others read.
fn large_maps(steps: &[Step], network: &Network, sizes: &[Size]) -> (usize, NodeId) {
    let floats = |value: NodeId| sizes[value].pixels() * padded(sizes[value].channels);
    let moved =
        |step: &Step| step.inputs.iter().map(|&value| floats(value)).sum::<usize>() + floats(step.output);
    let (mut from, mut read) = (0, 0);
    let cuts = (1..steps.len()).filter_map(|first| Some((first, only_read(steps, first)?)));
    for (first, input) in cuts.chain([(steps.len(), 0)]) {
        let block = &steps[from..first];
        let kept = block.iter().map(|step| weights(network, step, sizes)).sum();
        if !sooner_few(kept, block.iter().map(moved).sum()) {
            break;
        }
        (from, read) = (first, input);
    }
    (from, read)
}

/// The one earlier value that the steps from `first` on read, if there is only one.
fn only_read(steps: &[Step], first: usize) -> Option<NodeId> {
    let (before, behind) = steps.split_at(first);
    let made = |value: &NodeId| behind.iter().any(|step| step.output == *value);
    let mut read = behind.iter().flat_map(|step| &step.inputs).filter(|value| !made(value));
    let &value = read.next()?;
    (read.all(|&other| other == value) && before.iter().any(|step| step.output == value)).then_some(value)
}

/// Floats that a step keeps for its weights, about.
pub(crate) fn weights(network: &Network, step: &Step, sizes: &[Size]) -> usize {
    let floats = |parameter: Parameter| parameter.shape.iter().product::<usize>();
    let nodes = step.nodes().into_iter();
    let given: usize = nodes.flat_map(|node| network.nodes[node].parameters()).map(floats).sum();
    match &step.kind {
        Kind::Conv { conv, .. } if winograd_pays(conv, convolved(conv, sizes[step.inputs[0]])) => {
            given * POINTS * POINTS / (conv.kernel * conv.kernel)
        }
        _ => given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::fuse;

    /// The first layers of the sections of a network up to its default cut, at 224 px.
    fn begins(name: &str) -> Vec<String> {
        let network = networks::network(name).unwrap();
        let network = network.up_to(network.default_cut).unwrap();
        let sizes: Vec<Size> = network.shapes(224, 224).unwrap().into_iter().map(Size::from).collect();
        let sections = sections(fuse(&network, &sizes).0, &network, &sizes);
        sections.iter().map(|section| network.nodes[section.steps[0].node].name.clone()).collect()
    }

    #[test]
    fn sections_begin_where_weights_outgrow_maps() {
        assert_eq!(begins("vgg19"), ["features.0", "features.10", "classifier.0"]);
        assert_eq!(begins("resnet50"), ["conv1", "layer3.0.conv1"]);
        assert_eq!(begins("squeezenet1_1"), ["features.0", "features.9.expand1x1"]);
    }
}
