//! Time and memory of a benchmark's rounds, and how they are printed: the same for Baton and for burn.

use std::time::Instant;

/// One round: wall seconds, and CPU seconds of all threads.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    wall: f64,
    busy: f64,
}

impl Round {
    /// Times one round.
    pub(crate) fn of<R, E>(round: impl FnOnce() -> Result<R, E>) -> Result<Round, E> {
        let (start, busy) = (Instant::now(), processor_seconds());
        round()?;
        Ok(Round { wall: start.elapsed().as_secs_f64(), busy: processor_seconds() - busy })
    }
}

/// Prints the rounds and the memory, and returns images per second at the median and per busy CPU at the
/// best.
pub(crate) fn summary(what: &str, batch: usize, mut rounds: Vec<Round>) -> (f64, f64) {
    rounds.sort_by(|a, b| a.wall.total_cmp(&b.wall));
    let images = batch as f64;
    let (median, best) = (images / rounds[rounds.len() / 2].wall, images / rounds[0].wall);
    let busy = images / rounds.iter().map(|round| round.busy).fold(f64::INFINITY, f64::min);
    println!("{what}: median {median:.2}, best {best:.2} images/s, {busy:.2} per busy CPU");
    println!("  peak memory {} MB", peak_memory() / 1_000_000);
    (median, busy)
}

/// CPU seconds of this process, all threads: the load of other processes does not count.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat");
    let own = |text: String| text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let each = threads
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(own);
    let total: f64 = each.sum();
    if total > 0.0 { total * 1e-9 } else { stat.ok().and_then(own).unwrap_or(0.0) * 1e-9 }
}

/// The most bytes that were resident.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0) << 10
}
