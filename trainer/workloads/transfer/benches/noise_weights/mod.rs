//! Pretrained weights that are noise, installed, for the benchmarks of training a network's own layers.

use networks::Network;
use rounds::random::{Purpose, Stream};
use std::borrow::Cow;
use std::fs::File;
use storage::Root;
use transfer::weights::{Normalisation, TensorSpec, install, write_safetensors};

/// Installs them: those of all layers below the last.
pub(crate) fn install_noise(root: &Root, network: &Network) -> Result<(), Box<dyn std::error::Error>> {
    let below_last = network.up_to(network.default_cut)?.parameters();
    let tensors: Vec<TensorSpec> = below_last.iter().map(|p| TensorSpec::f32(&p.name, &p.shape)).collect();
    let file = tempfile::NamedTempFile::with_suffix(".safetensors")?;
    let mut stream = Stream::new(1, Purpose::Initial, 0, 0);
    write_safetensors(&mut File::create(file.path())?, &tensors, |tensor| {
        let middle = f32::from(u8::from(tensor.name.ends_with("running_var")));
        let value = || middle + stream.symmetric(0.01);
        Ok(Cow::Owned(std::iter::repeat_with(value).take(tensor.shape.iter().product()).collect()))
    })?;
    install(&root.weights(network.name)?, file.path(), network, Normalisation::IMAGENET)?;
    Ok(())
}

/// Features of an image of `side` pixels at a point.
pub(crate) fn features_at(network: &Network, point: &str, side: usize) -> Result<usize, networks::Error> {
    let below = network.up_to(point)?;
    Ok(below.shapes(side, side)?[below.output()].len())
}
