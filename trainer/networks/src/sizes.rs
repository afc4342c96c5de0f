//! The shape of every layer's output, and how much it computes, for an image's size or a sentence's length.

use crate::error::Error;
use crate::graph::{Conv, Input, Network, Node, NodeId, Op, Positions};
use crate::shape::Shape;

/// One input of a network.
#[derive(Clone, Copy)]
enum Given {
    /// An image of these rows and columns.
    Image(usize, usize),
    /// A sentence of this many tokens.
    Tokens(usize),
}

impl Network {
    /// The shape of every node's output for an image of `height` × `width`, in the order of `nodes`.
    ///
    /// Errors: the network reads texts; the image is too small for a layer's window; the description
    /// contradicts itself.
    pub fn shapes(&self, height: usize, width: usize) -> Result<Vec<Shape>, Error> {
        self.shapes_of(Given::Image(height, width))
    }

    /// The same for a sentence of this many tokens.
    ///
    /// Errors: the network reads images; the sentence is empty or too long; the description contradicts
    /// itself.
    pub fn token_shapes(&self, tokens: usize) -> Result<Vec<Shape>, Error> {
        self.shapes_of(Given::Tokens(tokens))
    }

    /// Multiply-adds of the convolutions, linear layers and attention for one image of `height` × `width`,
    /// computed directly.
    pub fn multiply_adds(&self, height: usize, width: usize) -> Result<u64, Error> {
        Ok(self.work(&self.shapes(height, width)?))
    }

    /// The same for a sentence of this many tokens.
    pub fn token_multiply_adds(&self, tokens: usize) -> Result<u64, Error> {
        Ok(self.work(&self.token_shapes(tokens)?))
    }

    fn work(&self, shapes: &[Shape]) -> u64 {
        let of_layer = |(node, shape): (&Node, &Shape)| match (&node.op, shape) {
            (Op::Conv(conv), _) => shape.len() * (conv.inputs / conv.groups) * conv.kernel * conv.kernel,
            (Op::Linear { inputs, .. }, _) => shape.len() * inputs,
            (Op::Attention { .. }, &Shape::Tokens { count, width }) => 2 * count * count * width,
            _ => 0,
        };
        self.nodes.iter().zip(shapes).map(of_layer).map(|count| count as u64).sum()
    }

    fn shapes_of(&self, given: Given) -> Result<Vec<Shape>, Error> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for id in 0..self.nodes.len() {
            let shape = self.shape_of(id, &shapes, given)?;
            shapes.push(shape);
        }
        Ok(shapes)
    }

    fn shape_of(&self, id: NodeId, known: &[Shape], given: Given) -> Result<Shape, Error> {
        let node = &self.nodes[id];
        let wrong = |expected: String| Error::Mismatch {
            network: self.name,
            layer: self.describe(id),
            expected,
            found: node.inputs.iter().filter_map(|&input| known.get(input)).copied().collect(),
        };
        if let Some(&input) = node.inputs.iter().find(|&&input| input >= id) {
            return Err(wrong(format!("inputs that come before it, not node {input}")));
        }
        let inputs: Vec<Shape> = node.inputs.iter().map(|&input| known[input]).collect();
        if let Op::Input(input) = node.op {
            return self.given_shape(input, given);
        }
        let shape = match inputs.as_slice() {
            &[map @ Shape::Map { .. }] => self.windowed(id, map, given)?,
            _ => None,
        };
        let shape = shape.or_else(|| map_shape(&node.op, &inputs)).or_else(|| token_shape(&node.op, &inputs));
        shape.ok_or_else(|| match node.op {
            Op::Concat => wrong("maps of one size".into()),
            ref op => wrong(format!("the inputs of {op:?}")),
        })
    }

    fn given_shape(&self, input: Input, given: Given) -> Result<Shape, Error> {
        let network = self.name;
        match (input, given) {
            (Input::Image { channels }, Given::Image(height, width)) if height > 0 && width > 0 => {
                Ok(Shape::Map { channels, height, width })
            }
            (Input::Tokens { most, .. }, Given::Tokens(count)) if (1..=most).contains(&count) => {
                Ok(Shape::Tokens { count, width: 1 })
            }
            (Input::Tokens { most, .. }, Given::Tokens(found)) => {
                Err(Error::SentenceLength { network, most, found })
            }
            (Input::Image { .. }, Given::Image(height, width)) => {
                Err(Error::EmptyImage { network, height, width })
            }
            (Input::Image { .. }, Given::Tokens(_)) => {
                Err(Error::OtherInput { network, reads: "images", given: "sentences" })
            }
            (Input::Tokens { .. }, Given::Image(..)) => {
                Err(Error::OtherInput { network, reads: "sentences", given: "images" })
            }
        }
    }

    /// The map after a window has moved over another one; none for a layer without a window.
    fn windowed(&self, id: NodeId, map: Shape, given: Given) -> Result<Option<Shape>, Error> {
        let (Shape::Map { channels: read, height, width }, Given::Image(rows, columns)) = (map, given) else {
            return Ok(None);
        };
        let (channels, size, stride, padding, ceil) = match self.nodes[id].op {
            Op::Conv(ref conv) if fits(conv, read) => {
                (conv.outputs, conv.kernel, conv.stride, conv.padding, false)
            }
            Op::MaxPool { size, stride, padding, ceil } => (read, size, stride, padding, ceil),
            _ => return Ok(None),
        };
        let places = |length| slide(length, size, stride, padding, ceil);
        let (Some(high), Some(wide)) = (places(height), places(width)) else {
            return Err(Error::ImageTooSmall {
                network: self.name,
                height: rows,
                width: columns,
                layer: self.describe(id),
                needed: size.saturating_sub(2 * padding + overhang(stride, ceil)).max(1),
                found_height: height,
                found_width: width,
            });
        };
        Ok(Some(Shape::Map { channels, height: high, width: wide }))
    }

    fn describe(&self, id: NodeId) -> String {
        match self.nodes[id].name.as_str() {
            "" => format!("{id} ({:?})", self.nodes[id].op),
            name => format!("{id} (`{name}`)"),
        }
    }
}

