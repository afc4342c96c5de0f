//! Where a weights file has a network's parameters: under the network's own names, or under those of another
//! publisher.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::catalogue::spelled;
use crate::graph::{Network, Node, Op};

/// Prefixes that files have before all names but the last layer's.
const PREFIXES: [&str; 10] = [
    "",
    "bert.",
    "roberta.",
    "distilbert.",
    "vit.",
    "deit.",
    "dinov2.",
    "0.auto_model.",
    "model.",
    "module.",
];

/// Where a file has each parameter of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spelling(BTreeMap<String, Held>);

/// Where a file has a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is a tensor of its own.
    Whole(String),
    /// It is the first, second or third third of a tensor's rows: queries, keys or values out of a packed
    /// one.
    Third {
        /// The packed tensor.
        name: String,
        /// Which third.
        at: usize,
    },
    /// It is three tensors' rows, one after the other: queries, keys and values.
    Joined([String; 3]),
}

impl Held {
    /// The tensors of the file that it needs.
    pub fn names(&self) -> &[String] {
        match self {
            Held::Whole(name) | Held::Third { name, .. } => std::slice::from_ref(name),
            Held::Joined(names) => names,
        }
    }
}

impl Network {
    /// Where a file with such tensors has this network's parameters. A parameter that it has under no known
    /// name keeps the network's own name.
    pub fn spelling(&self, has: impl Fn(&str) -> bool) -> Spelling {
        let needed: Vec<String> = self.parameters().into_iter().map(|parameter| parameter.name).collect();
        let own = Spelling(needed.iter().map(|name| (name.clone(), Held::Whole(name.clone()))).collect());
        let there = |held: &&Held| held.names().iter().all(|name| has(name));
        let found = |spelling: &Spelling| spelling.0.values().filter(there).count();
        let mut best = (found(&own), own);
        for other in spelled(self.name) {
            let all = correspondence(&spelled(self.name)[0], &other);
            for change in changes() {
                let held = needed
                    .iter()
                    .filter_map(|name| Some((name.clone(), all.get(name)?.changed(&change, &has))));
                let spelling = Spelling(held.collect());
                let count = found(&spelling);
                if count > best.0 {
                    best = (count, spelling);
                }
            }
        }
        best.1
    }
}

impl Spelling {
    /// Where the file has the parameter of that name.
    pub fn held(&self, name: &str) -> Option<&Held> {
        self.0.get(name)
    }

    /// The values of a parameter of that shape, out of the file's tensors.
    ///
    /// Errors: those of `tensor`, which returns the tensor of a name and shape.
    pub fn read<'a, E>(
        &self,
        name: &str,
        shape: &[usize],
        tensor: impl Fn(&str, &[usize]) -> Result<Cow<'a, [f32]>, E>,
    ) -> Result<Cow<'a, [f32]>, E> {
        let rows = |factor: usize, divisor: usize| {
            let mut shape = shape.to_vec();
            shape[0] = shape[0] * factor / divisor;
            shape
        };
        match self.held(name) {
            None => tensor(name, shape),
            Some(Held::Whole(held)) => tensor(held, shape),
            Some(Held::Third { name, at }) => {
                let packed = tensor(name, &rows(3, 1))?;
                let third = packed.len() / 3;
                Ok(Cow::Owned(packed[at * third..(at + 1) * third].to_vec()))
            }
            Some(Held::Joined(names)) => {
                let mut joined = Vec::new();
                for name in names {
                    joined.extend_from_slice(&tensor(name, &rows(1, 3))?);
                }
                Ok(Cow::Owned(joined))
            }
        }
    }
}

/// A change of every name: a prefix, and the old names of norms' parameters.
struct Change {
    prefix: &'static str,
    old: bool,
}

fn changes() -> impl Iterator<Item = Change> {
    PREFIXES.into_iter().flat_map(|prefix| [false, true].map(|old| Change { prefix, old }))
}

impl Held {
    fn changed(&self, change: &Change, has: &impl Fn(&str) -> bool) -> Held {
        let changed = |name: &String| {
            let mut name = name.clone();
            if change.old {
                name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
                name = name.replace("LayerNorm.bias", "LayerNorm.beta");
            }
            // The last layer is beside the encoder, whose names have the prefix.
            let whole = format!("{}{name}", change.prefix);
            if !has(&whole) && has(&name) { name } else { whole }
        };
        match self {
            Held::Whole(name) => Held::Whole(changed(name)),
            Held::Third { name, at } => Held::Third { name: changed(name), at: *at },
            Held::Joined(names) => Held::Joined(names.each_ref().map(changed)),
        }
    }
}

/// Where a file with the names of `other` has the parameters of `own`, the same network.
fn correspondence(own: &Network, other: &Network) -> BTreeMap<String, Held> {
    let mut held = BTreeMap::new();
    for (own, other) in groups(own).into_iter().zip(groups(other)) {
        match <[String; 3]>::try_from(other) {
            Ok(three) if own.len() == 1 => {
                held.insert(own[0].clone(), Held::Joined(three));
            }
            Ok(three) => held.extend(own.into_iter().zip(three.map(Held::Whole))),
            Err(one) if own.len() == 1 => {
                held.insert(own[0].clone(), Held::Whole(one[0].clone()));
            }
            Err(one) => {
                let third = |(at, own)| (own, Held::Third { name: one[0].clone(), at });
                held.extend(own.into_iter().enumerate().map(third));
            }
        }
    }
    held
}

/// The parameters' names, those of an attention's layers together: one, or three.
fn groups(network: &Network) -> Vec<Vec<String>> {
    let heads = |node: &&Node| matches!(node.op, Op::Attention { .. });
    let feeding: Vec<usize> =
        network.nodes.iter().filter(heads).flat_map(|node| node.inputs.clone()).collect();
    let mut groups = Vec::new();
    for (id, node) in network.nodes.iter().enumerate().filter(|(id, _)| !feeding.contains(id)) {
        if !matches!(node.op, Op::Attention { .. }) {
            groups.extend(node.parameters().into_iter().map(|parameter| vec![parameter.name]));
            continue;
        }
        for suffix in ["weight", "bias"] {
            groups.push(
                network.nodes[id].inputs.iter().map(|&input| network.nodes[input].named(suffix)).collect(),
            );
        }
    }
    groups
}
