//! The baton command.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use clap::{Parser, Subcommand};
use setup::Failure;
use setup::{compare, list, metrics, mistakes, remove, train};
use setup::{
    demo, evaluate, export, features, fetch, local, predict, pretrain, start, status, tune, units, watch,
    weights,
};
use setup::{deploy, destroy, doctor, logs, pull, push};
use std::process::ExitCode;
use terminal::note;

/// Trains transfer-learning models on AWS Lambda, or the same way on this machine.
#[derive(Parser)]
#[command(name = "baton", version)]
struct Baton {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    Deploy(deploy::Deploy),
    Destroy(destroy::Destroy),
    Doctor(doctor::Doctor),
    Push(push::Push),
    Pull(pull::Pull),
    Logs(logs::Logs),
    Train(train::Train),
    Local(local::Local),
    Tune(tune::TuneCommand),
    Units(units::UnitsCommand),
    Start(start::Start),
    Stop(start::Stop),
    Watch(watch::Watch),
    Status(status::Status),
    List(list::List),
    Compare(compare::Compare),
    Metrics(metrics::Metrics),
    Remove(remove::Remove),
    Predict(predict::Predict),
    Mistakes(mistakes::Mistakes),
    Evaluate(evaluate::Evaluate),
    Export(export::Export),
    Fetch(fetch::Fetch),
    Weights(weights::Weights),
    Features(features::Features),
    Pretrain(pretrain::Pretrain),
}

fn main() -> ExitCode {
    match run(Baton::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note!("baton: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(demo) => on_runtime(demo.run()),
        Command::Deploy(deploy) => on_runtime(deploy.run()),
        Command::Destroy(destroy) => on_runtime(destroy.run()),
        Command::Doctor(doctor) => on_runtime(doctor.run()),
        Command::Push(push) => on_runtime(push.run()),
        Command::Pull(pull) => on_runtime(pull.run()),
        Command::Logs(logs) => on_runtime(logs.run()),
        Command::Train(train) => on_runtime(train.run()),
        Command::Local(local) => on_runtime(local.run()),
        Command::Tune(tune) => on_runtime(tune.run()),
        Command::Start(start) => on_runtime(start.run()),
        Command::Stop(stop) => on_runtime(stop.run()),
        Command::Watch(watch) => on_runtime(watch.run()),
        Command::Status(status) => on_runtime(status.run()),
        Command::List(list) => list.run(),
        Command::Compare(compare) => compare.run(),
        Command::Metrics(metrics) => metrics.run(),
        Command::Remove(remove) => remove.run(),
        Command::Mistakes(mistakes) => mistakes.run(),
        Command::Predict(predict) => predict.run(),
        Command::Evaluate(evaluate) => evaluate.run(),
        Command::Units(units) => units.run(),
        Command::Export(export) => export.run(),
        Command::Fetch(fetch) => fetch.run(),
        Command::Weights(weights) => weights.run(),
        Command::Features(features) => features.run(),
        Command::Pretrain(pretrain) => pretrain.run(),
    }
}

/// Runs a command that talks to a cloud.
fn on_runtime<E: Into<Failure>>(command: impl Future<Output = Result<(), E>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::from(error.to_string()))?;
    runtime.block_on(command).map_err(Into::into)
}
