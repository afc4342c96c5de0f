//! Each common table is read correctly or refused by name and line; a refused one leaves nothing behind.

use super::*;
use datasets::ratings::{Side, Split};
use std::collections::BTreeSet;
use std::fs;
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    fn make(&self, text: impl AsRef<[u8]>, options: impl FnOnce(&mut Options)) -> Result<Summary> {
        let (source, mut asked) = (self.0.path().join("r.txt"), Options::new(self.0.path().join("made")));
        fs::write(&source, text).unwrap();
        asked.replace = true;
        options(&mut asked);
        prepare(&source, &asked, &|_| {})
    }

    /// All ratings of a text, without a split: `user item rating`.
    fn all(
        &self,
        text: impl AsRef<[u8]>,
        options: impl FnOnce(&mut Options),
    ) -> (BTreeSet<String>, Vec<String>) {
        let made = self.make(text, |asked| {
            (asked.deal.val_share, asked.deal.test_share) = (0.0, 0.0);
            options(asked);
        });
        let made = made.unwrap();
        let [train, val, test] = self.splits();
        assert!(val.is_empty() && test.is_empty());
        (train, made.manifest.notes)
    }

    /// The three splits of the data set.
    fn splits(&self) -> [BTreeSet<String>; 3] {
        let ratings = Ratings::open(&self.0.path().join("made")).unwrap();
        let (users, items) = (ratings.ids(Side::Users).unwrap(), ratings.ids(Side::Items).unwrap());
        let told = |user: u32, item: u32, value: f32| {
            format!("{} {} {value}", users[user as usize], items[item as usize])
        };
        let starts = ratings.starts(Side::Users).unwrap();
        let mut train = BTreeSet::new();
        for (user, places) in (0..).zip(starts.windows(2)) {
            let rated = ratings.rated(Side::Users, places[0]..places[1]).unwrap();
            train.extend(rated.others.iter().zip(rated.values).map(|(item, value)| told(user, *item, value)));
        }
        let held_out = |split| {
            let read = ratings.held_out(split).unwrap();
            let pairs = read.users.iter().zip(&read.items).zip(&read.values);
            pairs.map(|((user, item), value)| told(*user, *item, *value)).collect()
        };
        [train, held_out(Split::Val), held_out(Split::Test)]
    }

    /// The reason why a text is refused.
    fn refusal(&self, text: impl AsRef<[u8]>, options: impl FnOnce(&mut Options)) -> String {
        let error = self.make(text, options).unwrap_err();
        assert!(error.is_bad_input(), "{error}");
        let made = self.0.path().join("made");
        assert!(!made.exists() && !self.0.path().join(".made.partial").exists(), "{error}");
        error.to_string()
    }
}

#[test]
fn the_usual_tables_are_read_as_they_are() {
    let place = Place::new();
    let cases: [(&str, &str); 9] = [
        ("u.data", "a\tx\t3\t881250949\nb\ty\t4.5\t891717742\n"),
        ("ratings.dat", "a::x::3::978300760\nb::y::4.5::978302109\n"),
        ("ratings.csv", "userId,movieId,rating,timestamp\na,x,3,1112486027\nb,y,4.5,1112484676\n"),
        ("another order", "Timestamp;Rating;User-ID;ISBN\n1;3;a;x\n2;4.5;b;y\n"),
        ("quotes", "user,item,rating\n\"a\",\"x\",\"3\"\n\"b\",y,4.5\n"),
        ("spaces", "a x 3\nb y 4.5"),
        ("CRLF, a mark and blank lines", "\u{feff}a,x,3\r\n\r\nb, y ,4.5\r\n  \r\n"),
        ("no time", "a\tx\t3\nb\ty\t4.5\n"),
        ("signs and exponents", "a,x,+3\nb,y,45e-1\n"),
    ];
    for (name, text) in cases {
        let (found, notes) = place.all(text, |_| ());
        assert_eq!(found, ["a x 3", "b y 4.5"].map(String::from).into(), "{name}");
        let told = notes.iter().any(|note| note.contains("2 blank lines"));
        assert_eq!(told, name.contains("blank"), "{name}: {notes:?}");
    }
}

#[test]
fn ids_are_any_texts() {
    let text = "user,item,rating\n\"Smith, \"\"J\"\"\",héllo wörld 映画,3\n007,7,4\n7,007,5\n";
    let (found, _) = Place::new().all(text, |_| ());
    let expected = ["Smith, \"J\" héllo wörld 映画 3", "007 7 4", "7 007 5"];
    assert_eq!(found, expected.map(String::from).into());
}

