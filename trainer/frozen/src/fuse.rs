//! The graph's layers folded into steps: convolution with batch norm, residual, activation and pooling.
//!
//! A value is named by the node that computes it. A step takes the place of its first node, and the nodes
//! folded into it only read earlier values, so the order of the steps is an order of execution.

use std::ops::Range;

use networks::{Conv, Network, NodeId, Op};

use crate::choice;
use crate::size::Size;

/// Bounds of an activation: `min(max(x, low), high)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Clamp {
    pub(crate) low: f32,
    pub(crate) high: f32,
}

impl Clamp {
    pub(crate) const NONE: Clamp = Clamp { low: f32::NEG_INFINITY, high: f32::INFINITY };

    fn of(op: &Op) -> Option<Clamp> {
        match op {
            Op::Relu => Some(Clamp { low: 0.0, high: f32::INFINITY }),
            Op::Relu6 => Some(Clamp { low: 0.0, high: 6.0 }),
            _ => None,
        }
    }
}

/// The activation of one number. Comparisons, not `clamp`: NaN stays NaN.
pub(crate) fn clamped(x: f32, clamp: Clamp) -> f32 {
    if x < clamp.low {
        clamp.low
    } else if x > clamp.high {
        clamp.high
    } else {
        x
    }
}

/// The windows of a max pooling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pool {
    pub(crate) size: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Pool {
    fn of(op: &Op) -> Option<Pool> {
        match *op {
            Op::MaxPool { size, stride, padding, .. } => Some(Pool { size, stride, padding }),
            _ => None,
        }
    }

    /// The window of output `at` inside a map of `length`.
    pub(crate) fn clipped(&self, at: usize, length: usize) -> Range<usize> {
        let from = (at * self.stride).saturating_sub(self.padding);
        from..(at * self.stride + self.size - self.padding).min(length)
    }
}

/// One step of the pass.
#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    /// The node whose parameters it has.
    pub(crate) node: NodeId,
    pub(crate) kind: Kind,
    /// The values that it reads; a residual comes last.
    pub(crate) inputs: Vec<NodeId>,
    /// The value that it computes.
    pub(crate) output: NodeId,
    pub(crate) clamp: Clamp,
}

/// The operation of a step before its clamp.
#[derive(Debug, PartialEq)]
pub(crate) enum Kind {
    /// `pool`: a maximum over windows follows the clamp.
    Conv {
        conv: Conv,
        norm: Option<NodeId>,
        residual: bool,
        pool: Option<Pool>,
    },
    /// Steps that go row by row together: a 1×1 convolution (or none), a depthwise one, a 1×1 convolution.
    Separable(Vec<Step>),
    Linear {
        inputs: usize,
        outputs: usize,
    },
    /// A batch norm that follows no convolution.
    Norm,
    /// An activation that cannot be folded into the layer before it.
    Activation,
    MaxPool(Pool),
    AvgPool,
    Add,
    Concat,
    Flatten,
}

/// The steps, and for each node the value that has its output (another node's, for a layer that changes
/// nothing).
pub(crate) fn fuse(network: &Network, sizes: &[Size]) -> (Vec<Step>, Vec<NodeId>) {
    let (steps, values) = fold(network, sizes, true);
    let output = values[network.output()];
    (separable(steps, output), values)
}

/// The same for training: poolings are joined to convolutions only if `pools`.
pub(crate) fn fold(network: &Network, sizes: &[Size], pools: bool) -> (Vec<Step>, Vec<NodeId>) {
    let mut fuser = Fuser::new(network, sizes, pools);
    for id in 0..network.nodes.len() {
        fuser.visit(id);
    }
    (fuser.steps, fuser.value)
}

