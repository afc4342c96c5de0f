//! The point at which a job's network is cut: frozen below it, trained above.

use crate::Result;
use crate::job::{Head, Job, Pooling};
use crate::weights::Weights;
use networks::{Network, Shape};

/// The point up to which a job's network is frozen.
pub(crate) fn cut(job: &Job, whole: &Network) -> Result<String> {
    Ok(match (&job.cut, &job.head) {
        (Some(cut), _) => cut.clone(),
        (None, Head::Classifier) => whole.below_classifier()?.to_owned(),
        (None, _) => whole.default_cut.to_owned(),
    })
}

/// The same with these weights. If the job leaves the point open and the weights end before it, it is the
/// last map that they reach. They may have nothing but the convolutions.
pub(crate) fn cut_within(job: &Job, whole: &Network, weights: &Weights) -> Result<String> {
    let cut = cut(job, whole)?;
    let open = job.cut.is_none() && matches!(job.head, Head::Softmax | Head::Mlp { .. });
    if !open || weights.cover(&whole.up_to(&cut)?) {
        return Ok(cut);
    }
    let side = job.image_size as usize;
    for point in whole.points.iter().rev() {
        let part = whole.up_to(&point.name)?;
        if is_map(&part, side) && weights.cover(&part) {
            return Ok(point.name.clone());
        }
    }
    Ok(cut)
}

/// Whether a map at the cut is averaged. The job decides, or the head: linear layers learn little from the
/// places in a map, and it has a hundred times as many numbers as its mean.
pub(crate) fn pools(job: &Job, at_cut: Shape) -> bool {
    let linear = matches!(job.head, Head::Softmax | Head::Mlp { .. });
    let open = linear && !matches!(at_cut, Shape::Vector { .. });
    job.pool.map_or(open, |pool| pool == Pooling::Average)
}

fn is_map(part: &Network, side: usize) -> bool {
    part.shapes(side, side).is_ok_and(|shapes| matches!(shapes[part.output()], Shape::Map { .. }))
}
