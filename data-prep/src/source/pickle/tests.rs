//! Pickles as Python 2 wrote them, and malicious ones.

use super::machine::MAX_VALUES;
use super::*;

/// `{'data': numpy.zeros([2, 3], uint8), 'labels': [7, 300]}` with the opcodes of Python 2's cPickle,
/// protocol 2.
fn small() -> Vec<u8> {
    let mut bytes =
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04"
            .to_vec();
    bytes.extend(
        b"K\x00\x85U\x01b\x87Rq\x05(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07",
    );
    bytes.extend(b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06abcdeftb");
    bytes.extend(b"U\x06labels]q\x08(K\x07M\x2c\x01eu.");
    bytes
}

#[test]
fn array_and_list_come_out() {
    let bytes = small();
    let pickle = Pickle::parse(&bytes).unwrap();
    let (shape, elements) = pickle.byte_array(pickle.get("data").unwrap()).unwrap();
    let Elements::InFile(range) = elements else { panic!("as they are in the file") };
    assert_eq!((shape, &bytes[range]), (vec![2, 3], &b"abcdef"[..]));
    assert_eq!(pickle.ints(pickle.get("labels").unwrap()).unwrap(), [7, 300]);
    assert!(pickle.get("other").is_none());
    assert!(pickle.byte_array(pickle.get("labels").unwrap()).is_none());
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = small();
    for cut in 0..bytes.len() {
        assert!(Pickle::parse(&bytes[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn no_changed_byte_makes_it_panic() {
    let bytes = small();
    for i in 0..bytes.len() {
        for byte in 0..=255 {
            let mut changed = bytes.clone();
            changed[i] = byte;
            if let Ok(pickle) = Pickle::parse(&changed) {
                let _ = pickle.get("data").map(|id| pickle.byte_array(id));
                let _ = pickle.get("labels").map(|id| (pickle.ints(id), pickle.strings(id)));
            }
        }
    }
}

#[test]
fn names_are_refused_and_never_called() {
    let error = Pickle::parse(b"cos\nsystem\n(S'id'\ntR.").unwrap_err();
    assert!(error.contains("os.system"), "{error}");
    let error = Pickle::parse(b"\x80\x04\x8c\x02os\x8c\x06system\x93.").unwrap_err();
    assert!(error.contains("os.system"), "{error}");
    assert!(Pickle::parse(b"\x80\x02U\x01a)R.").unwrap_err().contains("not a name"));
}

#[test]
fn nesting_and_repetition_cost_no_more_than_their_length() {
    // A million lists within each other, and a list that doubles through the memo 60 times.
    let deep = [vec![b']'; 1_000_000], vec![b'a'; 999_999], vec![b'.']].concat();
    Pickle::parse(&deep).unwrap();
    let mut doubling = b"]q\x00".to_vec();
    for level in 0..60u8 {
        doubling.extend([b'h', level, b'h', level, 0x86, b'q', level + 1]);
    }
    doubling.push(b'.');
    Pickle::parse(&doubling).unwrap();
    let error = Pickle::parse(&vec![b'N'; MAX_VALUES + 2]).unwrap_err();
    assert!(error.contains("more than"), "{error}");
}

/// The same array as `small` has, and a list, as other protocols write them.
#[test]
fn every_protocol_is_read() {
    let zero = b"(dp0\nS'data'\np1\n\
        cnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp7\n\
        (I1\n(I2\nI3\ntp8\ncnumpy\ndtype\np9\n(S'u1'\np10\nI0\nI1\ntp11\nRp12\n\
        (I3\nS'|'\np13\nNNNI-1\nI-1\nI0\ntp14\nb\
        I00\nS'ab\\xff\\n\\'\\\\'\np15\ntp16\nbsS'labels'\np17\n(lp18\nI7\naL300L\nas.";
    let encoded = b"\x80\x02}(X\x04\0\0\0data\
        cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85\
        c_codecs\nencode\nX\x01\0\0\0bX\x06\0\0\0latin1\x86R\x87R\
        (K\x01K\x02K\x03\x86cnumpy\ndtype\nX\x02\0\0\0u1K\0K\x01\x87R\
        (K\x03X\x01\0\0\0|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\
        \x89c_codecs\nencode\nX\x07\0\0\0ab\xc3\xbf\n'\\X\x06\0\0\0latin1\x86Rtb\
        X\x06\0\0\0labels](K\x07M\x2c\x01eu.";
    let five = b"\x80\x05}(\x8c\x04data\
        \x8c\x12numpy.core.numeric\x8c\x0b_frombuffer\x93(\x96\x06\0\0\0\0\0\0\0ab\xff\n'\\\
        \x8c\x05numpy\x8c\x05dtype\x93\x8c\x02u1\x89\x88\x87R\
        (K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\
        K\x02K\x03\x86\x8c\x01CtR\x8c\x06labels](K\x07M\x2c\x01eu.";
    for (protocol, bytes) in [(0, &zero[..]), (2, encoded), (5, five)] {
        let pickle = Pickle::parse(bytes).unwrap();
        let (shape, elements) = pickle.byte_array(pickle.get("data").unwrap()).unwrap();
        let found = match elements {
            Elements::InFile(range) => bytes[range].to_vec(),
            Elements::Decoded(decoded) => decoded,
        };
        assert_eq!((shape, &found[..]), (vec![2, 3], &b"ab\xff\n'\\"[..]), "protocol {protocol}");
        assert_eq!(pickle.ints(pickle.get("labels").unwrap()).unwrap(), [7, 300], "protocol {protocol}");
        for cut in 0..bytes.len() {
            let _ = Pickle::parse(&bytes[..cut]);
        }
    }
}
