//! The graph's layers folded into steps: linear layers with activation, scale, sum and norm, embeddings with
//! positions.
//!
//! A value is named by the node that computes it. A step takes the place of its first node, and the nodes
//! folded into it only read earlier values, so the order of the steps is an order of execution.

use networks::{Conv, Gelu, Network, NodeId, Op};

use crate::Error;

/// One step of the pass.
#[derive(Debug, PartialEq)]
pub(super) struct Step {
    /// The node that it is named by.
    pub(super) node: NodeId,
    pub(super) kind: Kind,
    /// The values that it reads; an added one comes last.
    pub(super) inputs: Vec<NodeId>,
    /// The value that it computes; none if only its norm is read.
    pub(super) output: Option<NodeId>,
    /// The norm after it, which is a value of its own.
    pub(super) norm: Option<NodeId>,
}

/// The operation of a step before its norm.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// Rows of a table by ids, with segments and positions added.
    Embed {
        words: NodeId,
        added: Vec<NodeId>,
    },
    /// A convolution whose windows do not overlap, a class token before its pixels and positions added.
    Patches {
        conv: Conv,
        class: Option<NodeId>,
        positions: Option<NodeId>,
    },
    Linear(Linear),
    /// `only`: the one token whose queries are used; all of them if none.
    Attention {
        heads: usize,
        only: Option<usize>,
    },
    /// A layer norm that follows no linear layer.
    Norm,
    Gelu(Gelu),
    Scale,
    Add,
    Token {
        at: usize,
    },
    Mean,
}

/// A linear layer, or queries, keys and values side by side.
#[derive(Debug, PartialEq)]
pub(super) struct Linear {
    pub(super) layers: Vec<NodeId>,
    /// Heads of the attention whose queries come first.
    pub(super) heads: Option<usize>,
    pub(super) gelu: Option<Gelu>,
    pub(super) scale: Option<NodeId>,
    /// Whether its last input is added.
    pub(super) adds: bool,
}

impl Step {
    /// Whether it computes that value.
    pub(super) fn gives(&self, value: NodeId) -> bool {
        self.output == Some(value) || self.norm == Some(value)
    }
}

/// The steps, and the value of the network's output.
///
/// Errors: a layer that cannot run on tokens.
pub(super) fn fold(network: &Network) -> Result<(Vec<Step>, NodeId), Error> {
    let mut folder = Folder::new(network);
    for id in 0..network.nodes.len() {
        folder.visit(id)?;
    }
    Ok((folder.steps, folder.value[network.output()]))
}

struct Folder<'a> {
    network: &'a Network,
    /// The nodes that read each value; the caller counts as a reader of the output.
    readers: Vec<Vec<NodeId>>,
    /// The node whose value is each node's output: another's, for a layer that changes nothing.
    value: Vec<NodeId>,
    folded: Vec<bool>,
    steps: Vec<Step>,
}

impl<'a> Folder<'a> {
    fn new(network: &'a Network) -> Self {
        let count = network.nodes.len();
        let (mut readers, mut value) = (vec![Vec::new(); count], Vec::new());
        for (id, node) in network.nodes.iter().enumerate() {
            let same = matches!(node.op, Op::Dropout { .. });
            value.push(if same { value[node.inputs[0]] } else { id });
            if !same {
                node.inputs.iter().for_each(|&input| readers[value[input]].push(id));
            }
        }
        // The caller reads the output.
        readers[value[network.output()]].push(count);
        Folder { network, readers, value, folded: vec![false; count], steps: Vec::new() }
    }

