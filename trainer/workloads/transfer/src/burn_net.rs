//! A network, or its part below a cut, computed by burn: in evaluation mode, on any of burn's devices.
//!
//! It is the reference for the compiled frozen pass and, on an autodiff device, for gradients; `pretrain`
//! trains with it.

use crate::weights::Parameters;
use crate::{Error, Result};
use burn::tensor::module::{adaptive_avg_pool2d, batch_norm, conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor, TensorData, activation};
use networks::{Conv, Network, NodeId, Op};
use std::collections::BTreeMap;

/// Batch norm's epsilon, in torchvision as in the papers.
const EPSILON: f64 = 1e-5;

/// A network with its parameters on a device.
#[derive(Clone, Debug)]
pub struct BurnNet {
    network: Network,
    device: Device,
    parameters: BTreeMap<String, Parameter>,
}

/// A parameter in torchvision's layout.
#[derive(Clone, Debug)]
pub enum Parameter {
    /// A convolution's weight: `[outputs, inputs / groups, kernel, kernel]`.
    Kernel(Tensor<4>),
    /// A linear layer's weight: `[outputs, inputs]`.
    Matrix(Tensor<2>),
    /// A bias, or one of batch norm's four.
    Row(Tensor<1>),
}

/// The output of a node for a batch.
#[derive(Clone)]
enum Value {
    /// `[batch, channels, height, width]`
    Map(Tensor<4>),
    /// `[batch, n]`
    Vector(Tensor<2>),
}

impl BurnNet {
    /// Puts a network's parameters on a device, one after the other.
    ///
    /// # Errors
    /// Those of `parameters`, wrapped with the name of the one that failed.
    pub fn new(network: &Network, parameters: &dyn Parameters, device: &Device) -> Result<BurnNet> {
        let mut tensors = BTreeMap::new();
        for needed in network.parameters() {
            let values = parameters.get(&needed.name, &needed.shape).map_err(|source| Error::Parameter {
                name: needed.name.clone(),
                network: network.name,
                source,
            })?;
            let tensor = Parameter::new(values.into_owned(), &needed.shape, device)?;
            tensors.insert(needed.name, tensor);
        }
        Ok(BurnNet { network: network.clone(), device: device.clone(), parameters: tensors })
    }

    /// The parameters by torchvision's names.
    pub fn parameters(&self) -> &BTreeMap<String, Parameter> {
        &self.parameters
    }

    /// The parameters by torchvision's names, for an optimizer to replace: names and shapes must stay.
    pub fn parameters_mut(&mut self) -> &mut BTreeMap<String, Parameter> {
        &mut self.parameters
    }

    /// The output for a batch of normalised images, a row for each.
    ///
    /// Shapes: `images` `[batch, 3, height, width]`; the result `[batch, features]`. The features of a map
    /// are the mean of each channel if `pool`, or else all its values in the order channels, height, width.
    ///
    /// # Errors
    /// [`Error::Network`] if the images are too small.
    pub fn forward(&self, images: Tensor<4>, pool: bool) -> Result<Tensor<2>> {
        let [_, _, height, width] = images.dims();
        self.network.shapes(height, width)?;
        Ok(match self.run(images) {
            Value::Vector(rows) => rows,
            Value::Map(map) if pool => map.mean_dims(&[2, 3]).flatten(1, 3), // [batch, channels]
            Value::Map(map) => map.flatten(1, 3), // [batch, channels * height * width]
        })
    }

    /// The features of images in memory; see [`BurnNet::forward`].
    ///
    /// Shapes: `images` `[n, height, width, 3]`, normalised; the result `[n, features]`.
    ///
    /// # Errors
    /// Those of [`BurnNet::forward`]; [`Error::Argument`] if the images are not of that size.
    pub fn features(
        &self,
        images: &[f32],
        n: usize,
        (height, width): (usize, usize),
        pool: bool,
    ) -> Result<Vec<f32>> {
        if images.len() != n * height * width * 3 {
            let expected = format!("{n} of {height} by {width} pixels of 3 channels");
            return Err(Error::argument("images", expected, format!("{} values", images.len())));
        }
        let data = TensorData::new(images.to_vec(), [n, height, width, 3]);
        let images = Tensor::<4>::from_data(data, (&self.device, DType::F32)).permute([0, 3, 1, 2]);
        let rows = self.forward(images, pool)?;
        rows.try_into_vec_as::<f32>()
            .map_err(|error| Error::Burn { action: "read the features", reason: error.to_string() })
    }

    /// Computes node after node, and drops values that are not read any more.
    fn run(&self, images: Tensor<4>) -> Value {
        let nodes = &self.network.nodes;
        let mut readers = vec![0; nodes.len()];
        nodes.iter().flat_map(|node| &node.inputs).for_each(|&input| readers[input] += 1);
        let mut values: Vec<Option<Value>> = vec![None; nodes.len()];
        values[0] = Some(Value::Map(images));
        for id in 1..nodes.len() {
            let inputs = nodes[id].inputs.iter().map(|&input| {
                readers[input] -= 1;
                let value = if readers[input] == 0 { values[input].take() } else { values[input].clone() };
                value.expect("every node comes after its inputs")
            });
            let inputs = inputs.collect();
            values[id] = Some(self.node(id, inputs));
        }
        values.pop().flatten().expect("the last node is computed last")
    }

    fn node(&self, id: NodeId, mut inputs: Vec<Value>) -> Value {
        let node = &self.network.nodes[id];
        match (&node.op, inputs.len()) {
            (Op::Add, 2) => Value::Map(inputs.remove(0).map() + inputs.remove(0).map()),
            (Op::Concat, _) => Value::Map(Tensor::cat(inputs.into_iter().map(Value::map).collect(), 1)),
            (op, 1) => self.layer(&node.name, op, inputs.remove(0)),
            (op, n) => unreachable!("`shapes` has checked that {op:?} does not read {n} inputs"),
        }
    }

