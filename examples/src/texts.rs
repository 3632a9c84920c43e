//! Texts with a class each: a bag of hashed words and pairs of words, and a linear model over it (as fastText,
//! Joulin et al. 2017).

use crate::{
    Result,
    arguments::{Common, On},
    comparison::{Comparison, Hyper, Variant, begin},
    hashing::bucket,
    labels::{Classes, KnownLabel},
    reading::{read, texts},
    training::{Classifier, Labelled},
};
use arable_loader::{Recipe, Stream, clean::Action, recipe::Part};
use arable_trainer::CuratedDataLoader;
use arrow::array::RecordBatch;
use burn::{
    data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    module::Module,
    nn::{Embedding, EmbeddingConfig, Linear, LinearConfig},
    tensor::{Device, Int, Tensor, TensorData},
};
use std::collections::HashMap;

/// Buckets that words and pairs of words are hashed into.
const BUCKETS: usize = 1 << 13;
/// Words and pairs of a text that are looked at.
const MOST_GRAMS: usize = 256;
/// Numbers that a bucket is embedded in.
const WIDTH: usize = 64;
/// Words of which a text of the training rows and one of the test share a run, where they are held for copies.
const GRAM: usize = 8;
/// Characters of a text that are shown.
const SHOWN: usize = 100;
/// Texts of a batch of held-out ones; any will do.
const HELD_BATCH: usize = 500;

/// A text with its class.
#[derive(Clone, Debug)]
pub struct Passage {
    /// The text.
    pub text: String,
    /// The number of its class.
    pub label: i64,
}

/// A batch of texts with their classes.
#[derive(Clone, Debug)]
pub struct Passages {
    /// Buckets of words and pairs of words, `[batch, most]`; 0 where a text has fewer.
    grams: Tensor<2, Int>,
    /// `[batch]`.
    targets: Tensor<1, Int>,
}

impl Labelled for Passages {
    fn targets(&self) -> &Tensor<1, Int> {
        &self.targets
    }
}

/// Makes [`Passages`] of texts.
#[derive(Clone, Copy, Debug)]
pub struct PassageBatcher;

impl Batcher<Passage, Passages> for PassageBatcher {
    fn batch(&self, passages: Vec<Passage>, device: &Device) -> Passages {
        let bags: Vec<Vec<i64>> = passages.iter().map(|passage| grams(&passage.text)).collect();
        let (rows, most) = (bags.len(), bags.iter().map(Vec::len).max().unwrap_or(0).max(1));
        let mut padded = Vec::with_capacity(rows * most);
        for bag in bags {
            padded.extend(&bag);
            padded.resize(padded.len() + most - bag.len(), 0);
        }
        let targets: Vec<i64> = passages.iter().map(|passage| passage.label).collect();
        Passages {
            grams: Tensor::from_data(TensorData::new(padded, [rows, most]), device),
            targets: Tensor::from_data(TensorData::new(targets, [rows]), device),
        }
    }
}

/// The buckets of the words of `text`, and of each with the one before it.
fn grams(text: &str) -> Vec<i64> {
    let lower = text.to_lowercase();
    let words = lower.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut grams = Vec::new();
    let mut before = String::new();
    for word in words.take(MOST_GRAMS / 2) {
        grams.push(bucket(word, 1, BUCKETS));
        if !before.is_empty() {
            grams.push(bucket(&format!("{before} {word}"), 2, BUCKETS));
        }
        word.clone_into(&mut before);
    }
    grams
}

/// The mean of the embedded words and pairs of words, and a linear layer.
#[derive(Module, Debug)]
pub struct BagModel {
    embedding: Embedding,
    last: Linear,
}

impl BagModel {
    /// For `classes` classes.
    #[must_use]
    pub fn new(classes: usize, device: &Device) -> Self {
        Self {
            embedding: EmbeddingConfig::new(BUCKETS, WIDTH).init(device),
            last: LinearConfig::new(WIDTH, classes).init(device),
        }
    }
}

impl Classifier<Passages> for BagModel {
    fn logits(&self, batch: &Passages) -> Tensor<2> {
        let [rows, most] = batch.grams.dims();
        let counted = batch.grams.clone().not_equal_scalar(0).float();
        let many = counted.clone().sum_dim(1).clamp_min(1.0);
        let embedded = self.embedding.forward(batch.grams.clone()) * counted.reshape([rows, most, 1]);
        self.last.forward(embedded.sum_dim(1).reshape([rows, WIDTH]) / many)
    }
}

/// Where texts come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path, pattern or URL of the rows to train on.
    pub train: String,
    /// The same of the rows of the last test.
    pub test: String,
    /// The column of the texts.
    pub text: String,
    /// The column of the labels.
    pub label: String,
    /// The column of the true labels, where there is one.
    pub truth: Option<String>,
    /// Whether they are somebody's own: then training rows of which more than half stands in the test rows are dropped.
    pub by_path: bool,
    /// What is wrong with the data, in a sentence.
    pub dirt: String,
    /// What was planted; null where nothing was.
    pub planted: serde_json::Value,
}

