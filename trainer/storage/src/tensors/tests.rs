//! Tests of `tensors`.

use super::*;
use crate::test_folders::temporary;
use crate::test_trouble::refuse_each_call;
use safetensors::SafeTensors;
use std::fs;

fn metadata() -> BTreeMap<String, String> {
    [("step", "7"), ("order", "0,1"), ("é", "\"quoted\"")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

/// Arrays of every type, of odd sizes, one of them longer than the part that is converted at once.
fn sample() -> Vec<Tensor<'static>> {
    let long: Vec<f32> = (0..600_001).map(|n| n as f32 * 0.5).collect();
    vec![
        Tensor::u8("mask", &[3], vec![1, 0, 255]),
        Tensor::f32("fc.weight", &[1, 600_001], long),
        Tensor::i64("seen", &[2, 2], vec![i64::MIN, -1, 0, i64::MAX]),
        Tensor::f32("odd values", &[4], vec![f32::NAN, f32::INFINITY, -0.0, f32::MIN_POSITIVE / 2.0]),
        Tensor::f32("empty", &[0, 5], vec![]),
        Tensor::f32("scalar", &[], vec![3.5]),
    ]
}

#[test]
fn arrays_and_metadata_come_back_to_the_bit() {
    let folder = temporary();
    let file = write_tensors(folder.path(), "worker-003", &sample(), &metadata()).unwrap();
    let mut read = read_tensors(folder.path(), &file).unwrap();
    assert_eq!(read.metadata, metadata());
    assert_eq!(read.tensors.len(), 6);
    for tensor in sample() {
        match &tensor.data {
            TensorData::F32(data) => {
                let bits = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&read.take_f32(&tensor.name, &tensor.shape).unwrap()), bits(data));
            }
            TensorData::U8(data) => assert_eq!(read.take_u8(&tensor.name, &tensor.shape).unwrap(), **data),
            TensorData::I64(data) => assert_eq!(read.take_i64(&tensor.name, &tensor.shape).unwrap(), **data),
            TensorData::I8(_) | TensorData::Bf16(_) => unreachable!("these are only written"),
        }
    }
    assert!(read.tensors.is_empty());
}

#[test]
fn the_bytes_do_not_depend_on_the_order_of_the_arrays() {
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    let mut tensors = sample();
    encode_tensors(&mut forward, &tensors, &metadata()).unwrap();
    tensors.reverse();
    encode_tensors(&mut backward, &tensors, &metadata()).unwrap();
    assert_eq!(forward, backward);
}

#[test]
fn the_reference_library_reads_what_we_write_aligned() {
    let mut bytes = Vec::new();
    encode_tensors(&mut bytes, &sample(), &metadata()).unwrap();
    let (header, info) = SafeTensors::read_metadata(&bytes).unwrap();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(header % 8, 0);
    assert_eq!(info.metadata().as_ref().unwrap()["step"], "7");
    for tensor in sample() {
        let view = read.tensor(&tensor.name).unwrap();
        assert_eq!((view.shape(), view.dtype()), (&tensor.shape[..], tensor.data.dtype()));
        let offset = info.info(&tensor.name).unwrap().data_offsets.0;
        assert_eq!(offset * 8 % tensor.data.dtype().bitsize(), 0);
    }
    assert_eq!(read.tensor("seen").unwrap().data()[..8], i64::MIN.to_le_bytes());
}

#[test]
fn we_read_what_the_reference_library_writes_and_refuse_its_other_types() {
    let folder = temporary();
    let publish_as = |dtype: Dtype| {
        let bytes = 1.5_f32.to_le_bytes();
        let view = safetensors::tensor::TensorView::new(dtype, vec![32 / dtype.bitsize()], &bytes).unwrap();
        let file = safetensors::serialize([("x", view)], None).unwrap();
        publish(folder.path(), "other", "safetensors", |out| out.write_all(&file)).unwrap()
    };
    let mut read = read_tensors(folder.path(), &publish_as(Dtype::F32)).unwrap();
    assert_eq!(read.take_f32("x", &[1]).unwrap(), [1.5]);
    let error = read_tensors(folder.path(), &publish_as(Dtype::BF16)).unwrap_err().to_string();
    assert!(error.contains("array \"x\"") && error.contains("BF16"), "{error}");
}

