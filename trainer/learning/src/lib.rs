//! Weights, frozen features, heads, training, reduction and scoring. The only place that names burn.
