//! The data-prep command.
fn main() {}