    fn op(&self, id: NodeId) -> Option<&'a Op> {
        self.network.nodes.get(id).map(|node| &node.op)
    }

    fn visit(&mut self, id: NodeId) -> Result<(), Error> {
        let node = &self.network.nodes[id];
        if self.folded[id] || matches!(node.op, Op::Input(_) | Op::Dropout { .. }) {
            return Ok(());
        }
        // The network's input is not a value: the first steps read the batch.
        let inputs = node.inputs.iter().map(|&input| self.value[input]).filter(|&input| input != 0);
        let mut inputs: Vec<NodeId> = inputs.collect();
        let mut last = id;
        let kind = match &node.op {
            Op::Conv(conv) if self.is_patches(conv, id) => self.patches(conv, &mut last),
            Op::Embed { .. } => {
                let mut added = Vec::new();
                while let Some(next) =
                    self.take(&mut last, |op| matches!(op, Op::Positions(_) | Op::Segments { .. }))
                {
                    added.push(next);
                }
                Kind::Embed { words: id, added }
            }
            Op::Linear { .. } if self.siblings(id).is_some() => return Ok(()),
            Op::Linear { .. } => {
                self.linear(vec![id], inputs);
                return Ok(());
            }
            &Op::Attention { heads } => {
                inputs = self.projections(id, inputs)?;
                Kind::Attention { heads, only: None }
            }
            Op::LayerNorm { .. } => Kind::Norm,
            &Op::Gelu(form) => Kind::Gelu(form),
            Op::LayerScale { .. } => Kind::Scale,
            Op::Add => Kind::Add,
            &Op::Token { at } => Kind::Token { at },
            Op::MeanTokens => Kind::Mean,
            _ => return Err(self.unknown(id)),
        };
        self.steps.push(Step { node: id, kind, inputs, output: Some(last), norm: None });
        Ok(())
    }

    fn unknown(&self, id: NodeId) -> Error {
        let node = &self.network.nodes[id];
        let layer = if node.name.is_empty() { format!("{:?}", node.op) } else { node.name.clone() };
        Error::NotOfTokens { network: self.network.name, layer }
    }

    /// Whether a convolution reads the image in windows side by side, and its pixels become tokens.
    fn is_patches(&self, conv: &Conv, id: NodeId) -> bool {
        let patches = |&reader: &NodeId| self.op(reader) == Some(&Op::Patches);
        conv.kernel == conv.stride
            && (conv.padding, conv.groups) == (0, 1)
            && self.value[self.network.nodes[id].inputs[0]] == 0
            && self.readers[id].iter().all(patches)
    }

    fn patches(&mut self, conv: &Conv, last: &mut NodeId) -> Kind {
        self.take(last, |op| *op == Op::Patches);
        let class = self.take(last, |op| matches!(op, Op::ClassToken { .. }));
        let positions = self.take(last, |op| matches!(op, Op::Positions(_)));
        Kind::Patches { conv: conv.clone(), class, positions }
    }

    /// The three layers that compute an attention's queries, keys and values, if `id` is one of them.
    fn siblings(&self, id: NodeId) -> Option<&'a [NodeId]> {
        let &[reader] = self.readers[id].as_slice() else { return None };
        let node = self.network.nodes.get(reader)?;
        (matches!(node.op, Op::Attention { .. }) && node.inputs.len() == 3).then_some(&node.inputs)
    }

    /// The input of an attention as one value: three layers that read the same are put side by side.
    fn projections(&mut self, id: NodeId, inputs: Vec<NodeId>) -> Result<Vec<NodeId>, Error> {
        if let [_] = inputs.as_slice() {
            return Ok(inputs);
        }
        let read: Vec<&Vec<NodeId>> = inputs.iter().map(|&input| &self.network.nodes[input].inputs).collect();
        let linear = inputs.iter().all(|&input| matches!(self.op(input), Some(Op::Linear { .. })));
        let theirs = inputs.iter().all(|&input| self.readers[input] == [id]);
        if !linear || !theirs || read.iter().any(|other| *other != read[0]) {
            return Err(self.unknown(id));
        }
        let from = vec![self.value[read[0][0]]];
        self.linear(inputs.clone(), from);
        Ok(vec![*inputs.last().expect("three of them")])
    }

    /// A linear layer with everything that can be folded into it.
    fn linear(&mut self, layers: Vec<NodeId>, mut inputs: Vec<NodeId>) {
        let node = layers[0];
        let mut last = *layers.last().expect("a layer");
        let heads = match self.readers[last].as_slice() {
            &[reader] => match self.op(reader) {
                Some(&Op::Attention { heads }) => Some(heads),
                _ => None,
            },
            _ => None,
        };
        let gelu = self.take(&mut last, |op| matches!(op, Op::Gelu(_)));
        let gelu = gelu.and_then(|id| match self.op(id) {
            Some(&Op::Gelu(form)) => Some(form),
            _ => None,
        });
        let plain = gelu.is_none();
        let scale = self.take(&mut last, |op| plain && matches!(op, Op::LayerScale { .. }));
        let other = self.other_summand(last).filter(|&other| plain && other < node);
        let adds = other.and_then(|other| {
            self.take(&mut last, |op| *op == Op::Add)?;
            inputs.push(other);
            Some(other)
        });
        let normed = |&&id: &&NodeId| matches!(self.op(id), Some(Op::LayerNorm { .. }));
        let norm = self.readers[last].iter().find(normed).copied();
        norm.iter().for_each(|&norm| self.folded[norm] = true);
        let read = norm.is_none() || self.readers[last].len() > 1;
        let linear = Linear { layers, heads, gelu, scale, adds: adds.is_some() };
        let output = read.then_some(last);
        self.steps.push(Step { node, kind: Kind::Linear(linear), inputs, output, norm });
    }

    /// The value that the only reader of `last` adds to it.
    fn other_summand(&self, last: NodeId) -> Option<NodeId> {
        let &[add] = self.readers[last].as_slice() else { return None };
        let node = self.network.nodes.get(add).filter(|node| node.op == Op::Add)?;
        node.inputs.iter().map(|&input| self.value[input]).find(|&input| input != last)
    }

    /// Folds the only reader of `last` if its operation suits; `last` moves to it.
    fn take(&mut self, last: &mut NodeId, suits: impl Fn(&Op) -> bool) -> Option<NodeId> {
        let &[next] = self.readers[*last].as_slice() else { return None };
        self.op(next).filter(|op| suits(op))?;
        self.folded[next] = true;
        *last = next;
        Some(next)
    }
}
