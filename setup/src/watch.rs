//! `baton watch`: the progress of a run, live in a terminal, as plain lines elsewhere.

use crate::cloud::Cloud;
use crate::told;
use crate::view::View;
use indicatif::{ProgressBar, ProgressStyle};
use protocol::{At, Event, RunId, Score};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use terminal::{note, say, shown};

/// How long the table may fail, or the run be unknown, before watching ends.
const UNSEEN: Duration = Duration::from_secs(20);
/// How long one read of the table may take: the SDK itself would wait for ever.
const LOOK: Duration = Duration::from_secs(5);
/// The longest pause between two ticks for a run that stands still.
const LONGEST: Duration = Duration::from_secs(600);

/// Watches a run until it ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    baton watch --root efs --run my-run      a run of the local cloud on this folder\n  \
    baton watch --run my-run --table baton   a run on AWS, with your own credentials\n  \
    baton watch --root efs --run my-run --json --once\n\
    If a run stands still, a tick is sent, which sends lost events again.")]
pub struct Watch {
    /// The folder of a local cloud; without it AWS is asked, with the SDK's own credentials.
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// The run.
    #[arg(long)]
    pub run: String,
    /// The DynamoDB table.
    #[arg(long, default_value = crate::cloud::TABLE)]
    pub table: String,
    /// The function's name.
    #[arg(long, default_value = crate::cloud::FUNCTION)]
    pub function: String,
    /// Send a tick if the run has shown nothing new for this long, and again after twice that.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub still: Duration,
    /// One JSON object per change instead of text.
    #[arg(long)]
    pub json: bool,
    /// Print the state now, and end.
    #[arg(long)]
    pub once: bool,
}