#[test]
fn columns_are_named_by_heading_or_number() {
    let place = Place::new();
    let columns = |user: &str, item: &str, rating: &str| {
        let [user, item, rating] = [user, item, rating].map(|name| Some(name.to_owned()));
        move |options: &mut Options| options.columns = Columns { user, item, rating, time: None }
    };
    let headed = "wer,was,punkte\na,x,3\nb,y,4.5\n";
    let bare = "3,x,a\n4.5,y,b\n";
    for (text, columns) in [(headed, columns("wer", "was", "punkte")), (bare, columns("3", "2", "1"))] {
        assert_eq!(place.all(text, columns).0, ["a x 3", "b y 4.5"].map(String::from).into(), "{text}");
    }
    fs::remove_dir_all(place.0.path().join("made")).unwrap();
    let told = place.refusal(headed, |_| ());
    assert!(told.contains("line 1") && told.contains("--user"), "{told}");
    let told = place.refusal(headed, columns("wer", "wo", "punkte"));
    assert!(told.contains("--item") && told.contains("was"), "{told}");
    let told = place.refusal("userId,thing,rating\na,x,3\n", |_| ());
    assert!(told.contains("--item") && told.contains("thing"), "{told}");
}

#[test]
fn a_rating_that_is_repeated_counts_once_by_a_stated_rule() {
    let place = Place::new();
    let text = "a\tx\t1\na\ty\t2\nb\tx\t3\na\tx\t4\na\tx\t5\n";
    for (twice, kept, told) in [(Twice::Last, 5, "the last line"), (Twice::First, 1, "the first line")] {
        let (found, notes) = place.all(text, |options| options.twice = twice);
        assert_eq!(found, [format!("a x {kept}"), "a y 2".into(), "b x 3".into()].into());
        assert!(notes[0].contains("2 ratings") && notes[0].contains(told), "{notes:?}");
    }
    fs::remove_dir_all(place.0.path().join("made")).unwrap();
    let told = place.refusal(text, |options| options.twice = Twice::Refuse);
    assert!(told.contains("line 4") && told.contains("line 1"), "{told}");
}

/// 40 users, user u with 5 · (u mod 4 + 1) ratings; the time rises with the line.
fn many() -> String {
    let lines = (0..40).flat_map(|user| (0..5 * (user % 4 + 1)).map(move |item| (user, item)));
    let lines =
        lines.enumerate().map(|(time, (user, item))| format!("u{user}::i{item}::{}::{time}\n", item % 5 + 1));
    lines.collect()
}

#[test]
fn shares_are_held_out_whatever_the_order_of_the_lines() {
    let place = Place::new();
    let made = place.make(many(), |_| ()).unwrap();
    let splits = place.splits();
    assert_eq!(splits.each_ref().map(BTreeSet::len), [400, 50, 50]);
    assert_eq!(made.manifest.scale, [1.0, 5.0]);
    let mut turned: Vec<String> = many().lines().map(|line| format!("{line}\n")).collect();
    turned.reverse();
    let again = place.make(turned.concat(), |_| ()).unwrap();
    assert!(place.splits() == splits && again.key == made.key, "the order of the lines shows");
    let other = place.make(many(), |options| options.deal.seed = 2).unwrap();
    assert!(place.splits() != splits && other.key != made.key, "the seed does not show");
}

#[test]
fn ratings_are_held_out_of_each_user_or_by_time() {
    let place = Place::new();
    place.make(many(), |options| options.deal.by = By::User).unwrap();
    let [train, val, test] = place.splits();
    let of =
        |split: &BTreeSet<String>, user: &str| split.iter().filter(|line| line.starts_with(user)).count();
    // Of 20 ratings two are a tenth; of 5 a half is rounded up.
    assert_eq!(
        ["u3 ", "u0 "].map(|user| (of(&train, user), of(&val, user), of(&test, user))),
        [(16, 2, 2), (3, 1, 1)]
    );
    place.make(many(), |options| options.deal.by = By::Time).unwrap();
    let [train, val, test] = place.splits();
    let user = |line: &String| line[1..].split(' ').next().unwrap().parse::<u32>().unwrap();
    let (of_train, of_val) = (train.iter().map(user).max().unwrap(), val.iter().map(user));
    assert!(of_val.clone().min().unwrap() >= of_train && test.iter().map(user).min() >= of_val.max());
    let note = place.make("a,x,1,1\nb,y,2,2\nc,z,3,3\n", |options| {
        options.deal = Deal { by: By::Time, val_share: 0.0, test_share: 0.3, seed: 1 };
    });
    let note = note.unwrap().manifest.notes;
    assert!(note[0].contains("1 held-out ratings"), "{note:?}");
}

