//! Parts of a network: up to a point, and between two.

use crate::error::Error;
use crate::graph::{Input, Network, Node, Op, Point};
use crate::shape::Shape;

impl Network {
    /// The network up to a named point: only the nodes that it needs, that point's node last.
    ///
    /// `points` keeps those that are left; `default_cut` stays the whole network's.
    pub fn up_to(&self, point: &str) -> Result<Network, Error> {
        let end = self.point(point)?;
        let mut needed = vec![false; end + 1];
        needed[end] = true;
        for id in (0..=end).rev().filter(|&id| !matches!(self.nodes[id].op, Op::Input(_))) {
            if needed[id] {
                self.nodes[id].inputs.iter().for_each(|&input| needed[input] = true);
            }
        }
        let mut renumbered = vec![None; self.nodes.len()];
        let mut nodes = Vec::new();
        for id in (0..=end).filter(|&id| needed[id]) {
            renumbered[id] = Some(nodes.len());
            let node = &self.nodes[id];
            let inputs =
                node.inputs.iter().map(|&input| renumbered[input].expect("inputs come first")).collect();
            nodes.push(Node { name: node.name.clone(), op: node.op.clone(), inputs });
        }
        let moved = |point: &Point| Some(Point { name: point.name.clone(), node: renumbered[point.node]? });
        Ok(Network { nodes, points: self.points.iter().filter_map(moved).collect(), ..self.clone() })
    }

    /// The part that reads the maps of one point and ends at another, for an image of `height` × `width`; and
    /// these maps.
    ///
    /// Errors: the lower point is not below the other; its output is not a map, or a layer above it reads
    /// past it.
    pub fn between(&self, from: &str, to: &str, image: (usize, usize)) -> Result<(Network, Shape), Error> {
        let part = self.up_to(to)?;
        let (cut, shapes) = (part.point(from)?, part.shapes(image.0, image.1)?);
        let above = &part.nodes[cut + 1..];
        let past = above.iter().flat_map(|node| &node.inputs).any(|&input| input < cut);
        let channels = match shapes[cut] {
            Shape::Map { channels, .. } if !past => channels,
            found => return Err(Error::NoPart { network: self.name, from: from.to_owned(), found }),
        };
        let input =
            Node { name: String::new(), op: Op::Input(Input::Image { channels }), inputs: Vec::new() };
        let moved = |node: &Node| Node {
            inputs: node.inputs.iter().map(|input| input - cut).collect(),
            ..node.clone()
        };
        let nodes = [input].into_iter().chain(above.iter().map(moved)).collect();
        let points = part.points.iter().filter(|point| point.node > cut);
        let points = points.map(|point| Point { name: point.name.clone(), node: point.node - cut }).collect();
        Ok((Network { nodes, points, ..part }, shapes[cut]))
    }
}
