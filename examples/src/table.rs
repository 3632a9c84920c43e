//! Tables of cells: each cell embedded by column and content, a number by its size, and a perceptron over them.

use crate::{
    Result,
    arguments::{Common, On},
    comparison::{Comparison, Hyper, Variant, begin},
    hashing::bucket,
    labels::{Classes, KnownLabel},
    reading::{Reading, read, texts},
    training::{Classifier, Labelled},
};
use arable_loader::{Recipe, Stream, clean::Action, recipe::Part, stream::StreamBuilder};
use arable_trainer::CuratedDataLoader;
use arrow::{array::RecordBatch, datatypes::DataType};
use burn::{
    data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    module::Module,
    nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, Relu},
    tensor::{Device, Int, Tensor, TensorData},
};
use std::sync::Arc;

/// Buckets that cells are hashed into.
const BUCKETS: usize = 1 << 12;
/// Numbers that a cell is embedded in.
const WIDTH: usize = 8;
/// Units of each hidden layer.
const HIDDEN: usize = 64;
/// Rows of a batch of held-out ones; any will do.
const HELD_BATCH: usize = 1_000;

/// A row: its cells in the order of the features' columns, and the number of its class.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The cells.
    pub cells: Vec<Option<String>>,
    /// The class.
    pub label: i64,
}

/// A batch of rows with their classes.
#[derive(Clone, Debug)]
pub struct Entries {
    /// The bucket of each cell, `[batch, columns]`.
    cells: Tensor<2, Int>,
    /// What its embedding is multiplied by, `[batch, columns]`: 1, or how large the number is.
    sizes: Tensor<2>,
    /// `[batch]`.
    targets: Tensor<1, Int>,
}

impl Labelled for Entries {
    fn targets(&self) -> &Tensor<1, Int> {
        &self.targets
    }
}

/// Makes [`Entries`] of rows.
#[derive(Clone, Copy, Debug)]
pub struct EntryBatcher;

impl Batcher<Entry, Entries> for EntryBatcher {
    fn batch(&self, rows: Vec<Entry>, device: &Device) -> Entries {
        let shape = [rows.len(), rows.first().map_or(0, |row| row.cells.len())];
        let cells = rows.iter().flat_map(|row| row.cells.iter().enumerate());
        let (cells, sizes): (Vec<i64>, Vec<f32>) =
            cells.map(|(column, cell)| encoded(column as u64, cell.as_deref().unwrap_or_default())).unzip();
        let targets: Vec<i64> = rows.iter().map(|row| row.label).collect();
        Entries {
            cells: Tensor::from_data(TensorData::new(cells, shape), device),
            sizes: Tensor::from_data(TensorData::new(sizes, shape), device),
            targets: Tensor::from_data(TensorData::new(targets, [shape[0]]), device),
        }
    }
}

/// The bucket of a cell, and what its embedding is multiplied by. All numbers of a column share a bucket.
fn encoded(column: u64, cell: &str) -> (i64, f32) {
    match cell.trim().parse::<f64>().ok().filter(|number| number.is_finite()) {
        Some(number) => (bucket("", 2 * column, BUCKETS), (number.abs().ln_1p() * number.signum()) as f32 / 2.0),
        None => (bucket(cell, 2 * column + 1, BUCKETS), 1.0),
    }
}

/// Embedded cells, two hidden layers, and the classes.
#[derive(Module, Debug)]
pub struct TableModel {
    embedding: Embedding,
    first: Linear,
    second: Linear,
    last: Linear,
    relu: Relu,
}

impl TableModel {
    /// For rows of `columns` cells and `classes` classes.
    #[must_use]
    pub fn new(columns: usize, classes: usize, device: &Device) -> Self {
        Self {
            embedding: EmbeddingConfig::new(BUCKETS, WIDTH).init(device),
            first: LinearConfig::new(columns * WIDTH, HIDDEN).init(device),
            second: LinearConfig::new(HIDDEN, HIDDEN).init(device),
            last: LinearConfig::new(HIDDEN, classes).init(device),
            relu: Relu::new(),
        }
    }
}