    fn layer(&self, name: &str, op: &Op, input: Value) -> Value {
        match (op, input) {
            (Op::Conv(conv), Value::Map(x)) => Value::Map(self.convolution(name, conv, x)),
            (Op::BatchNorm { .. }, Value::Map(x)) => {
                let [weight, bias, mean, variance] =
                    ["weight", "bias", "running_mean", "running_var"].map(|suffix| self.row(name, suffix));
                Value::Map(batch_norm(x, weight, bias, mean, variance, EPSILON))
            }
            (Op::Relu, Value::Map(x)) => Value::Map(activation::relu(x)),
            (Op::Relu, Value::Vector(x)) => Value::Vector(activation::relu(x)),
            (Op::Relu6, Value::Map(x)) => Value::Map(x.clamp(0.0, 6.0)),
            (Op::Relu6, Value::Vector(x)) => Value::Vector(x.clamp(0.0, 6.0)),
            (&Op::MaxPool { size, stride, padding, ceil }, Value::Map(x)) => {
                let options =
                    MaxPoolOptions::new([size; 2]).with_stride([stride; 2]).with_padding([padding; 2]);
                Value::Map(max_pool2d(x, options.with_ceil_mode(ceil)))
            }
            (&Op::AdaptiveAvgPool { height, width }, Value::Map(x)) => {
                Value::Map(adaptive_avg_pool2d(x, [height, width]))
            }
            // [batch, channels * height * width].
            (Op::Flatten, Value::Map(x)) => Value::Vector(x.flatten(1, 3)),
            (Op::Linear { .. }, Value::Vector(x)) => {
                let Parameter::Matrix(weight) = self.parameter(name, "weight") else {
                    unreachable!("a linear layer's weight is a matrix")
                };
                let product = x.matmul(weight.clone().transpose()); // [batch, outputs]
                Value::Vector(product + self.row(name, "bias").unsqueeze())
            }
            (Op::Dropout { .. }, x) => x,
            (op, _) => unreachable!("`shapes` has checked what {op:?} reads"),
        }
    }

    fn convolution(&self, name: &str, conv: &Conv, x: Tensor<4>) -> Tensor<4> {
        let Parameter::Kernel(weight) = self.parameter(name, "weight") else {
            unreachable!("a convolution's weight has four dimensions")
        };
        let bias = conv.bias.then(|| self.row(name, "bias"));
        conv2d(
            x,
            weight.clone(),
            bias,
            ConvOptions::new([conv.stride; 2], [conv.padding; 2], [1, 1], conv.groups),
        )
    }

    fn row(&self, name: &str, suffix: &str) -> Tensor<1> {
        match self.parameter(name, suffix) {
            Parameter::Row(row) => row.clone(),
            _ => unreachable!("{name}.{suffix} has one dimension"),
        }
    }

    fn parameter(&self, name: &str, suffix: &str) -> &Parameter {
        &self.parameters[&format!("{name}.{suffix}")]
    }
}

impl Parameter {
    /// Puts values on a device.
    ///
    /// # Errors
    /// [`Error::Argument`] if no layer has parameters of this many dimensions.
    pub fn new(values: Vec<f32>, shape: &[usize], device: &Device) -> Result<Parameter> {
        let options = (device, DType::F32);
        let data = TensorData::new(values, shape);
        match shape.len() {
            1 => Ok(Parameter::Row(Tensor::from_data(data, options))),
            2 => Ok(Parameter::Matrix(Tensor::from_data(data, options))),
            4 => Ok(Parameter::Kernel(Tensor::from_data(data, options))),
            _ => Err(Error::argument("parameter", "1, 2 or 4 dimensions", format!("{shape:?}"))),
        }
    }

    /// The same parameter; `backward` keeps its gradient.
    pub fn require_grad(self) -> Parameter {
        match self {
            Parameter::Kernel(tensor) => Parameter::Kernel(tensor.require_grad()),
            Parameter::Matrix(tensor) => Parameter::Matrix(tensor.require_grad()),
            Parameter::Row(tensor) => Parameter::Row(tensor.require_grad()),
        }
    }

    /// The values, in torchvision's layout.
    ///
    /// # Errors
    /// [`Error::Burn`].
    pub fn values(&self) -> Result<Vec<f32>> {
        let values = match self.clone() {
            Parameter::Kernel(tensor) => tensor.try_into_vec_as::<f32>(),
            Parameter::Matrix(tensor) => tensor.try_into_vec_as::<f32>(),
            Parameter::Row(tensor) => tensor.try_into_vec_as::<f32>(),
        };
        values.map_err(|error| Error::Burn { action: "read a parameter", reason: error.to_string() })
    }

    /// Removes this parameter's gradient from those of a backward pass, as values; none if it has none.
    ///
    /// # Errors
    /// [`Error::Burn`].
    pub fn take_gradient(&self, gradients: &mut burn::tensor::Gradients) -> Result<Option<Vec<f32>>> {
        let gradient = match self {
            Parameter::Kernel(tensor) => tensor.grad_remove(gradients).map(Parameter::Kernel),
            Parameter::Matrix(tensor) => tensor.grad_remove(gradients).map(Parameter::Matrix),
            Parameter::Row(tensor) => tensor.grad_remove(gradients).map(Parameter::Row),
        };
        gradient.map(|gradient| gradient.values()).transpose()
    }
}

impl Value {
    fn map(self) -> Tensor<4> {
        match self {
            Value::Map(map) => map,
            Value::Vector(_) => unreachable!("`shapes` has checked that it is a map"),
        }
    }
}

#[cfg(test)]
mod tests;
