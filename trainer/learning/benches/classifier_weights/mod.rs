//! Pretrained weights that are noise, installed, for the benchmarks of training a network's fully connected layers.

use learning::random::{Purpose, Stream};
use learning::weights::{Normalisation, TensorSpec, install, write_safetensors};
use std::borrow::Cow;
use std::fs::File;
use storage::Root;

/// Installs them; gives the features that the lowest of them reads.
pub(crate) fn install_noise(root: &Root, name: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let network = networks::network(name)?;
    let hidden = network.hidden_above(network.below_classifier()?)?.unwrap_or_default();
    let features = hidden.first().ok_or("the network has no fully connected layers below its last")?.inputs;
    let below_last = network.up_to(network.default_cut)?.parameters();
    let tensors: Vec<TensorSpec> = below_last.iter().map(|p| TensorSpec::f32(&p.name, &p.shape)).collect();
    let file = tempfile::NamedTempFile::with_suffix(".safetensors")?;
    let mut stream = Stream::new(1, Purpose::Initial, 0, 0);
    write_safetensors(&mut File::create(file.path())?, &tensors, |tensor| {
        Ok(Cow::Owned((0..tensor.shape.iter().product()).map(|_| stream.symmetric(0.01)).collect()))
    })?;
    install(&root.weights(name)?, file.path(), &network, Normalisation::IMAGENET)?;
    Ok(features)
}