/// The comparison on the texts of `source`. A tenth of the contents of the training rows is kept out for validation,
/// whichever rows are measured on.
///
/// # Errors
///
/// Data that cannot be read, columns that are not there, labels that are no classes.
pub fn comparison(source: &Source, hyper: Hyper, common: &Common) -> Result<Comparison<Passages, BagModel>> {
    let (text, label) = (source.text.as_str(), source.label.as_str());
    let recipe = Recipe::new(&source.train)
        .columns([text, label])
        .label(label)
        .split(0.1, 0.0)
        .clean("missing", [("column", text.into()), ("blank", true.into())])
        .clean("exact_duplicate", [("column", text.into())])
        .clean("near_duplicate", [("column", text.into())]);
    let with_truth = |recipe: Recipe| match &source.truth {
        Some(truth) => recipe.columns([text, label, truth]),
        None => recipe,
    };
    let train = read(&with_truth(recipe.clone()), Part::Train)?;
    let test = read(&with_truth(Recipe::new(&source.test).columns([text, label])), Part::Train)?;
    let recipe = match source.by_path && texts(&test.data, text)?.iter().flatten().any(|text| is_long(text)) {
        true => recipe.clean(
            "decontaminate",
            [
                ("column", text.into()),
                ("sets", vec![source.test.clone()].into()),
                ("n", (GRAM as i64).into()),
                ("share", 0.5.into()),
            ],
        ),
        false => recipe,
    };
    let held = match common.on {
        On::Valid => read(&with_truth(recipe.clone()), Part::Valid)?,
        On::Test => test,
    };
    let labels = texts(&train.data, label)?;
    let truth = source.truth.as_ref().map(|truth| texts(&train.data, truth)).transpose()?;
    let classes = match &truth {
        Some(truth) => Classes::of(truth.iter().map(Option::as_deref), 1, label)?,
        None => Classes::of(labels.iter().map(Option::as_deref), 2, label)?,
    };
    let mut wrong = vec![None; train.rows.iter().max().map_or(0, |last| last + 1)];
    for (place, truth) in truth.iter().flatten().enumerate() {
        let label = labels[place].as_ref().filter(|label| classes.number(label).is_some());
        wrong[train.rows[place]] = label.zip(truth.as_ref()).map(|(label, truth)| label != truth);
    }
    let described: HashMap<usize, String> = (train.rows.iter().zip(texts(&train.data, text)?.iter().zip(&labels)))
        .filter_map(|(row, (text, label))| Some((*row, shown(label.as_ref()?, text.as_ref()?))))
        .collect();
    let items = passages(&train.data, text, label, &classes)?.into_iter().flatten();
    let items = items.filter(|item| !item.text.trim().is_empty()).collect();
    let held = passages(&held.data, text, source.truth.as_deref().unwrap_or(label), &classes)?;
    let held: Vec<Passage> = held.into_iter().flatten().collect();
    if held.is_empty() {
        return Err("no row to measure on has a text and one of the training rows' labels".into());
    }

    let (epochs, batch) = common.sizes(hyper.epochs, hyper.batch);
    let known = KnownLabel { column: label.to_owned(), classes: classes.clone() };
    let variants = Variant::all(hyper.warmup, move |recipe| {
        Stream::builder(recipe).operator(Box::new(known.clone()), Action::Drop)
    });
    let device = common.device();
    let model = begin(
        common.seed,
        &device,
        |device| BagModel::new(classes.len(), device),
        |model, device| model.logits(&PassageBatcher.batch(vec![Passage { text: String::new(), label: 0 }], device)),
    );
    let name = match (common.on, &source.truth) {
        (On::Test, None) => "test rows, with the labels that they came with",
        (On::Test, Some(_)) => "test rows with true labels",
        (On::Valid, None) => "validation rows, with the labels that they came with",
        (On::Valid, Some(_)) => "validation rows with true labels",
    };
    let (column, of_label) = (source.text.clone(), source.label.clone());
    Ok(Comparison {
        task: "text_classification",
        seed: common.seed,
        device: device.clone(),
        dirt: source.dirt.clone(),
        planted: source.planted.clone(),
        recipe,
        plain: DataLoaderBuilder::new(PassageBatcher)
            .batch_size(batch)
            .shuffle(common.seed)
            .build(InMemDataset::new(items)),
        curate: Box::new(move |stream| {
            let (column, of_label, classes) = (column.clone(), of_label.clone(), classes.clone());
            CuratedDataLoader::from_arrow(stream, move |data: &RecordBatch, device: &Device| {
                let passages = passages(data, &column, &of_label, &classes)?.into_iter();
                let passages = passages.collect::<Option<_>>().ok_or("a row without a text or a class was kept")?;
                Ok(PassageBatcher.batch(passages, device))
            })
        }),
        model,
        held: held.chunks(HELD_BATCH).map(|held| PassageBatcher.batch(held.to_vec(), &device)).collect(),
        held_name: name.to_owned(),
        wrong,
        describe: Box::new(move |row| described.get(&row).cloned()),
        epochs,
        batch,
        learning_rate: common.learning_rate.unwrap_or(hyper.learning_rate),
        variants,
    })
}

/// Whether there is surely a run of [`GRAM`] words in a text, however these are cut.
fn is_long(text: &str) -> bool {
    text.split_whitespace().count() >= 2 * GRAM
}

/// A text with its label, for people.
fn shown(label: &str, text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let mut short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{label}: {short}")
}

/// The rows of `data` as passages; `None` where one has no text or no class.
fn passages(data: &RecordBatch, text: &str, label: &str, classes: &Classes) -> Result<Vec<Option<Passage>>> {
    let pairs = texts(data, text)?.into_iter().zip(texts(data, label)?);
    Ok(pairs.map(|(text, label)| Some(Passage { text: text?, label: classes.number(&label?)? })).collect())
}
