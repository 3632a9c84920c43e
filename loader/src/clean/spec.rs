//! From a recipe's `[[clean]]` tables to operators: which there are, on which columns they stand, and what becomes of
//! the rows that they speak against.

use super::{
    decodable, exact_duplicate, missing,
    operator::{Matcher, Operator},
    range,
};
use crate::{
    Error, Result,
    spelling::{advice, cut},
    strict,
};
use arrow::datatypes::{DataType, Schema};
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

/// What becomes of a row that an operator speaks against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is left out, and later operators never see it.
    Drop,
    /// It is counted, and goes on.
    Annotate,
}

impl Action {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Annotate => "annotate",
        }
    }
}

/// An operator, by what its verdicts depend on.
pub(super) enum Built {
    /// On the block alone.
    Pure(Box<dyn Operator>),
    /// On earlier rows too.
    Matching(Box<dyn Matcher>),
}

/// How an operator is made from its settings; an error is what is wrong with them.
type Build = fn(Settings<'_>) -> Result<Built, String>;

/// Every operator that a recipe can name.
const OPERATORS: [(&str, Build); 4] = [
    (decodable::NAME, decodable::build),
    (exact_duplicate::NAME, exact_duplicate::build),
    (missing::NAME, missing::build),
    (range::NAME, range::build),
];

/// The options that are the frame's, and the same for every operator.
const SHARED: [&str; 3] = ["action", "column", "columns"];

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
    /// The schema of the rows to be judged.
    pub(super) schema: &'a Schema,
}

impl Settings<'_> {
    /// The operator's own options.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        strict::read(&self.own).map_err(|fault| fault.beside(&SHARED).to_string())
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

/// The operator of the recipe's `number`th `[[clean]]` table (from 1), and its action.
pub(super) fn build(number: usize, spec: &OperatorSpec, schema: &Schema) -> Result<(Built, Action)> {
    let wrong = |what| Error::recipe(format!("[[clean]] {number} (`{}`): {what}", cut(&spec.op)));
    let Some((_, build)) = OPERATORS.iter().find(|(name, _)| *name == spec.op) else {
        let known: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
        return Err(wrong(format!("there is no such operator{}", advice(&spec.op, &known, "the known operators are"))));
    };
    let (shared, own) = spec.options.clone().into_iter().partition(|(key, _)| SHARED.contains(&key.as_str()));
    let (action, columns) = shared_options(shared, schema).map_err(wrong)?;
    Ok((build(Settings { columns, own, schema }).map_err(wrong)?, action))
}

fn shared_options(table: Table, schema: &Schema) -> Result<(Action, Option<Vec<Column>>), String> {
    let shared: Shared = strict::read(&table).map_err(|fault| fault.to_string())?;
    let action = match shared.action {
        None | Some(NamedAction::Drop) => Action::Drop,
        Some(NamedAction::Annotate) => Action::Annotate,
        Some(NamedAction::Weigh) => {
            return Err("`action` = \"weigh\" lowers a weight by a rule's margin, and this operator's rules have \
                        none; say \"drop\" or \"annotate\""
                .to_owned());
        }
    };
    let names = match (shared.column, shared.columns) {
        (None, None) => return Ok((action, None)),
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
    Ok((action, Some(columns)))
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
                "(`translate_into_latin`): there is no such operator; the known operators are `decodable`, \
                 `exact_duplicate`, `missing`, `range`",
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
                "op = 'missing'\ncolumn = 'label'\naction = 'weigh'",
                "(`missing`): `action` = \"weigh\" lowers a weight by a rule's margin, and this operator's rules have \
                 none; say \"drop\" or \"annotate\"",
            ),
            (
                "op = 'exact_duplicate'\norder = 'plan'",
                "(`exact_duplicate`): `order` = \"plan\" is not built in this version; say \"stream\", or leave it out",
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
            "[[clean]]\nop = 'exact_duplicate'\ncolumn = 'text'",
            "[[clean]]\nop = 'missing'\ncolumn = 'text'\n[[clean]]\nop = 'missing'\ncolumn = 'label'",
        ] {
            assert_ne!(plain, fingerprint(other), "{other}");
        }
    }
}