/// Joins the steps around each depthwise convolution, so that the values between them never leave the cache.
fn separable(mut steps: Vec<Step>, output: NodeId) -> Vec<Step> {
    let mut at = 0;
    while at < steps.len() {
        let readers =
            |value| steps.iter().flat_map(|step| &step.inputs).filter(|&&input| input == value).count();
        // Step `at` only feeds the next one.
        let feeds = |at: usize| {
            let next = steps.get(at + 1).and_then(|next| next.inputs.first());
            next == Some(&steps[at].output) && readers(steps[at].output) == 1 && steps[at].output != output
        };
        let is_depthwise = |at: usize| steps.get(at).is_some_and(Step::is_depthwise);
        let is_last = |at: usize| steps.get(at).is_some_and(|step| step.is_pointwise(true));
        let joins = is_depthwise(at) && is_last(at + 1) && feeds(at);
        let expands = joins && at > 0 && steps[at - 1].is_pointwise(false) && feeds(at - 1);
        // The caller's images, value 0, have no room for whole lanes:
        // their lines cannot be copied as they are.
        if joins && (expands || steps[at].inputs[0] != 0) {
            at -= usize::from(expands);
            let parts: Vec<Step> = steps.drain(at..at + 2 + usize::from(expands)).collect();
            let last = &parts[parts.len() - 1];
            let inputs = parts[0].inputs.iter().chain(&last.inputs[1..]).copied().collect();
            let (node, output, clamp) = (parts[0].node, last.output, last.clamp);
            steps.insert(at, Step { node, kind: Kind::Separable(parts), inputs, output, clamp });
        }
        at += 1;
    }
    steps
}

impl Step {
    /// The nodes whose parameters it has, batch norms aside.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        match &self.kind {
            Kind::Separable(parts) => parts.iter().map(|part| part.node).collect(),
            _ => vec![self.node],
        }
    }

    /// A 3×3 depthwise convolution with padding 1.
    fn is_depthwise(&self) -> bool {
        match &self.kind {
            Kind::Conv { conv, residual: false, pool: None, .. } => {
                conv.is_depthwise() && conv.kernel == 3 && conv.padding == 1
            }
            _ => false,
        }
    }

    fn is_pointwise(&self, residual_allowed: bool) -> bool {
        match &self.kind {
            Kind::Conv { conv, residual, .. } => {
                (conv.kernel, conv.stride, conv.padding, conv.groups) == (1, 1, 0, 1)
                    && (residual_allowed || !residual)
            }
            _ => false,
        }
    }
}

/// Whether every channel has its own window.
pub(crate) trait IsDepthwise {
    fn is_depthwise(&self) -> bool;
}

impl IsDepthwise for Conv {
    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.inputs && self.inputs == self.outputs
    }
}

struct Fuser<'a> {
    network: &'a Network,
    sizes: &'a [Size],
    pools: bool,
    /// The nodes that read each node.
    readers: Vec<Vec<NodeId>>,
    value: Vec<NodeId>,
    folded: Vec<bool>,
    steps: Vec<Step>,
}

