//! The end of a run: the product of its best state is scored and published, in legs; then the end is
//! recorded.

use super::leg::{self, Ended};
use super::{Reply, Turn, stage};
use crate::Error;
use protocol::{Ending, Ledger, Target};
use std::sync::Arc;
use work::Last;

pub(super) fn leg(turn: &Turn<'_>, ledger: Arc<Ledger>, target: Target) -> Result<Reply, Error> {
    let services = turn.services;
    let Some(why) = ledger.over.clone().filter(|_| ledger.has_product()) else {
        return Ok(Reply::ignored("the run has nothing to publish".into()));
    };
    let (unscored, cut_short) = (ledger.end.unscored.as_deref(), ledger.cut_short());
    let (best, cut_short) = (ledger.product(), cut_short.as_ref());
    let last = Last { best, cut_short, unscored, place: ledger.combine.place.as_ref() };
    let mut work =
        services.workloads.find(&ledger.job)?.finish(&stage(services, &ledger, target.stage), last)?;
    let model = match leg::run(turn, target, &mut *work, |_, _| ())? {
        Ended::NotWanted(why) => return Ok(Reply::ignored(why)),
        Ended::CutShort(fact) => {
            let (recorded, ledger) = turn.record(fact)?;
            return turn.send(&ledger, &recorded.due);
        }
        Ended::Finished(model) => model,
    };
    let ending = Ending { why, model: Some(model), unscored: unscored.map(str::to_owned) };
    turn.end(&ledger, ending)
}
