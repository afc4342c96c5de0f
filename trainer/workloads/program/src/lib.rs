//! The workload `program`: an executable of the user, run over many independent units of a data set.

pub mod executable;