impl<'a> Fuser<'a> {
    fn new(network: &'a Network, sizes: &'a [Size], pools: bool) -> Self {
        let count = network.nodes.len();
        let mut readers = vec![Vec::new(); count];
        for (id, node) in network.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&input| readers[input].push(id));
        }
        Fuser {
            network,
            sizes,
            pools,
            readers,
            value: (0..count).collect(),
            folded: vec![false; count],
            steps: vec![],
        }
    }

    fn visit(&mut self, id: NodeId) {
        let node = &self.network.nodes[id];
        if self.folded[id] || matches!(node.op, Op::Input(_)) {
            return;
        }
        let input = node.inputs[0];
        let same = match node.op {
            Op::Dropout { .. } => true,
            Op::AdaptiveAvgPool { .. } => self.sizes[id] == self.sizes[input],
            // The caller's images have no room for whole lanes, so a vector of a single one becomes a value.
            Op::Flatten => self.sizes[input].pixels() == 1 && self.value[input] != 0,
            _ => false,
        };
        if same {
            self.value[id] = self.value[input];
            return;
        }
        let mut inputs: Vec<NodeId> = node.inputs.iter().map(|&input| self.value[input]).collect();
        let mut last = id;
        let (kind, clamp) = match &node.op {
            Op::Conv(conv) => self.convolution(conv, id, &mut last, &mut inputs),
            &Op::Linear { inputs, outputs } => (Kind::Linear { inputs, outputs }, self.clamp(&mut last)),
            Op::BatchNorm { .. } => (Kind::Norm, self.clamp(&mut last)),
            Op::Add => (Kind::Add, self.clamp(&mut last)),
            op @ (Op::Relu | Op::Relu6) => (Kind::Activation, Clamp::of(op).unwrap_or(Clamp::NONE)),
            &Op::MaxPool { size, stride, padding, .. } => {
                (Kind::MaxPool(Pool { size, stride, padding }), Clamp::NONE)
            }
            Op::AdaptiveAvgPool { .. } => (Kind::AvgPool, Clamp::NONE),
            Op::Concat => (Kind::Concat, Clamp::NONE),
            Op::Flatten => (Kind::Flatten, Clamp::NONE),
            Op::Input(_) | Op::Dropout { .. } => unreachable!("handled above"),
            op => unreachable!("{op:?} is a layer of tokens, and the network was asked for them"),
        };
        self.steps.push(Step { node: id, kind, inputs, output: last, clamp });
    }

    /// A convolution with everything that can be folded into it; `last` moves to the last folded node.
    fn convolution(
        &mut self,
        conv: &Conv,
        id: NodeId,
        last: &mut NodeId,
        inputs: &mut Vec<NodeId>,
    ) -> (Kind, Clamp) {
        let norm = self.fold(last, |op| matches!(op, Op::BatchNorm { .. }));
        let before = *last;
        let mut residual = false;
        if let Some(add) = self.only_reader(before)
            && self.network.nodes[add].op == Op::Add
            && let Some(&other) = self.network.nodes[add].inputs.iter().find(|&&input| input != before)
            && other < id
        {
            self.fold(last, |op| *op == Op::Add);
            inputs.push(self.value[other]);
            residual = true;
        }
        let clamp = self.clamp(last);
        let pool = self.pooling(conv, self.sizes[id], *last).filter(|_| self.pools && !residual);
        if pool.is_some() {
            self.fold(last, |_| true);
        }
        (Kind::Conv { conv: conv.clone(), norm, residual, pool }, clamp)
    }

    /// The windows of the max pooling that is the only reader of the convolution `last`, if they can be
    /// joined: a Winograd convolution has whole 2×2 windows in its tiles, a direct one has rows.
    fn pooling(&self, conv: &Conv, convolved: Size, last: NodeId) -> Option<Pool> {
        let next = self.only_reader(last)?;
        let pool = Pool::of(&self.network.nodes[next].op)?;
        let halves = pool == Pool { size: 2, stride: 2, padding: 0 }
            && self.sizes[next].height == convolved.height / 2
            && self.sizes[next].width == convolved.width / 2;
        let has_rows = !conv.is_depthwise() && conv.kernel > 1;
        (if choice::winograd_pays(conv, convolved) { halves } else { has_rows }).then_some(pool)
    }

    fn clamp(&mut self, last: &mut NodeId) -> Clamp {
        let folded = self.fold(last, |op| Clamp::of(op).is_some());
        folded.and_then(|id| Clamp::of(&self.network.nodes[id].op)).unwrap_or(Clamp::NONE)
    }

    /// Folds the only reader of `last` if its operation suits; `last` moves to it.
    fn fold(&mut self, last: &mut NodeId, suits: impl Fn(&Op) -> bool) -> Option<NodeId> {
        let next = self.only_reader(*last).filter(|&next| suits(&self.network.nodes[next].op))?;
        self.folded[next] = true;
        *last = next;
        Some(next)
    }

    fn only_reader(&self, id: NodeId) -> Option<NodeId> {
        match self.readers[id].as_slice() {
            &[reader] => Some(reader),
            _ => None,
        }
    }
}