fn fits(conv: &Conv, channels: usize) -> bool {
    channels == conv.inputs
        && channels.is_multiple_of(conv.groups)
        && conv.outputs.is_multiple_of(conv.groups)
}

/// The output shape of layers of maps and vectors; none for another layer, or for inputs that it cannot read.
fn map_shape(op: &Op, inputs: &[Shape]) -> Option<Shape> {
    match (op, inputs) {
        (&Op::BatchNorm { channels: expected }, &[map @ Shape::Map { channels, .. }]) => {
            (channels == expected).then_some(map)
        }
        (Op::Relu | Op::Relu6 | Op::Dropout { .. }, &[shape]) => Some(shape),
        (&Op::AdaptiveAvgPool { height, width }, &[Shape::Map { channels, .. }]) => {
            Some(Shape::Map { channels, height, width })
        }
        (Op::Add, &[a, b]) => (a == b).then_some(a),
        (Op::Concat, maps) => concatenated(maps),
        (Op::Flatten, &[shape @ (Shape::Map { .. } | Shape::Vector { .. })]) => {
            Some(Shape::Vector { n: shape.len() })
        }
        (&Op::Linear { inputs, outputs }, &[Shape::Vector { n }]) => {
            (n == inputs).then_some(Shape::Vector { n: outputs })
        }
        _ => None,
    }
}

/// The same for layers of tokens.
fn token_shape(op: &Op, inputs: &[Shape]) -> Option<Shape> {
    if let (Op::Patches, &[Shape::Map { channels, height, width }]) = (op, inputs) {
        return Some(Shape::Tokens { count: height * width, width: channels });
    }
    let Some(&Shape::Tokens { count, width: read }) = inputs.first() else { return None };
    let same = inputs.iter().all(|input| *input == inputs[0]);
    let tokens = |count, width| Some(Shape::Tokens { count, width });
    match (op, inputs.len()) {
        (&Op::Embed { width, .. }, 1) if read == 1 => tokens(count, width),
        (Op::Positions(Positions::Text { rows, width, first }), 1) if count + first <= *rows => {
            (read == *width).then_some(inputs[0])
        }
        (Op::Positions(Positions::Grid { width, .. }), 1) if count > 1 => {
            (read == *width).then_some(inputs[0])
        }
        (&(Op::Segments { width, .. } | Op::LayerNorm { width, .. } | Op::LayerScale { width }), 1) => {
            (read == width).then_some(inputs[0])
        }
        (&Op::ClassToken { width }, 1) if read == width => tokens(count + 1, width),
        (&Op::Linear { inputs, outputs }, 1) if read == inputs => tokens(count, outputs),
        (Op::Gelu(_), 1) => Some(inputs[0]),
        (&Op::Attention { heads }, 3) if same && read.is_multiple_of(heads) => Some(inputs[0]),
        (&Op::Attention { heads }, 1) if read.is_multiple_of(3 * heads) => tokens(count, read / 3),
        (&Op::Token { at }, 1) if at < count => Some(Shape::Vector { n: read }),
        (Op::MeanTokens, 1) => Some(Shape::Vector { n: read }),
        _ => None,
    }
}
/// The number of places of a window, as PyTorch counts them; none when it does not fit once.
fn slide(length: usize, size: usize, stride: usize, padding: usize, ceil: bool) -> Option<usize> {
    let room = (length + 2 * padding + overhang(stride, ceil)).checked_sub(size)?;
    let places = room / stride + 1;
    // A window that would begin in the padding on the right does not count.
    let last_begins_outside = ceil && (places - 1) * stride >= length + padding;
    Some(places - usize::from(last_begins_outside))
}

/// How far a window may reach over the end.
fn overhang(stride: usize, ceil: bool) -> usize {
    if ceil { stride - 1 } else { 0 }
}

fn concatenated(maps: &[Shape]) -> Option<Shape> {
    let Some(&Shape::Map { height, width, .. }) = maps.first() else { return None };
    let mut total = 0;
    for map in maps {
        match *map {
            Shape::Map { channels, height: h, width: w } if (h, w) == (height, width) => total += channels,
            _ => return None,
        }
    }
    Some(Shape::Map { channels: total, height, width })
}
