//! The end of a run: it is settled, which fixes the best model; that is published; then the end is recorded.

use super::{Reply, Turn, stage};
use crate::{Error, Fate};
use protocol::{Ending, Fact, Ledger, Reason};
use std::sync::Arc;

pub(super) fn finish(turn: &Turn<'_>, ledger: &Arc<Ledger>, why: Reason) -> Result<Reply, Error> {
    let services = turn.services;
    let mut ledger = Arc::clone(ledger);
    if ledger.over.is_none() {
        ledger = turn.record(Fact::Closed { why: why.clone(), at_ms: turn.now_ms() })?.1;
    }
    if ledger.ending.is_some() {
        return Ok(Reply::done(&ledger, &[]));
    }
    let why = ledger.over.clone().unwrap_or(why);
    let best = ledger.best.as_ref().and_then(|best| best.state.as_ref());
    let stage = stage(services, &ledger, ledger.stage);
    let publish = |state| {
        let mut work = services.workload.finish(&stage, state, None)?;
        while !work.progress().finished() {
            work.step()?;
        }
        work.publish()
    };
    let ending = match best.map(publish).transpose().map_err(Error::from) {
        Ok(model) => Ending { why, model },
        Err(error) if error.fate() == Fate::Retry => return Err(error),
        Err(error) => {
            let why = Reason::Failed(format!("{why}; then the model could not be published: {error}"));
            Ending { why, model: None }
        }
    };
    let ledger = turn.end(&ledger, ending)?;
    if let Some(model) = services.workload.show(&services.root, &ledger.run) {
        services.progress.model(&ledger.run, &model, turn.now_ms());
    }
    Ok(Reply::done(&ledger, &[]))
}
