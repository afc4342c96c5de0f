//! Work that is one step: short enough for any leg.

use crate::{Failed, Progress, Work};
use protocol::FileRef;

struct AtOnce<F, Made> {
    work: Option<F>,
    made: Option<Made>,
}

/// Work of one step, which is `work`.
pub fn at_once<'a, Made: 'a, F>(work: F) -> Box<dyn Work<Made> + 'a>
where
    F: FnOnce() -> Result<Made, Failed> + 'a,
{
    Box::new(AtOnce { work: Some(work), made: None })
}

impl<Made, F: FnOnce() -> Result<Made, Failed>> Work<Made> for AtOnce<F, Made> {
    fn step(&mut self) -> Result<(), Failed> {
        if let Some(work) = self.work.take() {
            self.made = Some(work()?);
        }
        Ok(())
    }

    fn progress(&self) -> Progress {
        Progress { done: self.made.is_some().into(), of: 1 }
    }

    fn save(&mut self) -> Result<FileRef, Failed> {
        Err(Failed::halt("work of one step has no place to save: it is done or not begun"))
    }

    fn publish(&mut self) -> Result<Made, Failed> {
        self.made.take().ok_or_else(|| Failed::halt("work of one step was published before it was done"))
    }
}