#[test]
fn what_is_not_a_table_of_ratings_is_refused_with_its_line() {
    let place = Place::new();
    let cases: [(&[u8], &[&str]); 19] = [
        (b"", &["empty"]),
        (b"user,item,rating\n", &["a heading and nothing else"]),
        (b"abc\n", &["separated by", "line 1"]),
        (b"a,x\n", &["3 columns"]),
        (b"a,x,3\na,y\n", &["3 columns", "found 2", "line 2"]),
        (b"a,x,3\n\nb,y,4,5\n", &["3 columns", "found 4", "line 3"]),
        (b"a,x,3\nb,y,good\n", &["a rating that is a number", "good", "line 2"]),
        (b"a,x,3\nb,y,\n", &["a rating that is a number", "line 2"]),
        (b"a,x,3\nb,y,nan\n", &["nan", "line 2"]),
        (b"a,x,3\nb,y,1e999\n", &["1e999", "line 2"]),
        (b"a\tx\t3\nb\ty\t3,5\n", &["3,5", "line 2"]),
        (b"a,x,3\n,y,4\n", &["an id", "0 bytes", "line 2"]),
        (b"a,x,3\n\xff,y,4\n", &["UTF-8", "line 2"]),
        (b"a,x,3\nb\x00,y,4\n", &["a control character", "line 2"]),
        (b"a,x,3\n\"b,y,4\n", &["a quote without an end", "line 2"]),
        (b"\xff\xfea\x00,\x00", &["UTF-16"]),
        (b"\x1f\x8b\x08\x00abc", &["gzip", "gunzip"]),
        (b"PK\x03\x04abc,d,e", &["zip"]),
        (b"{\"user\": 1}\n", &["--item"]),
    ];
    for (text, expected) in cases {
        let told = place.refusal(text, |_| ());
        assert!(expected.iter().all(|words| told.contains(words)), "{told}");
        assert!(told.contains("r.txt"), "{told}");
    }
    let long = format!("a,x,3\n{},y,4\n", "b".repeat(70_000));
    assert!(place.refusal(long, |_| ()).contains("line 2"));
    let long = format!("a,x,3\n{},y,4\n", "b".repeat(300));
    assert!(place.refusal(long, |_| ()).contains("300 bytes in line 2"));
    let told = place.refusal("a,x,3\nb,y,7\n", |options| options.scale = Some([1.0, 5.0]));
    assert!(told.contains("--scale") && told.contains("7 in line 2"), "{told}");
    let told = place.refusal("a,x,3,noon\nb,y,4,1\n", |options| options.deal.by = By::Time);
    assert!(told.contains("a time") && told.contains("noon"), "{told}");
    let told = place.refusal("a,x,3\n", |options| options.deal.val_share = 1.0);
    assert!(told.contains("--val-share"), "{told}");
    let told = place.refusal("a,x,3\n", |options| {
        options.deal = Deal { val_share: 0.6, test_share: 0.5, ..Deal::default() }
    });
    assert!(told.contains("--test-share"), "{told}");
}

#[test]
fn the_same_command_finds_its_data_set_and_another_is_told() {
    let place = Place::new();
    let first = place.make(many(), |_| ()).unwrap();
    let again = place.make(many(), |options| options.replace = false).unwrap();
    assert!(!first.was_there && again.was_there && again.manifest == first.manifest);
    for change in
        [|options: &mut Options| options.deal.seed = 9, |options: &mut Options| options.twice = Twice::First]
    {
        let other = place.make(many(), |options| {
            options.replace = false;
            change(options);
        });
        assert!(matches!(other, Err(Error::Exists { .. })), "{other:?}");
    }
    let damaged = place.0.path().join("made").join("val-values.npy");
    let mut bytes = fs::read(&damaged).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let told = place.make(many(), |options| options.replace = false).unwrap_err().to_string();
    assert!(told.contains("val-values.npy"), "{told}");
}
