//! Every example in the help of the commands of the first hour is run as it is typed.

use crate::desk::Desk;
use crate::weights;

/// The words of an example: without the comment after two spaces, and without a redirection.
fn words(line: &str) -> Vec<String> {
    let typed = line.split("  ").next().unwrap_or_default();
    let typed = typed.split(" > ").next().unwrap_or_default();
    typed.split_whitespace().skip(1).map(str::to_owned).collect()
}

/// Runs the lines of a help that begin with `baton`.
fn run_all(desk: &Desk, examples: &str) {
    let lines = examples.lines().map(str::trim).filter(|line| line.starts_with("baton "));
    let mut count = 0;
    for line in lines {
        let words = words(line);
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = desk.command(&arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {:?} {said}", output.status.code());
        count += 1;
    }
    assert!(count >= 2, "{examples}");
}

#[test]
fn of_train() {
    let desk = Desk::new();
    desk.patterns("photos", 3);
    desk.patterns("patterns", 3);
    desk.scans();
    desk.zipped("photos", "photos.zip");
    desk.cifar("cifar-10-python.tar.gz");
    weights::write(&desk.path("squeezenet1_1-b8a52dc0.pth"), "squeezenet1_1", "classifier").unwrap();
    run_all(&desk, setup::train::EXAMPLES);
}

#[test]
fn of_the_commands_on_runs() {
    let desk = Desk::new();
    desk.patterns("my-photos", 6);
    let train = |run: &str, seed: &str| {
        desk.says(&[
            "train",
            "my-photos",
            "--network",
            "baton_small",
            "--root",
            "efs",
            "--run",
            run,
            "--workers",
            seed,
        ]);
    };
    train("my-run", "1");
    train("another", "2");
    let link = |to: &str| std::os::unix::fs::symlink(desk.path("efs"), desk.path(to)).unwrap();
    link("baton"); // the folder if none is named
    for examples in
        [setup::list::EXAMPLES, setup::metrics::EXAMPLES, setup::mistakes::EXAMPLES, setup::compare::EXAMPLES]
    {
        run_all(&desk, examples);
    }
    // The first example of `remove` takes away a run that the second one names again.
    for line in setup::remove::EXAMPLES.lines().map(str::trim).filter(|line| line.starts_with("baton remove"))
    {
        let words = words(line);
        desk.says(&words.iter().map(String::as_str).collect::<Vec<_>>());
        train("my-run", "1");
    }
}
