//! What a model says of some images of the validation split: with the pictures, where the data set lies beside the run.

use super::words::number;
use crate::view::{Example, View};
use maud::{Markup, html};

/// Some images, and the surest mistakes; nothing before there is a model.
pub(super) fn section(view: &View) -> Option<Markup> {
    let [examples, mistakes] = view.examples();
    if examples.is_empty() {
        return None;
    }
    let names = view.confusion.as_ref().map(|item| serde_json::from_str(&item.names).unwrap_or_default());
    let names: Vec<String> = names.unwrap_or_default();
    Some(html! {
        p.note { "Of the validation split; a number is the image's place in it." }
        (row(view, &names, "Evenly spread", &examples))
        @if !mistakes.is_empty() { (row(view, &names, "The surest mistakes", &mistakes)) }
    })
}

fn row(view: &View, names: &[String], title: &str, examples: &[Example]) -> Markup {
    let name = |class: usize| names.get(class).map_or_else(|| format!("class {class}"), String::clone);
    html! {
        h3 { (title) }
        ul.samples {
            @for &(image, truth, predicted, probability) in examples {
                li {
                    @if let Some(picture) = view.pictures.get(&image) {
                        img src=(picture) alt=(format!("image {image}"));
                    }
                    span class=(if truth == predicted { "said" } else { "said false" }) {
                        (name(predicted)) " " (number(100.0 * probability, 0)) "\u{a0}%"
                    }
                    @if truth != predicted { span { "is " (name(truth)) } }
                    span.number { (image) }
                }
            }
        }
    }
}
