//! Tests of `log`.

use super::*;
use crate::test_folders::{SmallDisk, temporary};
use crate::test_trouble::refuse_each_call;
use std::fs;
use std::thread;

const WAIT: Duration = Duration::from_secs(20);

fn append(log: &Log, record: &[u8]) -> Result<usize> {
    log.update(WAIT, |records| Ok((vec![record.to_vec()], records.len())))
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on() {
    let folder = temporary();
    let path = folder.path().join("ledger");
    let log = Log::create(&path, b"first", WAIT).unwrap().into_log();
    let whole = fs::read(&path).unwrap().len();
    append(&log, b"the last record").unwrap();
    let bytes = fs::read(&path).unwrap();
    for cut in whole..bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        assert_eq!(log.read(WAIT).unwrap(), [b"first"], "cut at {cut}");
        assert_eq!(fs::read(&path).unwrap().len(), cut, "reading changes nothing");
        append(&log, b"new").unwrap();
        assert_eq!(log.read(WAIT).unwrap(), [&b"first"[..], b"new"], "cut at {cut}");
    }
}

#[test]
fn damage_is_named_and_left_as_it_is() {
    let folder = temporary();
    let path = folder.path().join("ledger");
    let log = Log::create(&path, b"first", WAIT).unwrap().into_log();
    append(&log, b"second").unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, &bytes).unwrap();
    for error in [log.read(WAIT).unwrap_err(), append(&log, b"third").unwrap_err()] {
        assert!(matches!(&error, Error::Damaged { file, .. } if *file == path), "{error}");
        assert!(error.to_string().contains("at byte 16"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn of_many_creators_one_is_first() {
    let folder = temporary();
    let path = folder.path().join("runs/a/ledger");
    let create = |n: u8| matches!(Log::create(&path, &[n], WAIT).unwrap(), Created::New(_)).then_some(n);
    let create = &create;
    let winners: Vec<u8> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || create(n))).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(winners.len(), 1);
    assert_eq!(Log::open(&path).unwrap().read(WAIT).unwrap(), [winners]);
}

#[test]
fn a_log_whose_creator_died_is_empty_and_can_be_begun() {
    let folder = temporary();
    let path = folder.path().join("ledger");
    fs::write(&path, b"").unwrap();
    assert!(Log::open(&path).unwrap().read(WAIT).unwrap().is_empty());
    assert!(matches!(Log::create(&path, b"x", WAIT).unwrap(), Created::New(_)));
    assert!(matches!(Log::create(&path, b"y", WAIT).unwrap(), Created::Exists(_)));
    assert_eq!(Log::open(&path).unwrap().read(WAIT).unwrap(), [b"x"]);
}

#[test]
fn a_log_that_is_not_there_is_named_and_not_made() {
    let folder = temporary();
    let path = folder.path().join("ledger");
    let error = Log::open(&path).unwrap_err();
    assert!(matches!(&error, Error::Missing { .. }), "{error}");
    assert!(!path.exists());
}

#[test]
fn a_lock_held_by_others_is_waited_for_and_no_longer() {
    let folder = temporary();
    let log = Log::create(folder.path().join("ledger"), b"x", WAIT).unwrap().into_log();
    let held = log.lock(WAIT).unwrap();
    let start = std::time::Instant::now();
    let error = log.read(Duration::from_millis(200)).unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    assert!(start.elapsed() >= Duration::from_millis(200) && start.elapsed() < Duration::from_secs(5));
    drop(held);
    assert_eq!(log.read(Duration::ZERO).unwrap().len(), 1);
}

#[test]
fn threads_that_append_together_lose_nothing() {
    let folder = temporary();
    let log = &Log::open_or_create(folder.path().join("ledger")).unwrap();
    thread::scope(|scope| {
        for thread in 0..8_u32 {
            scope.spawn(move || {
                for n in 0..25_u32 {
                    append(log, &(thread * 100 + n).to_le_bytes()).unwrap();
                }
            });
        }
    });
    let mut records = log.read(WAIT).unwrap();
    records.sort();
    records.dedup();
    assert_eq!(records.len(), 200);
}

#[test]
fn an_update_that_fails_appends_nothing() {
    let folder = temporary();
    let log = Log::create(folder.path().join("ledger"), b"x", WAIT).unwrap().into_log();
    let error = log.update(WAIT, |_| Err::<(Vec<Vec<u8>>, ()), _>(Error::unfit("fact", "new", "old")));
    assert!(matches!(error, Err(Error::Unfit { .. })));
    assert_eq!(log.read(WAIT).unwrap().len(), 1);
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was() {
    let Some(disk) = SmallDisk::mount() else { return };
    let log = Log::create(disk.path().join("ledger"), b"first", WAIT).unwrap().into_log();
    let error = append(&log, &[7; 100_000]).unwrap_err();
    assert!(error.to_string().contains("free some space"), "{error}");
    assert_eq!(log.read(WAIT).unwrap(), [b"first"]);
    append(&log, b"second").unwrap();
    assert_eq!(log.read(WAIT).unwrap().len(), 2);
}

/// A file whose operation number `fails_at` fails; a write that fails has written `written` bytes.
struct Faulty {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    fails_at: usize,
    written: usize,
    errno: i32,
    operations: usize,
}

impl Faulty {
    fn new(bytes: &[u8], fails_at: usize, written: usize, errno: i32) -> Faulty {
        Faulty { bytes: bytes.to_vec(), durable: bytes.to_vec(), fails_at, written, errno, operations: 0 }
    }

    fn operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.operations == self.fails_at { Err(io::Error::from_raw_os_error(self.errno)) } else { Ok(()) }
    }
}

impl Medium for Faulty {
    fn length_anew(&mut self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_from(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        self.operation()?;
        Ok(self.bytes.get(offset as usize..).unwrap_or_default().to_vec())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.operation()?;
        self.bytes.truncate(length as usize);
        Ok(())
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (again, new) = bytes.split_at(self.bytes.len() - offset as usize);
        assert_eq!(again, &self.bytes[offset as usize..], "what is there is written again as it is");
        let result = self.operation();
        let written = if result.is_ok() { new.len() } else { self.written.min(new.len()) };
        self.bytes.extend_from_slice(&new[..written]);
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        self.operation()?;
        self.durable = self.bytes.clone();
        Ok(())
    }
}

/// Appends "new" to `medium` with the code that also works on files.
fn append_to(medium: &mut Faulty) -> Result<()> {
    transact(Path::new("ledger"), medium, &mut Known::default(), frames::decode, |_| {
        Ok((vec![b"new".to_vec()], ()))
    })
}

#[test]
fn whatever_fails_the_log_keeps_its_records_and_the_next_holder_goes_on() {
    let mut medium = Faulty::new(&[], 0, 0, 0);
    append_to(&mut medium).unwrap();
    let torn_tail = 5;
    let start = [medium.durable.clone(), vec![9; torn_tail]].concat();
    // Read, cut, write (after any number of bytes), sync.
    for (fails_at, written) in (1..=4).flat_map(|operation| (0..27).map(move |written| (operation, written)))
    {
        for errno in [5, 116, 28] {
            let mut medium = Faulty::new(&start, fails_at, written, errno);
            let error = append_to(&mut medium).unwrap_err();
            let lost = matches!(error, Error::LockLost { .. });
            assert_eq!(lost, errno != 28, "EIO and ESTALE mean that the lock is lost: {error}");
            // The holder may have died before it could cut off its own write.
            let mut next = Faulty::new(&medium.bytes, 0, 0, 0);
            let before =
                frames::decode(Path::new("ledger"), Known::default(), &next.bytes).unwrap().records.len();
            assert!(
                before == 1 || (before == 2 && fails_at == 4),
                "{before} records after operation {fails_at}"
            );
            append_to(&mut next).unwrap();
            let records =
                frames::decode(Path::new("ledger"), Known::default(), &next.durable).unwrap().records;
            assert_eq!(records.len(), before + 1);
        }
    }
}

#[test]
fn a_write_that_a_death_cut_short_at_any_byte_does_not_count() {
    let mut medium = Faulty::new(&[], 0, 0, 0);
    append_to(&mut medium).unwrap();
    let one = medium.bytes.clone();
    append_to(&mut medium).unwrap();
    for cut in 0..medium.bytes.len() - one.len() {
        let mut next = Faulty::new(&medium.bytes[..one.len() + cut], 0, 0, 0);
        append_to(&mut next).unwrap();
        assert_eq!(next.durable, medium.bytes, "cut after {cut} bytes");
    }
}

#[test]
fn a_log_tells_without_its_lock_whether_it_has_changed() {
    let folder = temporary();
    let log = Log::create(folder.path().join("ledger"), b"one", WAIT).unwrap().into_log();
    let mut known = Known::default();
    assert!(log.has_changed(&known).unwrap(), "nothing is known of it");
    log.update_after(WAIT, &mut known, |_| -> Result<_> { Ok((Vec::new(), ())) }).unwrap();
    let held = log.lock(WAIT).unwrap();
    assert!(!log.has_changed(&known).unwrap());
    drop(held);
    append(&log, b"two").unwrap();
    assert!(log.has_changed(&known).unwrap());
}

#[test]
fn a_frame_written_over_by_one_as_long_or_shorter_is_a_change() {
    let folder = temporary();
    let path = folder.path().join("ledger");
    let log = Log::create(&path, b"one", WAIT).unwrap().into_log();
    let before = std::fs::read(&path).unwrap();
    // Both hold the lock, because a file system gave it to two at once: each appends to the part that it has
    // read.
    let mut known = Known::default();
    log.update_after(WAIT, &mut known, |_| -> Result<_> { Ok((vec![b"a leg begins".to_vec()], ())) })
        .unwrap();
    let ours = std::fs::read(&path).unwrap();
    for other in [&b"stop"[..], b"stop this run"] {
        std::fs::write(&path, &before).unwrap();
        append(&log, &other[..other.len().min(12)]).unwrap();
        let mut both = std::fs::read(&path).unwrap();
        both.extend_from_slice(&ours[both.len()..]);
        std::fs::write(&path, both).unwrap();
        assert!(log.has_changed(&known).unwrap(), "{:?}", String::from_utf8_lossy(other));
    }
    std::fs::write(&path, ours).unwrap();
    assert!(!log.has_changed(&known).unwrap());
}

#[test]
fn a_reader_that_knows_a_part_gets_only_what_is_new() {
    let folder = temporary();
    let path = folder.path().join("ledger");
    let log = Log::create(&path, b"one", WAIT).unwrap().into_log();
    let mut known = Known::default();
    let read = |known: &mut Known| {
        log.update_after(WAIT, known, |news| -> Result<_> {
            Ok((Vec::new(), (news.all, news.records.concat())))
        })
    };
    assert_eq!(read(&mut known).unwrap(), (true, b"one".to_vec()));
    log.update(WAIT, |_| -> Result<_> { Ok((vec![b"two".to_vec()], ())) }).unwrap();
    assert_eq!(read(&mut known).unwrap(), (false, b"two".to_vec()));
    assert_eq!(read(&mut known).unwrap(), (false, Vec::new()));
    // A process knows the records that it appended in its own update.
    log.update_after(WAIT, &mut known, |_| -> Result<_> { Ok((vec![b"three".to_vec()], ())) }).unwrap();
    assert_eq!(read(&mut known).unwrap(), (false, Vec::new()));
    // A torn tail after the known part is cut, and another file of the name is read from its start.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend([9; 7]);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(read(&mut known).unwrap(), (false, Vec::new()));
    // Removed and begun anew in the same file: shorter, as long, and longer than the known part.
    for other in [&b"x"[..], b"another two", &[7; 500]] {
        std::fs::write(&path, b"").unwrap();
        Log::create(&path, other, WAIT).unwrap();
        let before = known.clone();
        assert_eq!(read(&mut known).unwrap(), (true, other.to_vec()));
        assert_eq!(read(&mut before.clone()).unwrap(), (true, other.to_vec()));
        log.update_after(WAIT, &mut before.clone(), |_| -> Result<_> { Ok((vec![b"more".to_vec()], ())) })
            .unwrap();
        assert_eq!(log.read(WAIT).unwrap(), [other, b"more"]);
    }
}

#[test]
fn an_update_of_which_one_call_is_refused_counts_or_is_done_again() {
    let folder = temporary();
    let log = Log::create(folder.path().join("ledger"), b"x", WAIT).unwrap().into_log();
    let calls = refuse_each_call(|| {
        log.update(WAIT, |records| Ok((if records.len() > 1 { vec![] } else { vec![b"y".to_vec()] }, ())))?;
        log.read(WAIT)
    });
    assert!(calls > 12, "{calls} calls");
}

/// A file whose fsync fails a few times, as on a local disk: the bytes stay in the cache, where everybody
/// reads them, and are never written to the disk.
struct Cached {
    cache: Vec<u8>,
    disk: Vec<u8>,
    dirty: Vec<std::ops::Range<usize>>,
    failures: u32,
}

impl Medium for Cached {
    fn length_anew(&mut self) -> io::Result<u64> {
        Ok(self.cache.len() as u64)
    }

    fn read_from(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        Ok(self.cache.get(offset as usize..).unwrap_or_default().to_vec())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.cache.truncate(length as usize);
        Ok(())
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset as usize + bytes.len();
        self.cache.resize(self.cache.len().max(end), 0);
        self.cache[offset as usize..end].copy_from_slice(bytes);
        self.dirty.push(offset as usize..end);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let dirty = std::mem::take(&mut self.dirty);
        if self.failures > 0 {
            self.failures -= 1;
            return Err(io::Error::from_raw_os_error(5));
        }
        self.disk.resize(self.cache.len(), 0);
        dirty.into_iter().for_each(|range| self.disk[range.clone()].copy_from_slice(&self.cache[range]));
        Ok(())
    }
}

#[test]
fn what_a_failed_fsync_left_in_the_cache_is_made_durable_before_it_counts() {
    for (failures, others) in [(1, false), (1, true), (3, true)] {
        let mut file = Cached { cache: Vec::new(), disk: Vec::new(), dirty: Vec::new(), failures: 0 };
        let mut known = Known::default();
        let record = |n: u32| move |_: News<'_>| Ok::<_, Error>((vec![n.to_le_bytes().to_vec()], ()));
        for n in 0..100 {
            transact(Path::new("ledger"), &mut file, &mut known, frames::decode, record(n)).unwrap();
        }
        file.failures = failures;
        for n in 0..failures {
            // Two processes, or one that tries again and finds its fact there.
            let known = if others { &mut Known::default() } else { &mut known };
            let error =
                transact(Path::new("ledger"), &mut file, known, frames::decode, record(n)).unwrap_err();
            assert!(matches!(error, Error::LockLost { .. }), "{error}");
        }
        let known = if others { &mut Known::default() } else { &mut known };
        // A process that only looks writes nothing; if it appends afterwards it still doubts what it has
        // read.
        let count = |news: News<'_>| Ok::<_, Error>((Vec::new(), news.records.len() as u32));
        let counted = transact(Path::new("ledger"), &mut file, known, frames::decode, count).unwrap();
        assert_eq!(counted, 100 + failures);
        assert!(file.disk != file.cache);
        transact(Path::new("ledger"), &mut file, known, frames::decode, record(7)).unwrap();
        assert!(file.disk == file.cache, "{failures} failures, of others: {others}");
    }
}
