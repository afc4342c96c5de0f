//! The Lambda binary: one event in, the work it asks for done, the next events out.
