//! Operators that say of each text, as a number, how much it is like what is wanted: a score for policies, and a filter
//! where a threshold is given.
//!
//! Both look at hashed n-grams of words, and learn from examples that the recipe names by URL; opening those is the
//! composition's ([`Datasets`](super::Datasets)).

pub(super) mod dsir;
mod model;
mod ngrams;
pub(super) mod quality;

pub use model::QualityModel;

use super::{
    Texts,
    spec::{Column, Settings},
    texts::is_text,
};
use crate::{Error, Place, Result};

/// The one text column that an operator scores.
fn text_column(settings: &mut Settings<'_>) -> Result<Column, String> {
    match settings.columns()?.as_slice() {
        [column] if is_text(&column.data_type) => Ok(column.clone()),
        [column] => Err(format!("column `{}` holds {}; it scores texts", column.name, column.data_type)),
        columns => Err(format!("{} columns are named; it scores the texts of one", columns.len())),
    }
}

/// What an operator's score is called: as the recipe says, since two operators may not give the same, or as the operator.
fn score_name(own: Option<String>, operator: &str) -> Result<String, String> {
    match own {
        Some(name) if name.trim().is_empty() => Err("`score` is blank; it is the name that policies read".to_owned()),
        own => Ok(own.unwrap_or_else(|| operator.to_owned())),
    }
}

/// Calls `each` with the texts of the column `name` of another dataset; says how many there were.
fn each_text(settings: &Settings<'_>, url: &str, name: &str, each: &mut dyn FnMut(&str)) -> Result<u64, String> {
    let mut count = 0;
    settings.dataset(url, &mut |data| {
        let wrong = |what: &str| Error::data(Place::default().column(name), format!("`{url}`: {what}"));
        let array = data.column_by_name(name).ok_or_else(|| wrong("there is no such column"))?;
        let texts = Texts::of(array.as_ref()).ok_or_else(|| wrong("expected text"))?;
        for text in (0..texts.len()).filter_map(|row| texts.get(row)) {
            each(text);
            count += 1;
        }
        Ok(())
    })?;
    if count == 0 {
        return Err(format!("`{url}` holds no text in column `{name}`: give examples"));
    }
    Ok(count)
}
