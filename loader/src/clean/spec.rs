//! From a recipe's `[[clean]]` tables to operators: which there are, on which columns they stand, and what becomes of
//! the rows that they speak against.

use super::{
    Action, Operator,
    action::DEFAULT_FLOOR,
    decodable, decontaminate, exact_duplicate, html, image_duplicate, image_quality, image_size,
    matcher::Matcher,
    missing, near_duplicate, paragraph_duplicate, predicate, range,
    score::{dsir, quality},
    table::{category, dependency, outlier, schema, unique},
    text::{
        address, bad_words, c4, fineweb, gopher_quality, gopher_repetition, language, length, line_rules, pattern, pii,
    },
    unicode,
};
use crate::{
    Error, Result,
    byte_size::ByteSize,
    spelling::{advice, cut},
    strict,
};
use arrow::{
    datatypes::{DataType, Schema},
    record_batch::RecordBatch,
};
use serde::{Deserialize, de::DeserializeOwned};
use toml::Table;

/// One `[[clean]]` table: an operator's name and everything beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorSpec {
    /// The operator's contract name: `missing`, `range`, `exact_duplicate`, `decodable`.
    pub op: String,
    /// `column` or `columns`, `action`, and the operator's own options.
    pub options: Table,
}

/// Datasets that operators name beside the one that is cleaned: evaluation sets, examples of what is wanted.
pub trait Datasets {
    /// Calls `each` with the rows of the dataset at `url`, stretch by stretch, in plan order.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where there is none, [`Error::Data`] and [`Error::Io`] where it cannot be read; and the first
    /// error of `each`.
    fn read(&self, url: &str, each: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()>;
}

/// Where no operator may name a dataset.
pub(super) struct NoDatasets;

impl Datasets for NoDatasets {
    fn read(&self, url: &str, _: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        Err(Error::recipe(format!("`{url}`: no other dataset can be read here")))
    }
}

/// An operator, by what its verdicts depend on.
pub(super) enum Built {
    /// On the block alone.
    Pure(Box<dyn Operator>),
    /// On earlier rows too.
    Matching(Box<dyn Matcher>),
}

/// An operator where it stands in a recipe.
pub(super) struct Stands {
    pub(super) built: Built,
    pub(super) action: Action,
    /// The frame's own options that decide, in a canonical text.
    pub(super) frame: String,
    /// Which of two rows that match is the earlier one.
    pub(super) order: Order,
    /// The most bytes that it may remember.
    pub(super) memory: Option<u64>,
    /// The share of the blocks that its survey looks at.
    pub(super) survey: f64,
}

impl Stands {
    /// An operator that no recipe names.
    pub(super) fn own(operator: Box<dyn Operator>, action: Action) -> Self {
        let (built, frame) = (Built::Pure(operator), String::new());
        Self { built, action, frame, order: Order::Stream, memory: None, survey: 1.0 }
    }
}

/// How an operator is made from its settings; an error is what is wrong with them.
type Build = fn(Settings<'_>) -> Result<Built, String>;

/// Every operator that a recipe can name.
const OPERATORS: &[(&str, Build)] = &[
    (address::NAME, address::build),
    (bad_words::NAME, bad_words::build),
    (c4::NAME, c4::build),
    (image_quality::BLURRY, image_quality::build_blurry),
    (image_quality::DARK, image_quality::build_dark),
    (decodable::NAME, decodable::build),
    (decontaminate::NAME, decontaminate::build),
    (category::NAME, category::build),
    (dependency::NAME, dependency::build),
    (dsir::NAME, dsir::build),
    (exact_duplicate::NAME, exact_duplicate::build),
    (fineweb::NAME, fineweb::build),
    (gopher_quality::NAME, gopher_quality::build),
    (gopher_repetition::NAME, gopher_repetition::build),
    (html::NAME, html::build),
    (language::NAME, language::build),
    (length::NAME, length::build),
    (line_rules::NAME, line_rules::build),
    (missing::NAME, missing::build),
    (outlier::NAME, outlier::build),
    (pattern::NAME, pattern::build),
    (pii::NAME, pii::build),
    (image_duplicate::NAME, image_duplicate::build),
    (image_size::NAME, image_size::build),
    (image_quality::LIGHT, image_quality::build_light),
    (image_quality::LOW_INFORMATION, image_quality::build_low_information),
    (near_duplicate::NAME, near_duplicate::build),
    (paragraph_duplicate::NAME, paragraph_duplicate::build),
    (predicate::NAME, predicate::build),
    (quality::NAME, quality::build),
    (range::NAME, range::build),
    (schema::NAME, schema::build),
    (unicode::NAME, unicode::build),
    (unique::NAME, unique::build),
];

/// The options that are the frame's, and the same for every operator.
const SHARED: [&str; 7] = ["action", "column", "columns", "memory", "order", "survey", "weigh_floor"];

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum NamedAction {
    Drop,
    Weigh,
    Annotate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    action: Option<NamedAction>,
    column: Option<String>,
    columns: Option<Vec<String>>,
    memory: Option<ByteSize>,
    order: Option<Order>,
    survey: Option<f64>,
    weigh_floor: Option<f64>,
}

/// Which of two rows that match is the earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// The one that the stream reads first.
    #[default]
    Stream,
    /// The one that stands first in the plan.
    Plan,
}

impl Order {
    const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Plan => "plan",
        }
    }
}

