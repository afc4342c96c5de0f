//! Samples as a workload shows them: with the pictures, if their data set is beside the run.

use crate::view::View;
use maud::{Markup, html};
use protocol::items::{Sample, Samples};

/// The groups of some samples; `place` is their place among all.
pub(super) fn groups(view: &View, place: usize, samples: &Samples) -> Markup {
    html! {
        @if !samples.note.is_empty() { p.note { (samples.note) } }
        @for (title, samples) in &samples.groups {
            h3 { (title) }
            ul.samples { @for sample in samples { (one(view, place, sample)) } }
        }
    }
}

fn one(view: &View, place: usize, sample: &Sample) -> Markup {
    let picture = sample.image.and_then(|image| view.pictures.get(&(place, image)));
    html! {
        li {
            @if let (Some(image), Some(picture)) = (sample.image, picture) {
                img src=(picture) alt=(format!("image {image}"));
            }
            span class=(if sample.truth.is_none() { "said" } else { "said false" }) { (sample.caption) }
            @if let Some(truth) = &sample.truth { span { (truth) } }
            @if let Some(image) = sample.image { span.number { (image) } }
        }
    }
}