impl Classifier<Entries> for TableModel {
    fn logits(&self, batch: &Entries) -> Tensor<2> {
        let [rows, columns] = batch.cells.dims();
        let cells = self.embedding.forward(batch.cells.clone()) * batch.sizes.clone().reshape([rows, columns, 1]);
        let hidden = self.relu.forward(self.first.forward(cells.reshape([rows, columns * WIDTH])));
        self.last.forward(self.relu.forward(self.second.forward(hidden)))
    }
}

/// Puts cleaning into a recipe, given the columns that hold text.
pub type Clean = Box<dyn Fn(Recipe, &[String]) -> Recipe>;

/// Where a table comes from, and how it is cleaned.
pub struct Source {
    /// The example's name.
    pub task: &'static str,
    /// Path, pattern or URL of the table.
    pub table: String,
    /// The same of the table as it should be, row by row and column by column the same.
    pub truth: Option<String>,
    /// The column to tell.
    pub target: String,
    /// Columns that are no features.
    pub ignored: Vec<String>,
    /// Puts cleaning into the recipe, given the columns that hold text.
    pub clean: Clean,
    /// What is wrong with the data, in a sentence.
    pub dirt: String,
    /// What was planted; null where nothing was.
    pub planted: serde_json::Value,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("table", &self.table).field("target", &self.target).finish_non_exhaustive()
    }
}

/// The comparison on a table. A tenth of the rows is kept out for validation and a fifth for the last test, by content,
/// whichever are measured on.
///
/// # Errors
///
/// Data that cannot be read, columns that are not there, a target that names no classes, a truth of another shape.
pub fn comparison(source: &Source, hyper: Hyper, common: &Common) -> Result<Comparison<Entries, TableModel>> {
    let schema = Recipe::new(&source.table).evaluation(Part::Train)?.pass()?.schema();
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    if let Some(stray) = [&source.target].into_iter().chain(&source.ignored).find(|name| !names.contains(name)) {
        return Err(format!("the table has no column `{stray}`; there are {}", names.join(", ")).into());
    }
    let features: Vec<String> =
        names.iter().filter(|name| **name != source.target && !source.ignored.contains(name)).cloned().collect();
    if features.is_empty() {
        return Err("no column is left for the model to look at".into());
    }
    let carried = || features.iter().chain([&source.target]).cloned();
    let is_text = |name: &String| {
        let kind = schema.field_with_name(name).map(|field| field.data_type().clone());
        matches!(kind, Ok(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View))
    };
    let text: Vec<String> = carried().filter(is_text).collect();
    let recipe = Recipe::new(&source.table).columns(carried()).label(&source.target).split(0.1, 0.2);
    let recipe = (source.clean)(recipe, &text);

    let train = read(&recipe, Part::Train)?;
    let held = read(&recipe, if common.on == On::Test { Part::Holdout } else { Part::Valid })?;
    let truth = source.truth.as_ref().map(|truth| Truth::read(truth, &names)).transpose()?;
    let target = texts(&train.data, &source.target)?;
    let classes = match &truth {
        Some(truth) => Classes::of(truth.cells(&source.target)?.iter().map(Option::as_deref), 1, &source.target)?,
        None => Classes::of(target.iter().map(Option::as_deref), 2.max(target.len() / 1_000), &source.target)?,
    };
    let held: Vec<Entry> = match &truth {
        None => entries(&held.data, &features, &source.target, &classes)?.into_iter().flatten().collect(),
        Some(truth) => {
            let all = entries(&truth.0.data, &features, &source.target, &classes)?;
            held.rows.iter().filter_map(|row| all.get(*row).cloned().flatten()).collect()
        }
    };
    if held.is_empty() {
        return Err("no row to measure on has one of the target's classes: the table is too small".into());
    }
    let wrong = match &truth {
        None => Vec::new(),
        Some(truth) => {
            let right = truth.cells(&source.target)?;
            let mut wrong = vec![None; right.len()];
            for (row, label) in train.rows.iter().zip(&target) {
                if let (Some(wrong), Some(Some(right))) = (wrong.get_mut(*row), right.get(*row)) {
                    *wrong = label.as_ref().filter(|label| classes.number(label).is_some()).map(|label| label != right);
                }
            }
            wrong
        }
    };
    let items = entries(&train.data, &features, &source.target, &classes)?.into_iter().flatten().collect();

    let (epochs, batch) = common.sizes(hyper.epochs, hyper.batch);
    let columns = features.len();
    let device = common.device();
    let model = begin(
        common.seed,
        &device,
        |device| TableModel::new(columns, classes.len(), device),
        |model, device| model.logits(&EntryBatcher.batch(vec![Entry { cells: vec![None; columns], label: 0 }], device)),
    );
    let part = if common.on == On::Test { "test" } else { "validation" };
    let kind = if truth.is_some() { "as they should be" } else { "as they came" };
    let (features, target, known) = (Arc::new(features), source.target.clone(), classes.clone());
    let open = open(&source.target, &classes);
    Ok(Comparison {
        task: source.task,
        seed: common.seed,
        device: device.clone(),
        dirt: source.dirt.clone(),
        planted: source.planted.clone(),
        recipe,
        plain: DataLoaderBuilder::new(EntryBatcher)
            .batch_size(batch)
            .shuffle(common.seed)
            .build(InMemDataset::new(items)),
        curate: Box::new(move |stream| {
            let (features, target, classes) = (Arc::clone(&features), target.clone(), known.clone());
            CuratedDataLoader::from_arrow(stream, move |data: &RecordBatch, device: &Device| {
                let rows = entries(data, &features, &target, &classes)?.into_iter();
                let rows = rows.collect::<Option<_>>().ok_or("a row whose target is no class was kept")?;
                Ok(EntryBatcher.batch(rows, device))
            })
        }),
        model,
        held: held.chunks(HELD_BATCH).map(|held| EntryBatcher.batch(held.to_vec(), &device)).collect(),
        held_name: format!("{part} rows {kind}"),
        wrong,
        describe: Box::new(|_| None),
        epochs,
        batch,
        learning_rate: common.learning_rate.unwrap_or(hyper.learning_rate),
        variants: Variant::all(hyper.warmup, open),
    })
}

