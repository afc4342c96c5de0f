//! Predictions of a run's model: ratings of pairs, and the items that a user would rate highest.

use crate::model::Model;
use crate::score::Scale;
use crate::tables::Table;
use datasets::ratings::{Ratings, Side, Split};
use protocol::RunId;
use std::collections::{HashMap, HashSet};
use storage::Root;
use work::Failed;

/// An open model.
pub struct Predictor {
    model: Model,
    tables: [Table; 2],
    ids: [Vec<String>; 2],
    numbers: [HashMap<String, u32>; 2],
    scale: Scale,
}

/// An item with its predicted rating.
#[derive(Clone, Debug, PartialEq)]
pub struct Top {
    /// The item's id.
    pub item: String,
    /// The predicted rating.
    pub rating: f64,
}

impl Predictor {
    /// Opens the model of a run.
    ///
    /// # Errors
    /// [`Failed`], if there is none, or a file is damaged or cannot be read.
    pub fn open(root: &Root, run: &RunId) -> Result<Predictor, Failed> {
        let folder = root.run(run).model();
        let model = Model::open(&folder)?;
        let ids = [model.ids(&folder, Side::Users)?, model.ids(&folder, Side::Items)?];
        let number = |ids: &Vec<String>| ids.iter().cloned().zip(0..).collect();
        let [low, high] = model.scale;
        let scale = Scale { mean: model.mean, low, high };
        Ok(Predictor {
            tables: model.tables(&folder)?,
            numbers: ids.each_ref().map(number),
            ids,
            scale,
            model,
        })
    }

    /// The index of the model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Whether the model has a user or an item of this id.
    pub fn knows(&self, side: Side, id: &str) -> bool {
        self.numbers[side as usize].contains_key(id)
    }

    /// The predicted rating of an item by a user. For an id that the model does not have, the mean takes the
    /// place of its numbers.
    pub fn rating(&self, user: &str, item: &str) -> f64 {
        let zeros = vec![0.0; self.tables[0].width];
        let row = |side: Side, id: &str| match self.numbers[side as usize].get(id) {
            Some(number) => self.tables[side as usize].row(*number as usize),
            None => &zeros,
        };
        self.scale.predict(row(Side::Users, user), row(Side::Items, item))
    }

    /// The items that a user would rate highest, at most `most` of them, without those that it has rated.
    /// Equal ones are in the order of their numbers. `rated` is none if rated items are returned, too.
    ///
    /// # Errors
    /// [`Failed`], if the model does not have the user.
    pub fn top(&self, user: &str, most: usize, rated: Option<&HashSet<u32>>) -> Result<Vec<Top>, Failed> {
        let number = self.number(user)?;
        let (row, items) = (self.tables[0].row(number as usize), &self.tables[1]);
        let open =
            (0..items.rows()).filter(|item| !rated.is_some_and(|rated| rated.contains(&(*item as u32))));
        let mut found: Vec<(f64, usize)> =
            open.map(|item| (self.scale.unbounded(row, items.row(item)), item)).collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let top = |(_, item): &(f64, usize)| Top {
            item: self.ids[1][*item].clone(),
            rating: self.scale.predict(row, items.row(*item)),
        };
        Ok(found.iter().take(most).map(top).collect())
    }

    /// The items that a user has rated in any split of the model's data set.
    ///
    /// # Errors
    /// [`Failed`], if the model does not have the user, or the data set is not that of the model.
    pub fn rated(&self, root: &Root, user: &str) -> Result<HashSet<u32>, Failed> {
        let number = self.number(user)?;
        let data = Ratings::open(&root.dataset(&self.model.dataset)?)?;
        if data.key() != self.model.dataset_key {
            let what = format!("data set {:?}", self.model.dataset);
            let expected = "the ratings that the model was made from, for the items that the user has rated";
            return Err(Failed::argument(what, expected, "others; --with-rated goes without them"));
        }
        let starts = data.starts(Side::Users)?;
        let places = starts[number as usize]..starts[number as usize + 1];
        let mut rated: HashSet<u32> = data.rated(Side::Users, places)?.others.into_iter().collect();
        for split in [Split::Val, Split::Test] {
            let held_out = data.held_out(split)?;
            let of_user = held_out.users.iter().zip(held_out.items).filter(|(user, _)| **user == number);
            rated.extend(of_user.map(|(_, item)| item));
        }
        Ok(rated)
    }

    fn number(&self, user: &str) -> Result<u32, Failed> {
        self.numbers[0].get(user).copied().ok_or_else(|| {
            let expected = format!("one of {} users of {:?}", self.ids[0].len(), self.model.dataset);
            Failed::argument("the user", expected, format!("{user:?}"))
        })
    }
}