/// A column that an operator stands on.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its index in the schema.
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) data_type: DataType,
}

/// What a `[[clean]]` table says beside the operator's name and action.
pub(super) struct Settings<'a> {
    columns: Option<Vec<Column>>,
    own: Table,
    /// The most bytes that a stateful operator may remember, where the recipe says so.
    pub(super) memory: Option<u64>,
    /// The schema of the rows to be judged.
    pub(super) schema: &'a Schema,
    datasets: &'a dyn Datasets,
}

impl Settings<'_> {
    /// The operator's own options.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        strict::read(&self.own).map_err(|fault| fault.beside(&SHARED).to_string())
    }

    /// Calls `each` with the rows of another dataset, which the recipe names by its URL.
    pub(super) fn dataset(&self, url: &str, each: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<(), String> {
        self.datasets.read(url, each).map_err(|error| error.to_string())
    }

    /// The columns named, where they are.
    pub(super) fn named_columns(&mut self) -> Option<Vec<Column>> {
        self.columns.take()
    }

    /// The columns named, of an operator that needs some.
    pub(super) fn columns(&mut self) -> Result<Vec<Column>, String> {
        self.named_columns().ok_or_else(|| "say which column it judges: `column = \"…\"` or `columns = […]`".to_owned())
    }
}

/// The operator of the recipe's `number`th `[[clean]]` table (from 1), and what the frame is told about it.
pub(super) fn build(number: usize, spec: &OperatorSpec, schema: &Schema, datasets: &dyn Datasets) -> Result<Stands> {
    let wrong = |what| Error::recipe(format!("[[clean]] {number} (`{}`): {what}", cut(&spec.op)));
    let Some((_, build)) = OPERATORS.iter().find(|(name, _)| *name == spec.op) else {
        let known: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
        return Err(wrong(format!("there is no such operator{}", advice(&spec.op, &known, "the known operators are"))));
    };
    let (shared, own) = spec.options.clone().into_iter().partition(|(key, _)| SHARED.contains(&key.as_str()));
    let shared: Shared = strict::read(&shared).map_err(|fault| wrong(fault.to_string()))?;
    let (order, memory, survey) = (shared.order, shared.memory.map(|memory| memory.0), shared.survey);
    let action = action_of(&shared).map_err(wrong)?;
    let columns = columns_of(shared, schema).map_err(wrong)?;
    let built = build(Settings { columns, own, memory, schema, datasets }).map_err(wrong)?;
    let surveys = matches!(&built, Built::Pure(operator) if operator.survey().is_some());
    let misplaced = match &built {
        Built::Pure(_) if order.is_some() => Some("`order` is for operators that hold rows against earlier ones"),
        Built::Pure(_) if memory.is_some() => Some("`memory` is for operators that hold rows against earlier ones"),
        _ if survey.is_some() && !surveys => Some("`survey` is for operators that learn from the data first"),
        _ => None,
    };
    if let Some(what) = misplaced {
        return Err(wrong(format!("{what}; leave it out")));
    }
    let share = survey.unwrap_or(1.0);
    if !(share > 0.0 && share <= 1.0) {
        return Err(wrong(format!("`survey` = {share}: must be a share of the blocks, above 0 and at most 1")));
    }
    let order = order.unwrap_or_default();
    let frame = match &built {
        Built::Matching(_) => format!("order = {}, memory = {memory:?}", order.name()),
        Built::Pure(_) if surveys => format!("survey = {share:?}"),
        Built::Pure(_) => String::new(),
    };
    Ok(Stands { built, action, frame, order, memory, survey: share })
}

