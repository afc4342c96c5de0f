//! Data sets: how each kind lies in its folder, and how it is read.

pub mod images;