/// Opens a recipe's stream with rows left out whose target is no class.
pub fn open(target: &str, classes: &Classes) -> impl Fn(Recipe) -> StreamBuilder + Clone + 'static {
    let known = KnownLabel { column: target.to_owned(), classes: classes.clone() };
    move |recipe| Stream::builder(recipe).operator(Box::new(known.clone()), Action::Drop)
}

/// The rows of `data`; `None` where the target is no class.
fn entries(data: &RecordBatch, features: &[String], target: &str, classes: &Classes) -> Result<Vec<Option<Entry>>> {
    let mut columns = features.iter().map(|name| texts(data, name)).collect::<Result<Vec<_>>>()?;
    let labels = texts(data, target)?;
    let rows = labels.iter().enumerate().map(|(row, label)| {
        let cells = columns.iter_mut().map(|column| column[row].take()).collect();
        Some(Entry { cells, label: classes.number(label.as_ref()?)? })
    });
    Ok(rows.collect())
}

/// A table as it should be, with the names of the one that is dirty.
struct Truth(Reading);

impl Truth {
    fn read(url: &str, names: &[String]) -> Result<Self> {
        let mut reading = read(&Recipe::new(url), Part::Train)?;
        let schema = reading.data.schema();
        if schema.fields().len() != names.len() {
            let (found, wanted) = (schema.fields().len(), names.len());
            return Err(format!("`{url}` has {found} columns, and the table {wanted}: they must be the same").into());
        }
        let fields = schema.fields().iter().zip(names);
        let fields: Vec<_> = fields.map(|(field, name)| field.as_ref().clone().with_name(name)).collect();
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        reading.data = RecordBatch::try_new(schema, reading.data.columns().to_vec())?;
        Ok(Self(reading))
    }

    fn cells(&self, column: &str) -> Result<Vec<Option<String>>> {
        texts(&self.0.data, column)
    }
}