fn action_of(shared: &Shared) -> Result<Action, String> {
    let floor = shared.weigh_floor.unwrap_or(DEFAULT_FLOOR);
    if !(1e-3..=1.0).contains(&floor) {
        return Err(format!("`weigh_floor` = {floor}: must be at least 0.001 and at most 1"));
    }
    match shared.action {
        Some(NamedAction::Weigh) => Ok(Action::Weigh { floor }),
        _ if shared.weigh_floor.is_some() => {
            Err("`weigh_floor` is for `action` = \"weigh\": say so, or leave it out".to_owned())
        }
        None | Some(NamedAction::Drop) => Ok(Action::Drop),
        Some(NamedAction::Annotate) => Ok(Action::Annotate),
    }
}

fn columns_of(shared: Shared, schema: &Schema) -> Result<Option<Vec<Column>>, String> {
    let names = match (shared.column, shared.columns) {
        (None, None) => return Ok(None),
        (Some(column), None) => vec![column],
        (None, Some(columns)) => columns,
        (Some(_), Some(_)) => return Err("`column` and `columns` are given; one of them is enough".to_owned()),
    };
    if names.is_empty() {
        return Err("`columns` names no column".to_owned());
    }
    if let Some(at) = (1..names.len()).find(|&at| names[..at].contains(&names[at])) {
        return Err(format!("`columns` names `{}` twice", cut(&names[at])));
    }
    let columns = names.into_iter().map(|name| column(name, schema)).collect::<Result<_, _>>()?;
    Ok(Some(columns))
}

fn column(name: String, schema: &Schema) -> Result<Column, String> {
    match schema.column_with_name(&name) {
        Some((index, field)) => Ok(Column { index, name, data_type: field.data_type().clone() }),
        None => {
            let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Err(format!("there is no column `{}`{}", cut(&name), advice(&name, &known, "the columns are")))
        }
    }
}

/// The operators of a recipe's text, for tests.
#[cfg(test)]
pub(super) fn specs(recipe: &str) -> Vec<OperatorSpec> {
    let recipe: Table = recipe.parse().expect("the test's TOML");
    let tables = recipe["clean"].as_array().expect("[[clean]] tables").iter();
    let spec = |table: &toml::Value| {
        let mut options = table.as_table().expect("a table").clone();
        let op = options.remove("op").expect("op").as_str().expect("a name").to_owned();
        OperatorSpec { op, options }
    };
    tables.map(spec).collect()
}

