//! How well wrong cells of real tables are found: what operators flag, cell by cell, beside the truth.
//!
//! A table is a folder with `dirty.csv` and `clean.csv`, row by row and column by column the same table (as in Raha,
//! Mahdavi et al. 2019). A cell is wrong where the two differ. The recipes were written from a look at the dirty tables
//! alone.

use arable_loader::clean::{Cleaner, OperatorSpec};
use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::concat_batches,
    csv::ReaderBuilder,
    datatypes::{DataType, Field, Schema},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
    sync::Arc,
};

/// The tables, and what a person who knows what they are about would ask of them.
pub const TABLES: [(&str, &str); 4] = [
    (
        "hospital",
        r#"
        [[clean]]
        op = "missing"
        columns = ["name", "city", "state", "zip", "county", "phone", "condition", "measure_code", "score", "sample"]
        blank = true
        disguised = true
        [[clean]]
        op = "schema"
        columns = ["provider_number", "zip", "phone", "state", "emergency_service", "measure_code", "sample", "score"]
        [[clean]]
        op = "category"
        columns = [
            "name", "address_1", "city", "state", "county", "type", "owner", "emergency_service", "condition",
            "measure_code", "measure_name", "state_average", "zip", "phone", "provider_number",
        ]
        [[clean]]
        op = "dependency"
        discover = true
        columns = [
            "provider_number", "name", "address_1", "city", "state", "zip", "county", "phone", "type", "owner",
            "emergency_service", "condition", "measure_code", "measure_name", "state_average",
        ]
        [[clean]]
        op = "outlier"
        columns = ["name", "address_1", "city", "county", "type", "owner", "score", "sample"]
        "#,
    ),
    (
        "flights",
        r#"
        [[clean]]
        op = "missing"
        columns = ["sched_dep_time", "act_dep_time", "sched_arr_time", "act_arr_time"]
        blank = true
        disguised = true
        [[clean]]
        op = "schema"
        columns = ["sched_dep_time", "act_dep_time", "sched_arr_time", "act_arr_time"]
        pattern = '\d{1,2}:\d{2} [ap]\.m\.'
        [[clean]]
        op = "category"
        columns = ["src"]
        [[clean]]
        op = "dependency"
        by = ["flight"]
        columns = ["sched_dep_time", "act_dep_time", "sched_arr_time", "act_arr_time"]
        majority = 0.3
        [[clean]]
        op = "outlier"
        columns = ["sched_dep_time", "act_dep_time", "sched_arr_time", "act_arr_time"]
        "#,
    ),
    (
        "beers",
        r#"
        [[clean]]
        op = "missing"
        columns = ["style", "ounces", "abv", "ibu", "city", "state"]
        blank = true
        disguised = true
        [[clean]]
        op = "schema"
        columns = ["ounces", "abv", "ibu"]
        type = "float"
        [[clean]]
        op = "category"
        columns = ["style", "city", "state"]
        [[clean]]
        op = "dependency"
        by = ["brewery_id"]
        columns = ["brewery_name", "city", "state"]
        [[clean]]
        op = "outlier"
        columns = ["abv", "ibu", "ounces", "beer_name"]
        "#,
    ),
    (
        "rayyan",
        r#"
        [[clean]]
        op = "missing"
        columns = [
            "article_title", "article_language", "journal_title", "jounral_abbreviation", "journal_issn",
            "article_jvolumn", "article_jissue", "article_jcreated_at", "article_pagination", "author_list",
        ]
        blank = true
        disguised = true
        tokens = ["-1"]
        optional = 0.1
        [[clean]]
        op = "schema"
        columns = [
            "article_title", "journal_title", "author_list", "journal_issn", "article_jvolumn", "article_jissue",
            "article_jcreated_at", "article_pagination",
        ]
        ambiguous = true
        [[clean]]
        op = "category"
        columns = ["article_language", "journal_title", "jounral_abbreviation", "journal_issn"]
        [[clean]]
        op = "dependency"
        discover = true
        columns = ["journal_title", "jounral_abbreviation", "journal_issn", "article_language"]
        [[clean]]
        op = "outlier"
        columns = ["article_title", "article_jvolumn", "article_jissue", "journal_issn"]
        "#,
    ),
];

/// How the cells that an operator flagged compare with those that are wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Cells that it flagged.
    pub flagged: usize,
    /// Those of them that are wrong.
    pub right: usize,
    /// Cells that are wrong, in the whole table.
    pub wrong: usize,
}

impl Quality {
    /// The share of flagged cells that are wrong; 1 where none is flagged.
    #[must_use]
    pub fn precision(&self) -> f64 {
        if self.flagged == 0 { 1.0 } else { self.right as f64 / self.flagged as f64 }
    }

