//! For each law a mutation that turns it off, and how soon the simulator finds it.

mod code {
    pub(crate) use mutants::{learning, protocol, storage, trainer};
}
mod simulation;

#[test]
fn probe() {
    let n: u64 = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    let first: u64 = std::env::var("FIRST").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let begun = std::time::Instant::now();
    let (sum, failed) = simulation::run(first..first + n);
    println!("{sum:?} {:?}", begun.elapsed());
    if let Some((seed, what)) = failed {
        let history = simulation::history(seed);
        let lines: Vec<&str> = history.lines().collect();
        for line in &lines[lines.len().saturating_sub(60)..] {
            println!("{}", &line[..line.len().min(170)]);
        }
        panic!("seed {seed}: {what}");
    }
}
#[test]
fn floats() {
    for k in 0..97u64 {
        let x = k as f64 / 97.0;
        let y: f64 = serde_json::from_str(&serde_json::to_string(&x).unwrap()).unwrap();
        if x != y {
            println!("{k}: {x:?} {y:?}");
        }
    }
}
