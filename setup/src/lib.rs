//! The baton command: local cloud, start, stop, watch, predict, evaluate, export.
