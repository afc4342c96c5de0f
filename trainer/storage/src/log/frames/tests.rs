//! Tests of `frames`.

use super::*;

fn path() -> &'static Path {
    Path::new("ledger")
}

/// A log of three appends, the middle one of two records; and where each append ends.
fn sample() -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut ends, mut known) = (Vec::new(), Vec::new(), Known::default());
    for records in [vec![b"one".to_vec()], vec![b"two".to_vec(), Vec::new()], vec![b"FRM1 four".to_vec()]] {
        bytes.extend(append(&mut known, &records));
        ends.push(bytes.len());
    }
    (bytes, ends)
}

/// The bytes of another frame.
fn append(known: &mut Known, records: &[Vec<u8>]) -> Vec<u8> {
    let (bytes, with_frame) = encode(path(), known, records).unwrap();
    *known = with_frame;
    bytes
}

#[test]
fn what_is_encoded_is_decoded() {
    let (bytes, _) = sample();
    let contents = decode(path(), Known::default(), &bytes).unwrap();
    assert_eq!(contents.records, [&b"one"[..], b"two", b"", b"FRM1 four"]);
    assert_eq!(contents.known.whole, bytes.len());
}

#[test]
fn what_follows_a_known_part_is_decoded_alone() {
    let (bytes, ends) = sample();
    let known = |end: usize| decode(path(), Known::default(), &bytes[..end]).unwrap().known;
    let contents = decode(path(), known(ends[0]), &bytes[ends[0]..]).unwrap();
    assert_eq!(contents.records, [&b"two"[..], b"", b"FRM1 four"]);
    assert_eq!(contents.known, known(bytes.len()));
    let torn = decode(path(), known(ends[1]), &bytes[ends[1]..bytes.len() - 1]).unwrap();
    assert_eq!((torn.records.len(), torn.known), (0, known(ends[1])));
}

#[test]
fn another_log_is_not_taken_for_the_known_one() {
    let (bytes, ends) = sample();
    let known = decode(path(), Known::default(), &bytes[..ends[1]]).unwrap().known;
    assert_eq!((known.at, known.whole), (ends[0], ends[1]));
    assert!(known.is_of(&bytes[known.at..]));
    for at in known.at..known.whole {
        let mut other = bytes.clone();
        other[at] ^= 1;
        assert!(!known.is_of(&other[known.at..]), "byte {at}");
    }
    assert!(!known.is_of(&bytes[known.at..known.whole - 1]) && !known.is_of(&[]));
    assert!(!Known::default().is_of(&bytes));
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_nothing_else() {
    let (bytes, ends) = sample();
    for cut in 0..bytes.len() {
        let contents = decode(path(), Known::default(), &bytes[..cut]).unwrap();
        let whole = ends.iter().copied().filter(|&end| end <= cut).max();
        assert_eq!(contents.records.len(), [0, 1, 3, 4][ends.iter().filter(|&&end| end <= cut).count()]);
        assert_eq!(
            contents.known.whole,
            whole.unwrap_or(if cut < HEADER { 0 } else { HEADER }),
            "cut at {cut}"
        );
    }
}

#[test]
fn a_tail_torn_into_zeros_is_cut() {
    let (bytes, ends) = sample();
    for end in ends[1]..=bytes.len() {
        let mut torn = bytes[..end].to_vec();
        torn[ends[1]..].fill(0);
        let known = decode(path(), Known::default(), &torn).unwrap().known;
        assert_eq!(known.whole, ends[1], "zeros up to {end}");
    }
}

#[test]
fn a_tail_whose_pages_did_not_all_arrive_is_cut() {
    let (mut bytes, ends) = sample();
    let at = bytes.len();
    let mut known = decode(path(), Known::default(), &bytes).unwrap().known;
    bytes.extend(append(&mut known, &[vec![7; 3 * SECTOR]]));
    for missing in 0..=3 {
        let mut torn = bytes.clone();
        let end = ((missing + 1) * SECTOR).min(bytes.len());
        torn[(missing * SECTOR).max(at)..end].fill(0);
        let known = decode(path(), Known::default(), &torn).unwrap().known;
        assert_eq!(known.whole, ends[2], "sector {missing}");
    }
    // A frame that begins just before a page; nothing else is missing.
    let mut known = Known::default();
    let first = append(&mut known, &[vec![7; SECTOR - HEADER - HEAD - 4 - 3]]);
    let torn = [&first[..], &[0; 3], &append(&mut known, &[vec![7]])[3..]].concat();
    assert_eq!(decode(path(), Known::default(), &torn).unwrap().known.whole, SECTOR - 3);
}

#[test]
fn frames_that_are_whole_and_moved_are_named_and_not_cut() {
    let (bytes, ends) = sample();
    let named = |moved: &[u8], what: &str| match decode(path(), Known::default(), moved) {
        Err(error) => assert!(error.to_string().contains("damaged"), "{what}: {error}"),
        Ok(contents) => panic!("{what}: {} records", contents.records.len()),
    };
    for count in [1, 3, 24, 40] {
        for at in 0..=ends[1] {
            let more = [&bytes[..at], &vec![9; count], &bytes[at..]].concat();
            named(&more, &format!("{count} bytes more at {at}"));
            if at + count <= ends[1] {
                let less = [&bytes[..at], &bytes[at + count..]].concat();
                named(&less, &format!("{count} bytes less at {at}"));
            }
        }
    }
    named(&[&bytes[..ends[0]], &bytes[ends[1]..]].concat(), "without the second append");
}

#[test]
fn a_frame_that_is_written_over_by_a_whole_one_is_found_by_the_next() {
    let (mut bytes, ends) = sample();
    let mut known = decode(path(), Known::default(), &bytes[..ends[0]]).unwrap().known;
    let other = append(&mut known, &[b"TWO".to_vec(), Vec::new()]);
    bytes[ends[0]..ends[1]].copy_from_slice(&other);
    let error = decode(path(), Known::default(), &bytes).err().unwrap().to_string();
    assert!(error.contains(&format!("byte {}", ends[1])) && error.contains("written over"), "{error}");
    assert_eq!(
        decode(path(), Known::default(), &bytes[..ends[1]]).unwrap().records,
        [&b"one"[..], b"TWO", b""]
    );
}

#[test]
fn damage_is_named_at_any_byte() {
    let (bytes, _) = sample();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        let Err(error) = decode(path(), Known::default(), &damaged) else {
            panic!("damage at byte {at} was not seen")
        };
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("ledger is damaged"), "{error}");
    }
}

#[test]
fn a_later_schema_is_refused_by_name() {
    let (mut bytes, _) = sample();
    bytes[8] = 7;
    let check = XxHash3_64::oneshot(&bytes[..12]) as u32;
    bytes[12..16].copy_from_slice(&check.to_le_bytes());
    let error = decode(path(), Known::default(), &bytes).err().unwrap();
    assert!(matches!(error, Error::Schema { found: 7, known: SCHEMA, .. }), "{error}");
}

#[test]
fn another_kind_of_file_is_not_taken_for_a_torn_log() {
    let error = decode(path(), Known::default(), b"{\"schema\": 1}, and more of it").err().unwrap();
    assert!(error.to_string().contains("header of a Baton log"), "{error}");
}

#[test]
fn records_that_are_too_long_are_refused() {
    let known = Known::default();
    let error = encode(path(), &known, &[vec![0; MAX_RECORD + 1]]).unwrap_err();
    assert!(error.to_string().contains("at most 1048576 bytes"), "{error}");
    assert!(encode(path(), &known, &vec![vec![0; MAX_RECORD]; 16]).is_err());
}
