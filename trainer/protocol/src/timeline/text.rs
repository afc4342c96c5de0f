//! A stage's attempts as a short text for the table: a row a worker, the last row the combine.
//!
//! ```text
//! 0+1420 3+1390|2+800x 95+1410*2/4+150>
//! worker 0 had two legs; worker 1 died once and then had two; the combine runs
//! ```
//! Times are hundredths of a second: from the bar before (the first: from the stage's opening), and the
//! length.

use super::{Attempt, AttemptEnd, StageTimes};
use std::fmt::Write;

/// One bar of a row: an attempt, or several that would not fit one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Its beginning, in milliseconds after the stage's.
    pub from_ms: u64,
    /// Its length; for a running one, its possible length.
    pub length_ms: u64,
    /// Its end.
    pub end: AttemptEnd,
    /// The number of attempts in it.
    pub attempts: u32,
}

/// The bars of one worker, of a few workers, or of the combine (the last row).
pub type Row = Vec<Bar>;

/// A unit of the text, in milliseconds.
const UNIT_MS: u64 = 10;
const MARKS: [(AttemptEnd, &str); 5] = [
    (AttemptEnd::Done, ""),
    (AttemptEnd::Running, ">"),
    (AttemptEnd::Died, "x"),
    (AttemptEnd::Duplicate, "="),
    (AttemptEnd::Stopped, "s"),
];

/// Writes a stage's bars in at most `most` bytes, and returns how many workers share a row.
///
/// If the text would be longer, a worker's legs become one bar, and then 2, 4, 8 … workers one row. Attempts
/// that died and work that was done twice keep bars of their own.
pub fn write_rows(stage: &StageTimes, workers: u32, most: usize) -> (u32, String) {
    let each = written(stage, workers, 1, false);
    if each.len() <= most {
        return (1, each);
    }
    let mut share = 1;
    loop {
        let text = written(stage, workers, share, true);
        if text.len() <= most || share >= workers {
            return (share, text);
        }
        share *= 2;
    }
}

fn written(stage: &StageTimes, workers: u32, share: u32, merged: bool) -> String {
    let mut rows: Vec<Row> = vec![Vec::new(); workers.div_ceil(share) as usize + 1];
    let combine = rows.len() - 1;
    for attempt in &stage.attempts {
        let row = attempt.target.worker.map_or(combine, |worker| (worker / share) as usize);
        let Some(row) = rows.get_mut(row) else { continue };
        let bar = bar(attempt, stage.began_ms);
        match row.iter_mut().find(|last| merged && last.end == bar.end) {
            Some(last) => last.join(bar),
            None => row.push(bar),
        }
    }
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        text += if number == combine {
            "/"
        } else if number > 0 {
            "|"
        } else {
            ""
        };
        write_row(&mut text, row);
    }
    text
}

fn bar(attempt: &Attempt, began_ms: u64) -> Bar {
    Bar {
        from_ms: attempt.began_ms.saturating_sub(began_ms),
        length_ms: attempt.until_ms.saturating_sub(attempt.began_ms),
        end: attempt.end,
        attempts: 1,
    }
}

fn write_row(text: &mut String, row: &Row) {
    let mut after = 0;
    for (number, bar) in row.iter().enumerate() {
        let (from, length) = ((bar.from_ms / UNIT_MS) as i64, (bar.length_ms / UNIT_MS) as i64);
        let mark = MARKS.iter().find(|(end, _)| *end == bar.end).map_or("", |(_, mark)| mark);
        let space = if number > 0 { " " } else { "" };
        let _ = write!(text, "{space}{}+{length}{mark}", from - after);
        if bar.attempts > 1 {
            let _ = write!(text, "*{}", bar.attempts);
        }
        after = from + length;
    }
}

/// Reads the text of [`write_rows`]. Parts that cannot be read are left out: the text is only for people.
pub fn rows(text: &str) -> Vec<Row> {
    text.split(['|', '/']).map(read_row).collect()
}

fn read_row(text: &str) -> Row {
    let mut after = 0_i64;
    let bars = text.split(' ').filter_map(|bar| {
        let (gap, rest) = bar.split_once('+')?;
        let (rest, attempts) = rest.split_once('*').unwrap_or((rest, "1"));
        let digits = rest.trim_end_matches(|c: char| !c.is_ascii_digit());
        let end = MARKS.iter().find(|(_, mark)| *mark == &rest[digits.len()..])?.0;
        let from = after.checked_add(gap.parse::<i64>().ok()?)?;
        let length: u32 = digits.parse().ok()?;
        after = from.checked_add(length.into())?;
        let from_ms = u64::try_from(from).unwrap_or(0).checked_mul(UNIT_MS)?;
        Some(Bar { from_ms, length_ms: u64::from(length) * UNIT_MS, end, attempts: attempts.parse().ok()? })
    });
    bars.collect()
}

impl Bar {
    /// Adds another bar of the same row and end to this one.
    fn join(&mut self, other: Bar) {
        let until = (self.from_ms + self.length_ms).max(other.from_ms + other.length_ms);
        self.from_ms = self.from_ms.min(other.from_ms);
        self.length_ms = until - self.from_ms;
        self.attempts += other.attempts;
    }
}