#[cfg(test)]
mod tests {
    use super::specs;
    use crate::clean::Cleaner;
    use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UnionFields, UnionMode};
    use std::sync::Arc;

    fn schema() -> SchemaRef {
        let union = DataType::Union(UnionFields::empty(), UnionMode::Dense);
        Arc::new(Schema::new(vec![
            Field::new("text", DataType::Utf8, true),
            Field::new("label", DataType::UInt8, true),
            Field::new("score", DataType::Float32, true),
            Field::new("image", DataType::Struct(vec![Field::new("path", DataType::Utf8, true)].into()), true),
            Field::new("any", union, true),
        ]))
    }

    #[test]
    fn a_wrong_recipe_is_refused_with_its_place_and_the_way_out() {
        for (table, message) in [
            ("op = 'rnage'", "(`rnage`): there is no such operator; did you mean `range`?"),
            (
                "op = 'translate_into_latin'",
                "(`translate_into_latin`): there is no such operator; the known operators are",
            ),
            ("op = 'range'\nmin = 0", "(`range`): say which column it judges: `column = \"…\"` or `columns = […]`"),
            ("op = 'range'\ncolumn = 'lable'", "(`range`): there is no column `lable`; did you mean `label`?"),
            ("op = 'range'\ncolumn = 'label'\nmn = 0", "(`range`): unknown key `mn`; did you mean `min`?"),
            ("op = 'range'\ncolum = 'label'", "(`range`): unknown key `colum`; did you mean `column`?"),
            (
                "op = 'range'\ncolumn = 'label'\nmin = 'low'",
                "(`range`): `min`: expected a finite number, found the string \"low\"",
            ),
            (
                "op = 'range'\ncolumn = 'label'\nmin = nan",
                "(`range`): `min`: expected a finite number, found the number NaN",
            ),
            ("op = 'range'\ncolumn = 'label'\nmin = 3\nmax = 2.5", "(`range`): `min` = 3 is above `max` = 2.5"),
            ("op = 'range'\ncolumn = 'label'", "(`range`): column `label` holds UInt8: give `min`, `max` or both"),
            (
                "op = 'range'\ncolumn = 'label'\nmin = 255.5",
                "(`range`): `min` = 255.5: no UInt8 of column `label` can satisfy it",
            ),
            (
                "op = 'range'\ncolumn = 'label'\nmax = -1",
                "(`range`): `max` = -1: no UInt8 of column `label` can satisfy it",
            ),
            (
                "op = 'range'\ncolumn = 'score'\nmin = 1e300",
                "(`range`): `min` = 1e300: no Float32 of column `score` can satisfy it",
            ),
            (
                "op = 'range'\ncolumn = 'text'\nmin = 0",
                "(`range`): column `text` holds Utf8; it judges numbers, and lists of numbers",
            ),
            (
                "op = 'missing'\ncolumn = 'label'\nblank = true",
                "(`missing`): `blank` = true asks for blank text, and no column named holds text",
            ),
            (
                "op = 'missing'\ncolumn = 'label'\nblank = 1",
                "(`missing`): `blank`: expected true or false, found the number 1",
            ),
            (
                "op = 'missing'\ncolumn = 'label'\ncolumns = ['text']",
                "(`missing`): `column` and `columns` are given; one of them is enough",
            ),
            ("op = 'missing'\ncolumns = []", "(`missing`): `columns` names no column"),
            ("op = 'missing'\ncolumns = ['text', 'text']", "(`missing`): `columns` names `text` twice"),
            (
                "op = 'missing'\ncolumn = 'label'\naction = 'dorp'",
                "(`missing`): `action`: unknown value \"dorp\"; did you mean `drop`?",
            ),
            (
                "op = 'missing'\ncolumn = 'label'\nweigh_floor = 0.5",
                "(`missing`): `weigh_floor` is for `action` = \"weigh\": say so, or leave it out",
            ),
            (
                "op = 'missing'\ncolumn = 'label'\naction = 'weigh'\nweigh_floor = 0",
                "(`missing`): `weigh_floor` = 0: must be at least 0.001 and at most 1",
            ),
            (
                "op = 'missing'\ncolumn = 'label'\norder = 'plan'",
                "(`missing`): `order` is for operators that hold rows against earlier ones",
            ),
            (
                "op = 'missing'\ncolumn = 'text'\nsurvey = 0.5",
                "(`missing`): `survey` is for operators that learn from the data first; leave it out",
            ),
            (
                "op = 'exact_duplicate'",
                "(`exact_duplicate`): column `any`: a union has no content key; leave the column out",
            ),
            (
                "op = 'decodable'\ncolumn = 'text'",
                "(`decodable`): column `text` holds Utf8; it judges images as binary, or as a struct with a binary \
                 `bytes`",
            ),
            ("op = 'decodable'\ncolumn = 'image'", "(`decodable`): column `image` holds Struct"),
            (
                "op = 'decodable'\ncolumn = 'image'\nmax_pixels = 0",
                "(`decodable`): `max_pixels` = 0 leaves no image; give the most pixels that an image may have",
            ),
        ] {
            let recipe = format!("[[clean]]\nop = 'missing'\ncolumn = 'text'\n[[clean]]\n{table}");
            let error = Cleaner::new(&specs(&recipe), &schema()).expect_err(table);
            assert!(error.is_usage(), "{table}");
            let found = error.to_string();
            assert!(found.starts_with(&format!("[[clean]] 2 {message}")), "{table}\n  found {found}");
        }
    }

    #[test]
    fn the_fingerprint_covers_what_decides_and_no_more() {
        let fingerprint = |tables: &str| Cleaner::new(&specs(tables), &schema()).expect(tables).fingerprint();
        let plain = fingerprint("[[clean]]\nop = 'missing'\ncolumn = 'text'");
        assert_eq!(
            plain,
            fingerprint("[[clean]]\nblank = false\naction = 'drop'\nop = 'missing'\ncolumns = ['text']"),
            "another way to write the same"
        );
        for other in [
            "[[clean]]\nop = 'missing'\ncolumn = 'label'",
            "[[clean]]\nop = 'missing'\ncolumn = 'text'\nblank = true",
            "[[clean]]\nop = 'missing'\ncolumn = 'text'\naction = 'annotate'",
            "[[clean]]\nop = 'missing'\ncolumn = 'text'\naction = 'weigh'",
            "[[clean]]\nop = 'missing'\ncolumn = 'text'\naction = 'weigh'\nweigh_floor = 0.2",
            "[[clean]]\nop = 'exact_duplicate'\ncolumn = 'text'\nmemory = '1GiB'",
            "[[clean]]\nop = 'exact_duplicate'\ncolumn = 'text'",
            "[[clean]]\nop = 'missing'\ncolumn = 'text'\n[[clean]]\nop = 'missing'\ncolumn = 'label'",
        ] {
            assert_ne!(plain, fingerprint(other), "{other}");
        }
    }
}