impl Watch {
    /// Watches.
    ///
    /// # Errors
    /// In words: the table does not answer, or there is no such run.
    pub async fn run(&self) -> Result<(), String> {
        let cloud = Cloud::find(self.root.as_deref()).await?;
        let run = RunId::new(&self.run).map_err(|error| error.to_string())?;
        let (mut screen, mut stillness) = (Screen::new(self.json), Stillness::new(self.still));
        let mut seen = Instant::now();
        loop {
            let view = tokio::time::timeout(LOOK, View::read(&cloud.tables, &self.table, &self.run)).await;
            let unseen = self.once || seen.elapsed() > UNSEEN;
            match view.unwrap_or_else(|_| Err(format!("table {}: no answer within {LOOK:?}", self.table))) {
                Ok(Some(view)) => {
                    seen = Instant::now();
                    screen.show(&view);
                    if view.state.ended || self.once {
                        screen.close();
                        return Ok(());
                    }
                    if stillness.lasts(view) {
                        self.ask_to_move(&cloud, &run, &screen).await;
                    }
                }
                Ok(None) if unseen => {
                    let table = &self.table;
                    return Err(format!("run: found {:?}, expected a run in table {table:?}", self.run));
                }
                Err(error) if unseen => return Err(error),
                Ok(None) | Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    }

    /// Sends the watchdog's tick: overdue work is sent again, and nothing else.
    async fn ask_to_move(&self, cloud: &Cloud, run: &RunId, screen: &Screen) {
        let tick = Event::Tick { run: Some(run.clone()) };
        match cloud.send(&self.function, &tick, false).await {
            Ok(_) => screen.say("  nothing new for a while: a tick is sent, in case an event was lost"),
            Err(error) => {
                screen.say(&format!("  nothing new for a while, and a tick could not be sent: {error}"))
            }
        }
    }
}

/// How long a run has shown nothing new.
struct Stillness {
    first: Duration,
    wait: Duration,
    last: Option<(View, Instant)>,
}

impl Stillness {
    fn new(first: Duration) -> Stillness {
        Stillness { first, wait: first, last: None }
    }

    /// Whether it has now lasted long enough to act; after this it must last twice as long.
    fn lasts(&mut self, view: View) -> bool {
        match &mut self.last {
            Some((last, since)) if *last == view => {
                let lasts = since.elapsed() >= self.wait;
                if lasts {
                    (*since, self.wait) = (Instant::now(), (self.wait * 2).min(LONGEST.max(self.first)));
                }
                lasts
            }
            _ => {
                (self.last, self.wait) = (Some((view, Instant::now())), self.first);
                false
            }
        }
    }
}

/// Draws views: a moving line in a terminal, a line per change elsewhere.
pub struct Screen {
    json: bool,
    /// Whether each round is told.
    rounds: bool,
    silent: bool,
    bar: Option<ProgressBar>,
    told: BTreeSet<u32>,
    /// Whether the last scored round was told to diverge.
    diverges: bool,
    last: Option<(View, Instant)>,
    last_line: String,
}

impl Screen {
    /// A screen on standard error; JSON goes to standard output.
    pub fn new(json: bool) -> Screen {
        let bar = (!json && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(1_000);
            let style = ProgressStyle::with_template("  {bar:20} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Screen {
            json,
            rounds: true,
            silent: false,
            bar,
            told: BTreeSet::new(),
            diverges: false,
            last: None,
            last_line: String::new(),
        }
    }

    /// A screen of one line, without those of the rounds; silent if the result is JSON.
    pub(crate) fn of_one_line(json: bool) -> Screen {
        Screen { rounds: false, silent: json, ..Screen::new(json) }
    }

    /// Shows a view if it has anything new.
    pub fn show(&mut self, view: &View) {
        if self.silent {
            return;
        }
        let quiet = self.last.as_ref().is_some_and(|(last, at)| {
            last == view
                || (last.state.stage == view.state.stage
                    && !view.state.ended
                    && at.elapsed() < Duration::from_secs(3))
        });
        if self.json {
            if self.last.as_ref().is_none_or(|(last, _)| last != view) {
                say!("{}", view.to_json());
            }
        } else {
            self.tell_rounds(view);
            match &self.bar {
                Some(bar) => {
                    bar.set_position((view.share() * 1_000.0) as u64);
                    bar.set_message(shown(self.words(view)));
                }
                None if !quiet => self.say_if_new(view),
                None => {}
            }
        }
        if !quiet {
            self.last = Some((view.clone(), Instant::now()));
        }
    }

    /// A line for each round that was scored since the last view; if there are many, only for some.
    fn tell_rounds(&mut self, view: &View) {
        let mut before = 0;
        for (round, score) in view.scores() {
            if self.told.insert(round) {
                if self.rounds && is_told(round, before, view.course.rounds) {
                    let numbers = told::numbers(&view.course, &score);
                    let numbers: String = numbers.map(|(name, value)| format!("  {name} {value}")).collect();
                    self.say(&format!("  {:<5} {round:>4}{numbers}", view.course.called));
                }
                self.tell_divergence(view, (round, &score));
            }
            before = round;
        }
    }

    /// A line when training begins to diverge.
    fn tell_divergence(&mut self, view: &View, scored: (u32, &Score)) {
        let best = view.best().filter(|(round, _)| *round < scored.0);
        let told = best.and_then(|(round, best)| told::divergence(&view.course, scored, (round, &best)));
        if let Some(words) = told.as_ref().filter(|_| !self.diverges) {
            self.say(&format!("  {words}"));
        }
        self.diverges = told.is_some();
    }

    /// A view in one line.
    fn words(&self, view: &View) -> String {
        if self.rounds { line(view) } else { brief(view) }
    }

    fn say_if_new(&mut self, view: &View) {
        let line = self.words(view);
        if self.last_line != line {
            note!("  {line}");
            self.last_line = line;
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note!("{text}")),
            None => note!("{text}"),
        }
    }

    /// Leaves the terminal as it was.
    pub fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Whether a scored round is printed, if the one before it is known: the first, the last, and the first after
/// each twentieth of the run.
fn is_told(round: u32, before: u32, rounds: u32) -> bool {
    let every = (rounds / 20).max(1);
    round == 1 || round / every > before / every || round == rounds
}

/// A view in one line.
fn line(view: &View) -> String {
    let (course, state) = (&view.course, &view.state);
    let mut line = format!("{}: {}", view.run, course.words(state.stage));
    match course.at(state.stage) {
        At::Round { .. } => line += &format!(" of {}", course.rounds),
        At::End if course.rounds > 0 => {
            line += &format!(", {} of {} {}s done", view.round(), course.rounds, course.called);
        }
        At::Before(_) | At::End => {}
    }
    if course.at(state.stage) != At::End {
        line += &format!(", {}", told::done(state));
    }
    let legs = view.reports.values().filter(|r| r.stage == state.stage).map(|r| r.leg + 1).max().unwrap_or(0);
    if legs > 1 && state.shares == 0 {
        line += &format!(", leg {legs}");
    }
    if !state.ended {
        line += &pace(view);
    }
    if let Some((round, best)) = view.best()
        && let Some((name, value)) = told::numbers(course, &best).next()
    {
        line += &format!(", best {name} {value} in {} {round}", course.called);
    }
    if state.ended { format!("{line}, {}", state.status) } else { line }
}

/// A view in one line beside a bar of 20, in 80 columns: the stage, the best score, the remaining time.
fn brief(view: &View) -> String {
    let (course, state) = (&view.course, &view.state);
    let mut line = course.words(state.stage);
    let (left, of) = match course.at(state.stage) {
        At::Round { .. } => (view.rounds_left_ms().map(|ms| ms as f64 / 1_000.0), course.rounds),
        _ => (view.seconds_left(), 0),
    };
    if of > 0 {
        line += &format!(" of {of}");
    }
    if let Some((name, value)) = view.best().and_then(|(_, best)| {
        told::numbers(course, &best).next().map(|(name, value)| (name.to_owned(), value))
    }) {
        line += &format!(", {name} {value}");
    }
    line + &left.map(|left| format!(", {left:.0} s left")).unwrap_or_default()
}

/// The speed of the current stage and its remaining time, if known.
fn pace(view: &View) -> String {
    let rate = view.units_per_second();
    let at = view.course.at(view.state.stage);
    let mut pace = String::new();
    // Shares differ in size: the progress of the current shares does not predict that of the others.
    if view.state.shares > 0 {
        return format!(", {rate:.1} {}/s", view.course.unit);
    }
    if matches!(at, At::Before(_)) || rate > 0.0 {
        pace += &format!(", {:.0} %, {rate:.1} {}/s", 100.0 * view.share(), view.course.unit);
    }
    match (at, view.seconds_left(), view.rounds_left_ms()) {
        (At::Before(_), Some(left), _) => pace + &format!(", {left:.0} s left"),
        (At::Round { .. }, _, Some(left)) => pace + &format!(", {:.0} s left", left as f64 / 1_000.0),
        _ => pace,
    }
}

/// `20s`, `5m`, `1500ms`, or seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        _ => return Err(format!("found {text:?}, expected a time such as 20s, 5m or 1500ms")),
    };
    let number: f64 = number.parse().map_err(|_| format!("found {text:?}, expected a time such as 20s"))?;
    Ok(Duration::from_secs_f64(number * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::told::tests::course;
    use protocol::Course;
    use protocol::items::RunItem;

    fn line_at(course: &Course, stage: u32, rounds_done: u32) -> String {
        let state = RunItem { stage, rounds_done, workers: 3, workers_done: 2, ..RunItem::default() };
        line(&View { course: course.clone(), ..View::new("r", state) })
    }

    #[test]
    fn the_stage_is_told_in_the_words_of_the_course() {
        let sliced = course(&["train", "sums"], 5);
        assert_eq!(line_at(&sliced, 0, 0), "r: features, 2 of 3 workers done, 0 %, 0.0 images/s");
        assert_eq!(line_at(&sliced, 3, 1), "r: round 2 of 5, 2 of 3 workers done");
        assert_eq!(line_at(&sliced, 4, 1), "r: sums of round 2 of 5, 2 of 3 workers done");
        assert_eq!(line_at(&sliced, 11, 4), "r: the end, 4 of 5 rounds done");
        let units = Course { before: vec!["frames".into()], measures: Vec::new(), ..course(&[], 0) };
        assert_eq!(line_at(&units, 0, 0), "r: frames, 2 of 3 workers done, 0 %, 0.0 images/s");
        assert_eq!(line_at(&units, 1, 0), "r: the end");
    }

    #[test]
    fn of_many_scored_rounds_a_twentieth_is_told_and_of_few_all() {
        let told = |every: usize, rounds: u32| {
            let scored: Vec<u32> = (0..=rounds).step_by(every).collect();
            let told = scored.windows(2).filter(|pair| is_told(pair[1], pair[0], rounds));
            told.map(|pair| pair[1]).collect::<Vec<_>>()
        };
        assert_eq!(told(1, 8), (1..=8).collect::<Vec<_>>());
        assert_eq!(told(1, 60)[..4], [1, 3, 6, 9]);
        assert_eq!(told(313, 8 * 313), (1..=8).map(|n| n * 313).collect::<Vec<_>>());
    }
}
