//! Noise for the weights of networks whose pretrained ones are missing, installed by the command.

use networks::network;
use serde_json::{Map, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use tests::stdout;

/// Installs weights for all of a network except its last layer, whose name is given.
pub(crate) fn install_noise(root: &Path, name: &str, last: &str) {
    let file = root.join(format!("{name}.safetensors"));
    write(&file, name, last).unwrap();
    stdout(&["weights", "add", name, file.to_str().unwrap(), "--root", root.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
}

/// Writes a safetensors file: the length of its header, the header, the values.
pub(crate) fn write(file: &Path, name: &str, last: &str) -> std::io::Result<()> {
    let mut parameters = network(name).expect("a network").parameters();
    parameters.retain(|parameter| !parameter.name.starts_with(last));
    let (mut header, mut end) = (Map::new(), 0);
    for parameter in &parameters {
        let begin = end;
        end += 4 * parameter.shape.iter().product::<usize>();
        let entry = json!({"dtype": "F32", "shape": parameter.shape, "data_offsets": [begin, end]});
        header.insert(parameter.name.clone(), entry);
    }
    let header = serde_json::to_vec(&header)?;
    let mut out = BufWriter::new(File::create(file)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for parameter in &parameters {
        let count: usize = parameter.shape.iter().product();
        let (middle, spread) = match parameter.name.rsplit('.').next() {
            Some("running_var") => (1.0, 0.1),
            Some("weight") if parameter.shape.len() == 1 => (1.0, 0.1),
            Some("weight") => (0.0, (6.0 / (count / parameter.shape[0]) as f32).sqrt()), // He's
            _ => (0.0, 0.1),
        };
        for _ in 0..count {
            out.write_all(&(middle + spread * noise.next()).to_le_bytes())?;
        }
    }
    out.flush()
}

/// Numbers from -1 to 1, the same on every machine (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        let Noise(state) = self;
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}
