//! Arrays that are written and read back, and headers that must be refused.

use super::*;
use crate::test_folders::temporary;
use tempfile::TempDir;

fn file_with(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = temporary();
    let path = folder.path().join("a.npy");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn npy<T: Element>(shape: &[u64], values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_npy(&mut bytes, shape, values).unwrap();
    bytes
}

/// A version 1 file with any header text, which may be wrong.
fn raw(header: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(payload);
    bytes
}

fn refusal(bytes: &[u8]) -> String {
    let (_folder, path) = file_with(bytes);
    Npy::open(path).unwrap_err().to_string()
}

#[test]
fn every_type_comes_back() {
    fn check<T: Element + PartialEq + fmt::Debug>(values: &[T]) {
        let (_folder, path) = file_with(&npy(&[3, 2], values));
        let array = Npy::open(path).unwrap();
        assert_eq!((array.dtype(), array.shape(), array.row_len()), (T::DTYPE, &[3, 2][..], 2));
        let mut back = [T::default(); 4];
        array.read_rows(1..3, &mut back).unwrap();
        assert_eq!(back, values[2..]);
    }
    check::<u8>(&[0, 1, 2, 3, 254, 255]);
    check::<i32>(&[0, -1, 2, i32::MIN, i32::MAX, 7]);
    check::<i64>(&[0, -1, 2, i64::MIN, i64::MAX, 7]);
    check::<u16>(&[0, 1, 2, 3, 0x3c00, 0xffff]);
    check::<f32>(&[0.0, -1.5, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, 1e-40]);
}

#[test]
fn more_than_one_chunk_comes_back() {
    let values: Vec<i64> = (0..40_000).map(|i| i * i).collect();
    let (_folder, path) = file_with(&npy(&[40_000], &values));
    let mut back = vec![0i64; 39_990];
    Npy::open(path).unwrap().read_rows(5..39_995, &mut back).unwrap();
    assert_eq!(back, values[5..39_995]);
}

#[test]
fn payload_starts_at_64_bytes_and_is_what_numpy_writes() {
    let bytes = npy(&[2, 3], &[1u8, 2, 3, 4, 5, 6]);
    assert_eq!(bytes.len() % 64, 6);
    assert_eq!(&bytes[bytes.len() - 6..], &[1, 2, 3, 4, 5, 6]);
    let text = String::from_utf8_lossy(&bytes[10..]);
    assert!(text.starts_with("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3"), "{text}");
}

#[test]
fn empty_arrays_are_arrays() {
    let (_folder, path) = file_with(&npy::<f32>(&[0, 7], &[]));
    let array = Npy::open(path).unwrap();
    assert_eq!((array.rows(), array.row_len()), (0, 7));
    array.read_rows::<f32>(0..0, &mut []).unwrap();
}

#[test]
fn wrong_lengths_are_refused() {
    let whole = npy(&[4, 2], &[1.0f32; 8]);
    let short = refusal(&whole[..whole.len() - 1]);
    assert!(short.contains("a payload of 32 bytes") && short.contains("31 bytes"), "{short}");
    assert!(short.contains("a.npy"), "{short}");
    let long = refusal(&[&whole[..], b"x"].concat());
    assert!(long.contains("33 bytes"), "{long}");
}

#[test]
fn dimensions_that_overflow_are_refused_before_any_allocation() {
    let huge = "{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296), }";
    let message = refusal(&raw(huge, b""));
    assert!(message.contains("64 bits"), "{message}");
    let wraps_to_zero = "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }";
    assert!(refusal(&raw(wraps_to_zero, b"")).contains("64 bits"));
}

#[test]
fn other_files_are_refused_by_what_they_are() {
    assert!(refusal(b"hello").contains("no .npy header"));
    assert!(refusal(&raw("{'descr': '>f4', 'fortran_order': False, 'shape': (0,), }", b"")).contains(">f4"));
    assert!(refusal(&raw("{'descr': '|O', 'fortran_order': False, 'shape': (0,), }", b"")).contains("|O"));
    assert!(
        refusal(&raw("{'descr': '<f4', 'fortran_order': True, 'shape': (0,), }", b"")).contains("Fortran")
    );
    assert!(
        refusal(&raw("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", b"abcd"))
            .contains("shape ()")
    );
    assert!(refusal(&raw("{'descr': '<f4', 'shape': (0,), }", b"")).contains("fortran_order"));
    assert!(refusal(&raw(&"(".repeat(900), b"")).contains("nested"));
    assert!(refusal(b"\x93NUMPY\x09\x00\x00\x00\x00").contains("version 9.0"));
    assert!(refusal(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}").contains("4294967295 bytes"));
    let whole = npy(&[1], &[1u8]);
    for cut in 0..whole.len() {
        refusal(&whole[..cut]);
    }
}

#[test]
fn expectations_name_both_sides() {
    let (_folder, path) = file_with(&npy(&[2, 3], &[0u8; 6]));
    let array = Npy::open(path).unwrap();
    array.expect(Dtype::U8, &[None, Some(3)]).unwrap();
    let message = array.expect(Dtype::F32, &[None, Some(4)]).unwrap_err().to_string();
    assert!(message.contains("[any, 4] of <f4") && message.contains("[2, 3] of |u1"), "{message}");
    assert!(array.expect(Dtype::U8, &[None]).is_err());
    assert!(array.read_rows(0..1, &mut [0f32; 3]).is_err());
}
