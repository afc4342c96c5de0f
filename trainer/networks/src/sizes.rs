//! The shape of every layer's output, and how much it computes, for a given image size.

use crate::error::Error;
use crate::graph::{Network, Node, NodeId, Op};
use crate::shape::Shape;

impl Network {
    /// The shape of every node's output for an image of `height` × `width`, in the order of `nodes`.
    ///
    /// Errors: the image is too small for a layer's window; the description contradicts itself.
    pub fn shapes(&self, height: usize, width: usize) -> Result<Vec<Shape>, Error> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for id in 0..self.nodes.len() {
            let shape = self.shape_of(id, &shapes, (height, width))?;
            shapes.push(shape);
        }
        Ok(shapes)
    }

    /// Multiply-adds of the convolutions and linear layers for one image of `height` × `width`, computed directly.
    pub fn multiply_adds(&self, height: usize, width: usize) -> Result<u64, Error> {
        let shapes = self.shapes(height, width)?;
        let of_layer = |(node, shape): (&Node, &Shape)| match &node.op {
            Op::Conv(conv) => shape.len() * (conv.inputs / conv.groups) * conv.kernel * conv.kernel,
            Op::Linear { inputs, outputs } => inputs * outputs,
            _ => 0,
        };
        Ok(self.nodes.iter().zip(&shapes).map(of_layer).map(|count| count as u64).sum())
    }

    fn shape_of(&self, id: NodeId, known: &[Shape], image: (usize, usize)) -> Result<Shape, Error> {
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
        // The sizes after a window has moved over the map.
        let windowed = |channels, (height, width), size, stride, padding, ceil| match (
            slide(height, size, stride, padding, ceil),
            slide(width, size, stride, padding, ceil),
        ) {
            (Some(height), Some(width)) => Ok(Shape::Map { channels, height, width }),
            _ => Err(Error::ImageTooSmall {
                network: self.name,
                height: image.0,
                width: image.1,
                layer: self.describe(id),
                needed: size.saturating_sub(2 * padding + overhang(stride, ceil)).max(1),
                found_height: height,
                found_width: width,
            }),
        };
        match (&node.op, inputs.as_slice()) {
            (&Op::Input { channels }, []) if image.0 > 0 && image.1 > 0 => {
                Ok(Shape::Map { channels, height: image.0, width: image.1 })
            }
            (Op::Conv(conv), &[Shape::Map { channels, height, width }])
                if channels == conv.inputs
                    && channels % conv.groups == 0
                    && conv.outputs % conv.groups == 0 =>
            {
                windowed(conv.outputs, (height, width), conv.kernel, conv.stride, conv.padding, false)
            }
            (&Op::MaxPool { size, stride, padding, ceil }, &[Shape::Map { channels, height, width }]) => {
                windowed(channels, (height, width), size, stride, padding, ceil)
            }
            (Op::BatchNorm { channels: expected }, &[map @ Shape::Map { channels, .. }])
                if channels == *expected =>
            {
                Ok(map)
            }
            (Op::Relu | Op::Relu6 | Op::Dropout { .. }, &[shape]) => Ok(shape),
            (&Op::AdaptiveAvgPool { height, width }, &[Shape::Map { channels, .. }]) => {
                Ok(Shape::Map { channels, height, width })
            }
            (Op::Add, &[a, b]) if a == b => Ok(a),
            (Op::Concat, maps) => concatenated(maps).ok_or_else(|| wrong("maps of one size".into())),
            (Op::Flatten, &[shape]) => Ok(Shape::Vector { n: shape.len() }),
            (&Op::Linear { inputs, outputs }, &[Shape::Vector { n }]) if n == inputs => {
                Ok(Shape::Vector { n: outputs })
            }
            (op, _) => Err(wrong(format!("the inputs of {op:?}"))),
        }
    }

    fn describe(&self, id: NodeId) -> String {
        match self.nodes[id].name.as_str() {
            "" => format!("{id} ({:?})", self.nodes[id].op),
            name => format!("{id} (`{name}`)"),
        }
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