#[test]
fn damage_at_any_byte_is_named() {
    let folder = temporary();
    let tensors = [Tensor::f32("a", &[2], vec![1.0, 2.0]), Tensor::u8("b", &[1], vec![3])];
    let file = write_tensors(folder.path(), "x", &tensors, &metadata()).unwrap();
    let path = folder.path().join(&file.name);
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            fs::write(&path, &damaged).unwrap();
            let error = read_tensors(folder.path(), &file).unwrap_err();
            let named = matches!(&error, Error::Damaged { file, .. } if *file == path);
            // A header that names another type is also refused, by that name.
            assert!(named || matches!(&error, Error::Unfit { .. }), "byte {at}: {error}");
        }
    }
}

#[test]
fn what_is_asked_for_and_not_there_is_named() {
    let folder = temporary();
    let file = write_tensors(folder.path(), "x", &sample(), &BTreeMap::new()).unwrap();
    let mut read = read_tensors(folder.path(), &file).unwrap();
    let error = read.take_f32("head.bias", &[2]).unwrap_err().to_string();
    assert!(
        error.contains("head.bias") && error.contains(&file.name) && error.contains("only empty"),
        "{error}"
    );
    let error = read.take_f32("fc.weight", &[600_001]).unwrap_err().to_string();
    assert!(error.contains("expected F32 of shape [600001], found shape [1, 600001]"), "{error}");
    let error = read.take_f32("mask", &[3]).unwrap_err().to_string();
    assert!(error.contains("expected F32 of shape [3], found U8"), "{error}");
}

#[test]
fn arrays_that_cannot_be_right_are_not_written() {
    let folder = temporary();
    let one = || Tensor::f32("a", &[2], vec![1.0, 2.0]);
    let wrong: [Vec<Tensor<'_>>; 4] = [
        vec![one(), one()],
        vec![Tensor::f32("a", &[3], vec![1.0])],
        vec![Tensor::f32("a", &[usize::MAX, 2], vec![])],
        vec![Tensor::u8("__metadata__", &[0], vec![])],
    ];
    for tensors in wrong {
        let error = write_tensors(folder.path(), "x", &tensors, &BTreeMap::new()).unwrap_err();
        assert!(matches!(error, Error::Unfit { .. }), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_fixed_name_stands_for_the_same_arrays() {
    let folder = temporary();
    let write = |x: f32| {
        let tensors = [Tensor::f32("a", &[1], vec![x])];
        write_tensors_same(folder.path(), "head.safetensors", &tensors, &BTreeMap::new())
    };
    let file = write(1.0).unwrap();
    assert_eq!(write(1.0).unwrap(), file);
    assert!(matches!(write(2.0), Err(Error::Damaged { .. })));
    assert_eq!(read_tensors(folder.path(), &file).unwrap().take_f32("a", &[1]).unwrap(), [1.0]);
}

#[test]
fn a_file_that_cannot_be_read_once_is_not_damaged() {
    let folder = temporary();
    let file = write_tensors(folder.path(), "worker-003", &sample()[..1], &metadata()).unwrap();
    let calls = refuse_each_call(|| read_tensors(folder.path(), &file).map(|read| format!("{read:?}")));
    assert!(calls >= 8, "{calls} calls");
}

#[test]
fn a_file_that_ends_in_its_first_number_is_damaged() {
    let folder = temporary();
    let file =
        crate::publish(folder.path(), "worker-003", "safetensors", |file| file.write_all(b"BATON")).unwrap();
    let error = read_tensors(folder.path(), &file).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}
