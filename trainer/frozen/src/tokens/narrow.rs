//! Values that are read of one token only are computed for that token only: most of the last block, if a
//! network ends in the class token. A row's numbers do not depend on the rows beside it, so they stay the
//! same.

use std::collections::BTreeMap;

use networks::{NodeId, Shape};

use super::steps::{Kind, Step};

/// Moves the choice of a token at the end as far down as possible; returns the steps and the value at the
/// end.
pub(super) fn narrowed(steps: Vec<Step>, output: NodeId, shapes: &mut Vec<Shape>) -> (Vec<Step>, NodeId) {
    let chooses = |step: &Step| matches!(step.kind, Kind::Token { .. });
    let Some(end) = steps.iter().position(chooses) else { return (steps, output) };
    let (Kind::Token { at }, read) = (&steps[end].kind, steps[end].inputs[0]) else { return (steps, output) };
    let (at, narrow) = (*at, narrow(&steps, end, output));
    let of_one = |value: NodeId| steps.iter().zip(&narrow).any(|(step, narrow)| *narrow && step.gives(value));
    if !of_one(read) {
        return (steps, output);
    }
    let given = steps[end].output;
    let renamed = |value: NodeId| if Some(value) == given { read } else { value };
    let wide: Vec<bool> = (0..shapes.len()).map(|value| !of_one(value)).collect();
    let (mut all, mut rows) = (Vec::new(), BTreeMap::new());
    for (index, (mut step, narrow)) in steps.into_iter().zip(narrow).enumerate() {
        if index == end {
            continue;
        }
        step.inputs.iter_mut().for_each(|input| *input = renamed(*input));
        match &mut step.kind {
            _ if !narrow => {}
            Kind::Attention { only, .. } => *only = Some(at),
            _ => {
                for input in step.inputs.iter_mut().filter(|input| wide[**input]) {
                    *input = *rows.entry(*input).or_insert_with(|| {
                        let (value, inputs) = (shapes.len(), vec![*input]);
                        shapes.push(Shape::Vector { n: shapes[*input].pooled() });
                        let (kind, output) = (Kind::Token { at }, Some(value));
                        all.push(Step { node: step.node, kind, inputs, output, norm: None });
                        value
                    });
                }
            }
        }
        for value in step.output.into_iter().chain(step.norm).filter(|_| narrow) {
            shapes[value] = Shape::Vector { n: shapes[value].pooled() };
        }
        all.push(step);
    }
    (all, renamed(output))
}

/// Whether each step's values are read by step `end` alone, or by steps of which that is true.
fn narrow(steps: &[Step], end: usize, output: NodeId) -> Vec<bool> {
    let mut narrow = vec![false; steps.len()];
    for at in (0..end).rev() {
        let step = &steps[at];
        let rowwise =
            !matches!(step.kind, Kind::Embed { .. } | Kind::Patches { .. } | Kind::Token { .. } | Kind::Mean);
        let reads_rows = |reader: usize| {
            reader == end || narrow[reader] && !matches!(steps[reader].kind, Kind::Attention { .. })
        };
        let values = || step.output.into_iter().chain(step.norm);
        let mut readers = (at + 1..steps.len())
            .filter(|&reader| steps[reader].inputs.iter().any(|&input| step.gives(input)));
        narrow[at] = rowwise && values().all(|value| value != output) && readers.all(reads_rows);
    }
    narrow
}
