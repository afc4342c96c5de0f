//! The frozen pass: a network up to its cut, compiled for this machine's CPU.
