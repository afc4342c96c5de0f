//! A step of the network as a layer for training.

use networks::Network;

use super::convolution::{Convolution, Names, Places};
use super::joins::{Flatten, Join};
use super::layer::{Layer, Layout, Ports};
use super::linear::Linear;
use super::pooling::{AvgPool, MaxPool};
use crate::Error;
use crate::fuse::{Kind, Step};
use crate::layer;

/// Makes a step trainable.
///
/// Errors: there is no gradient of such a layer; no memory.
pub(super) fn compile(
    step: &Step,
    network: &Network,
    layout: &Layout,
    ports: Ports,
    threads: usize,
) -> Result<Box<dyn Layer>, Error> {
    let unknown = || Error::NoGradient { layer: network.nodes[step.node].name.clone() };
    Ok(match &step.kind {
        Kind::Conv { conv, pool: None, .. } if conv.groups > 1 && conv.groups != conv.inputs => {
            return Err(unknown());
        }
        Kind::Conv { conv, norm, pool: None, .. } => {
            let names = Names { node: step.node, norm: *norm };
            let places = Places::of(conv, names, |node, suffix| layout.range(network, node, suffix));
            Box::new(Convolution::new(conv, places, ports, step.clamp, threads)?)
        }
        &Kind::Linear { inputs, outputs } => {
            let range = |suffix| layout.range(network, step.node, suffix);
            let parameters = (range("weight"), range("bias"));
            Box::new(Linear { inputs, outputs, parameters, ports, clamp: step.clamp })
        }
        Kind::Activation => {
            let forward = Box::new(layer::affine(ports.inputs[0], ports.output, step.clamp));
            Box::new(Join { forward, ports, beside: false })
        }
        Kind::Add => {
            let (inputs, output) = (ports.inputs.clone(), ports.output);
            let forward = Box::new(layer::Sum { inputs, output, clamp: step.clamp });
            Box::new(Join { forward, ports, beside: false })
        }
        Kind::Concat => {
            let (inputs, output) = (ports.inputs.clone(), ports.output);
            Box::new(Join { forward: Box::new(layer::Concat { inputs, output }), ports, beside: true })
        }
        &Kind::MaxPool(window) => Box::new(MaxPool { window, ports }),
        Kind::AvgPool => Box::new(AvgPool { ports }),
        Kind::Flatten => Box::new(Flatten { ports }),
        Kind::Conv { .. } | Kind::Separable(_) | Kind::Norm => return Err(unknown()),
    })
}
