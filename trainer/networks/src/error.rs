//! Errors in the use of a network's description.

use crate::shape::Shape;

/// A network or a point that does not exist, or an image that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No network of that name.
    #[error("unknown network `{name}`; known are {known}")]
    UnknownNetwork {
        /// The name in the request.
        name: String,
        /// Every known name.
        known: String,
    },
    /// No point of that name in the network.
    #[error("network `{network}` has no point `{point}` to cut at; it has {known}")]
    UnknownPoint {
        /// The network.
        network: &'static str,
        /// The point in the request.
        point: String,
        /// Every point of the network.
        known: String,
    },
    /// The image is used up before the network's end.
    #[error(
        "an image of {height} by {width} is too small for network `{network}`: layer {layer} needs at least \
         {needed} rows and columns and is left with {found_height} by {found_width}; use a larger image size \
         or an earlier cut"
    )]
    ImageTooSmall {
        /// The network.
        network: &'static str,
        /// The image's rows.
        height: usize,
        /// The image's columns.
        width: usize,
        /// The node that cannot go on, by number and name.
        layer: String,
        /// The least rows and columns that its window needs.
        needed: usize,
        /// The rows that reach it.
        found_height: usize,
        /// The columns that reach it.
        found_width: usize,
    },
    /// An image without pixels.
    #[error("network `{network}` cannot read an image of {height} by {width}; it needs rows and columns")]
    EmptyImage {
        /// The network.
        network: &'static str,
        /// The image's rows.
        height: usize,
        /// The image's columns.
        width: usize,
    },
    /// A sentence of no tokens, or of too many.
    #[error("network `{network}` reads sentences of 1 to {most} tokens, found one of {found}; truncate it")]
    SentenceLength {
        /// The network.
        network: &'static str,
        /// The most tokens.
        most: usize,
        /// Those found.
        found: usize,
    },
    /// Images for a network of texts, or sentences for one of images.
    #[error("network `{network}` reads {reads}, found {given}; take a network that reads {given}")]
    OtherInput {
        /// The network.
        network: &'static str,
        /// The kind of its input.
        reads: &'static str,
        /// The kind of the input that it was given.
        given: &'static str,
    },
    /// A layer does not fit its inputs: a mistake in the network's description.
    #[error(
        "network `{network}`: layer {layer} expects {expected}, found {found:?}; the description is wrong"
    )]
    Mismatch {
        /// The network.
        network: &'static str,
        /// The node, by number and name.
        layer: String,
        /// The inputs that the operation needs.
        expected: String,
        /// The shapes of its inputs.
        found: Vec<Shape>,
    },
    /// No part of the network reads the maps of this point alone.
    #[error("no part of network `{network}` begins with the maps of `{from}`, which gives {found:?}")]
    NoPart {
        /// The network.
        network: &'static str,
        /// The point.
        from: String,
        /// The shape of its output.
        found: Shape,
    },
    /// The network has no last layer that a head could replace.
    #[error(
        "network `{network}` ends before its last layer, so there is none to replace; take the whole network"
    )]
    NoLastLayer {
        /// The network.
        network: &'static str,
    },
}
