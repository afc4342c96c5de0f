//! The tables of the page: scores, and the nearest neighbours of the items and users with the most ratings.

use crate::model::{Model, Scored};
use crate::tables::Table as Numbers;
use datasets::ratings::Side;
use protocol::items::{Cell, Shown, Table};
use std::path::Path;
use work::Failed;

/// Rows of a table of neighbours, and neighbours of each.
const ROWS: usize = 8;
const NEIGHBOURS: usize = 3;

/// The tables of a model in this folder.
pub(crate) fn shown(folder: &Path, model: &Model) -> Result<Shown, Failed> {
    let [users, items] = model.tables(folder)?;
    let mut tables = vec![scores(model)];
    for (side, numbers, title) in [(Side::Items, items, "Items"), (Side::Users, users, "Users")] {
        tables.push(neighbours(title, &numbers, &model.ids(folder, side)?));
    }
    Ok(Shown { tables, samples: Vec::new() })
}

fn scores(model: &Model) -> Table {
    let row = |(split, scored): (&str, &Option<Scored>)| {
        let Scored { rmse, mae, rmse_of_mean, of } = (*scored)?;
        let numbers = [rmse, mae, rmse_of_mean].map(Cell::Number);
        Some([vec![Cell::Text(split.into())], numbers.to_vec(), vec![Cell::Count(of)]].concat())
    };
    let columns = ["split", "RMSE", "MAE", "RMSE of the mean", "ratings"];
    let (users, items) = (model.users.count, model.items.count);
    Table {
        title: "Scores".into(),
        note: match &model.unscored {
            Some(why) => format!("The model has no scores: {why}."),
            None => format!("{} ratings of {items} items by {users} users were trained on.", model.ratings),
        },
        columns: columns.map(str::to_owned).to_vec(),
        rows: [("val", &model.val), ("test", &model.test)].into_iter().filter_map(row).collect(),
        ..Table::default()
    }
}

/// The rows with the most ratings, which come first, and those whose factors have the most similar direction.
fn neighbours(title: &str, numbers: &Numbers, ids: &[String]) -> Table {
    let length = |row: &[f32]| row[1..].iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let cosine = |a: &[f32], b: &[f32]| {
        let product: f64 = a[1..].iter().zip(&b[1..]).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
        product / (length(a) * length(b)).max(f64::MIN_POSITIVE)
    };
    let row = |at: usize| {
        let mut near: Vec<(f64, usize)> = (0..numbers.rows())
            .filter(|other| *other != at)
            .map(|other| (cosine(numbers.row(at), numbers.row(other)), other))
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let told =
            near.iter().take(NEIGHBOURS).map(|(cosine, other)| format!("{} ({cosine:.2})", ids[*other]));
        let told: Vec<String> = told.collect();
        vec![Cell::Text(ids[at].clone()), Cell::Text(told.join(", "))]
    };
    Table {
        title: format!("{title} and their nearest"),
        note: "Those with the most ratings; the nearest by the cosine of their factors.".into(),
        columns: vec!["id".into(), "nearest".into()],
        rows: (0..numbers.rows().min(ROWS)).map(row).collect(),
        ..Table::default()
    }
}