    /// The share of wrong cells that are flagged.
    #[must_use]
    pub fn recall(&self) -> f64 {
        if self.wrong == 0 { 1.0 } else { self.right as f64 / self.wrong as f64 }
    }

    /// The harmonic mean of both.
    #[must_use]
    pub fn f1(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        if precision + recall == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) }
    }
}

/// What each operator of `recipe` finds in the table in `folder`, each of its rules (`schema:wrong_type`) where it has
/// several, and under "all" what they find together.
#[must_use]
pub fn detect(folder: &Path, recipe: &str) -> BTreeMap<String, Quality> {
    let (dirty, clean) = (table(&folder.join("dirty.csv")), table(&folder.join("clean.csv")));
    let mut wrong = BTreeSet::new();
    for column in 0..dirty.num_columns() {
        let (dirty, clean) = (dirty.column(column).as_string::<i32>(), clean.column(column).as_string::<i32>());
        wrong.extend((0..dirty.len()).filter(|&row| dirty.value(row) != clean.value(row)).map(|row| (row, column)));
    }
    let mut flagged: BTreeMap<String, BTreeSet<(usize, usize)>> = BTreeMap::new();
    for spec in specs(recipe) {
        let op = spec.op.clone();
        flagged.entry(op.clone()).or_default();
        for (rule, cell) in cells_flagged(&[spec], &dirty) {
            flagged.entry(op.clone()).or_default().insert(cell);
            if rule != op {
                flagged.entry(format!("{op}:{rule}")).or_default().insert(cell);
            }
        }
    }
    let all = flagged.values().flatten().copied().collect();
    flagged.insert("all".to_owned(), all);
    flagged
        .into_iter()
        .map(|(op, cells)| {
            let right = cells.intersection(&wrong).count();
            (op, Quality { flagged: cells.len(), right, wrong: wrong.len() })
        })
        .collect()
}

/// The cells that operators flag, with the rules that do, annotating, so that none hides what another finds.
fn cells_flagged(recipe: &[OperatorSpec], data: &RecordBatch) -> BTreeSet<(String, (usize, usize))> {
    let schema = data.schema();
    let judged = fitted(recipe, data).judge(data, &[]).unwrap();
    let cell = |(row, evidence): (u32, arable_loader::Evidence)| {
        let (rule, column) = evidence.reason.split_once(':')?;
        Some((rule.to_owned(), (row as usize, schema.index_of(column).ok()?)))
    };
    judged.evidence().filter_map(cell).collect()
}

/// The operators of `recipe`, annotating, which have learnt from `data` what they need to.
#[must_use]
pub fn cleaner(recipe: &str, data: &RecordBatch) -> Cleaner {
    fitted(&specs(recipe), data)
}

fn fitted(recipe: &[OperatorSpec], data: &RecordBatch) -> Cleaner {
    let mut cleaner = Cleaner::new(recipe, &data.schema()).unwrap();
    if let Some(mut surveys) = cleaner.surveys(0) {
        let parts = cleaner.look(&surveys, 0, data, &[]).unwrap();
        surveys.add(parts).unwrap();
        cleaner.fit(surveys.fits().unwrap()).unwrap();
    }
    cleaner
}

fn specs(recipe: &str) -> Vec<OperatorSpec> {
    let recipe: toml::Table = recipe.parse().unwrap();
    let spec = |table: &toml::Value| {
        let mut options = table.as_table().unwrap().clone();
        let op = options.remove("op").unwrap().as_str().unwrap().to_owned();
        options.insert("action".to_owned(), "annotate".into());
        OperatorSpec { op, options }
    };
    recipe["clean"].as_array().unwrap().iter().map(spec).collect()
}

/// A table with all cells as texts, and its header's names.
fn table(path: &Path) -> RecordBatch {
    let header = std::fs::read_to_string(path).unwrap();
    let names = header.lines().next().unwrap().split(',');
    let fields: Vec<Field> = names.map(|name| Field::new(name.trim_matches('"'), DataType::Utf8, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let reader = ReaderBuilder::new(Arc::clone(&schema)).with_header(true).build(File::open(path).unwrap()).unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let batches: Vec<RecordBatch> = batches.into_iter().map(|batch| not_null(&batch)).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// Empty cells as empty texts.
fn not_null(batch: &RecordBatch) -> RecordBatch {
    let columns = batch.columns().iter().map(|column| {
        let texts = column.as_string::<i32>();
        let texts = (0..texts.len()).map(|row| if texts.is_null(row) { "" } else { texts.value(row) });
        Arc::new(arrow::array::StringArray::from_iter_values(texts)) as arrow::array::ArrayRef
    });
    RecordBatch::try_new(batch.schema(), columns.collect()).unwrap()
}
