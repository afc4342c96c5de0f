//! Writes a `.safetensors` file tensor by tensor, so that only one is in memory.

use std::borrow::Cow;
use std::io::{self, Write};

/// A tensor to be written, before its values are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether it is one of PyTorch's counters (`num_batches_tracked`): an i64 that is 0. All others are f32.
    pub counter: bool,
}

impl TensorSpec {
    /// A tensor of f32.
    pub fn f32(name: impl Into<String>, shape: &[usize]) -> TensorSpec {
        TensorSpec { name: name.into(), shape: shape.to_vec(), counter: false }
    }

    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * if self.counter { 8 } else { 4 }
    }
}

/// Writes the tensors in the given order, and requests the values of each when they are needed.
///
/// # Errors
/// Those of `values` and of `out`; [`io::ErrorKind::InvalidData`] if the values do not fit the shape.
pub fn write_safetensors<'a>(
    out: &mut dyn Write,
    tensors: &[TensorSpec],
    mut values: impl FnMut(&TensorSpec) -> io::Result<Cow<'a, [f32]>>,
) -> io::Result<()> {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for tensor in tensors {
        let begin = end;
        end += tensor.bytes();
        let dtype = if tensor.counter { "I64" } else { "F32" };
        let entry = serde_json::json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [begin, end]});
        header.insert(tensor.name.clone(), entry);
    }
    let mut header = serde_json::to_vec(&header)?;
    // The tensors begin at a multiple of 8 bytes, as the format asks.
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for tensor in tensors {
        if tensor.counter {
            out.write_all(&vec![0; tensor.bytes()])?;
            continue;
        }
        let values = values(tensor)?;
        if values.len() * 4 != tensor.bytes() {
            let found = format!(
                "tensor `{}`: expected {:?}, found {} values",
                tensor.name,
                tensor.shape,
                values.len()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, found));
        }
        out.write_all(bytemuck::cast_slice(&values))?;
    }
    Ok(())
}
