//! The comparison: one model on the same dirty rows, trained with burn's own loader and with Arable's stream.
//!
//! All trainings have the same initial weights, optimiser and number of optimiser steps. Plain burn gets the rows of
//! which a valid item can be made, as a careful user would pick them, so that nothing turns NaN.

use crate::{
    Result,
    outcome::{Outcome, Run},
    training::{self, Classifier, Labelled, Plain, Schedule, Silent, Trained},
};
use arable_loader::{
    Position, Recipe, Stream,
    report::{Bars, Progress},
    stream::StreamBuilder,
    value::ranking,
};
use arable_trainer::{Curated, CuratedDataLoader};
use burn::{data::dataloader::DataLoader, tensor::Device};
use std::{fmt, path::Path, rc::Rc, sync::Arc};

/// Seeds the device, makes a model on it, and has it draw its weights: burn draws a weight when it is first used, and
/// all trainings begin with the same.
pub fn begin<M, T>(
    seed: u64,
    device: &Device,
    make: impl FnOnce(&Device) -> M,
    first_use: impl FnOnce(&M, &Device) -> T,
) -> M {
    let device = device.clone().autodiff();
    device.seed(seed);
    let model = make(&device);
    let _ = first_use(&model, &device);
    model
}

/// Hyper-parameters, never chosen on a test split.
#[derive(Clone, Copy, Debug)]
pub struct Hyper {
    /// Passes over the valid rows.
    pub epochs: usize,
    /// Rows of a batch.
    pub batch: usize,
    /// Data epochs that `denoise` only observes.
    pub warmup: i64,
    /// Adam's learning rate.
    pub learning_rate: f64,
}

/// One way to train with Arable, beside plain burn.
pub struct Variant {
    /// Its key in the JSON object.
    pub key: &'static str,
    /// Its name in the table.
    pub name: String,
    /// Whether the training says nothing back.
    silent: bool,
    open: Rc<dyn Fn(Recipe) -> StreamBuilder>,
}

impl Variant {
    /// Trains on the stream that `open` makes of the comparison's recipe, and reports what each step says.
    pub fn new(key: &'static str, name: impl Into<String>, open: impl Fn(Recipe) -> StreamBuilder + 'static) -> Self {
        Self { key, name: name.into(), silent: false, open: Rc::new(open) }
    }

    /// The same with more plugged in, such as an operator or a policy of one's own.
    pub fn with(
        &self,
        key: &'static str,
        name: impl Into<String>,
        plug: impl Fn(StreamBuilder) -> StreamBuilder + 'static,
    ) -> Self {
        let open = Rc::clone(&self.open);
        Self::new(key, name, move |recipe| plug(open(recipe)))
    }

    /// The three that most examples compare, each on what `open` makes of the recipe: cleaning alone; observing, which
    /// reports the losses, trains the same, bit for bit, and knows afterwards what to doubt; and acting on what the losses
    /// say (`denoise`, which only observes for `warmup` data epochs).
    pub fn all(warmup: i64, open: impl Fn(Recipe) -> StreamBuilder + Clone + 'static) -> Vec<Self> {
        let acting = open.clone();
        let acting = move |recipe: Recipe| acting(recipe.policy("denoise").policy_option("warmup", warmup));
        vec![
            Self { silent: true, ..Self::new("cleaned", "Arable, cleaning alone", open.clone()) },
            Self::new("observed", "Arable, observing (uniform)", open),
            Self::new("arable", "Arable, acting (denoise)", acting),
        ]
    }
}

impl fmt::Debug for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variant").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What a row of the plan says, for people; `None` where it is not to be shown.
pub type Describe = Box<dyn Fn(usize) -> Option<String>>;

/// Rows that are shown as the ones whose labels are most in doubt.
const SUSPECTS: usize = 5;

/// How a stream's rows become batches.
pub type Curate<B> = Box<dyn Fn(Stream) -> CuratedDataLoader<B>>;

/// What is trained on what.
pub struct Comparison<B, M> {
    /// The example's name.
    pub task: &'static str,
    /// The seed of everything.
    pub seed: u64,
    /// What is trained on, outside of autodiff.
    pub device: Device,
    /// What is wrong with the data, in a sentence.
    pub dirt: String,
    /// What was planted, for the JSON object; null where nothing was.
    pub planted: serde_json::Value,
    /// The recipe that a user would write. Seed, length and policy are the comparison's.
    pub recipe: Recipe,
    /// How its rows become batches.
    pub curate: Curate<B>,
    /// Burn's own loader of the rows of which valid items can be made, in batches of `batch`, shuffled.
    pub plain: Arc<dyn DataLoader<B>>,
    /// The model, with the weights that every training begins with.
    pub model: M,
    /// The rows to measure accuracy on, in batches outside of autodiff.
    pub held: Vec<B>,
    /// What they are called in the output.
    pub held_name: String,
    /// Whether the label of each row of the plan is wrong, where that is known; empty where nothing is.
    pub wrong: Vec<Option<bool>>,
    /// What each row of the plan says.
    pub describe: Describe,
    /// Passes of plain burn over its rows.
    pub epochs: usize,
    /// Rows of a batch.
    pub batch: usize,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// What is trained beside plain burn; the last one is recorded.
    pub variants: Vec<Variant>,
}

impl<B, M> fmt::Debug for Comparison<B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comparison").field("task", &self.task).field("recipe", &self.recipe).finish_non_exhaustive()
    }
}

impl<B: Labelled, M: Classifier<B> + Clone> Comparison<B, M> {
    /// Compares plain burn with observing, and with observing where `plug` has plugged in more.
    #[must_use]
    pub fn against_own(mut self, name: &str, plug: impl Fn(StreamBuilder) -> StreamBuilder + 'static) -> Self {
        self.variants.retain(|variant| variant.key == "observed");
        let own = self.variants.first().map(|observing| observing.with("own", name, plug));
        self.variants.extend(own);
        self
    }

    /// Trains once with burn's own loader and once for each variant, and says what came of it. The last variant's ledger
    /// goes to `folder`.
    ///
    /// # Errors
    ///
    /// Whatever keeps a training from ending.
    pub fn run(self, folder: &Path, bars: &Bars) -> Result<Outcome> {
        let device = self.device.clone().autodiff();
        let steps = self.plain.num_items().div_ceil(self.batch);
        if steps == 0 {
            return Err("no row is left to train on: see the label column, and what a valid row must have".into());
        }
        let schedule = Schedule { epochs: self.epochs, steps, learning_rate: self.learning_rate };
        let total = (schedule.epochs * steps) as u64;

        let progress = bars.add("plain burn", Some(total), "steps");
        let plain = self.plain.to_device(&device);
        let burn = training::fit(self.model.clone(), &plain, Plain, schedule, &self.held, &progress)?;
        progress.finish();

        let recipe = self
            .recipe
            .clone()
            .seed(self.seed)
            .epochs(u32::try_from(self.epochs).unwrap_or(u32::MAX))
            .batch_size(u32::try_from(self.batch).unwrap_or(u32::MAX))
            .epoch_batches(steps as u64);
        let mut runs = Vec::new();
        let (mut mislabel_auroc, mut suspects) = (None, Vec::new());
        let mut last = None;
        for (place, variant) in self.variants.iter().enumerate() {
            let mut stream = (variant.open)(recipe.clone());
            if place + 1 == self.variants.len() {
                stream = stream.record(folder.join("run"));
            }
            let loader = (self.curate)(stream.open()?);
            let progress = bars.add(&variant.name, Some(total), "steps");
            let trained = self.train(&loader, variant.silent, schedule, &progress)?;
            progress.finish();
            if suspects.is_empty() && !variant.silent {
                (mislabel_auroc, suspects) = self.doubts(&loader)?;
            }
            runs.push((variant.key, variant.name.clone(), Run::of(&trained)));
            last = Some(loader.with_stream(|stream| (stream.account(), stream.ledger())));
        }
        let (rows, ledger) = last.ok_or("there is nothing to compare plain burn with")?;
        Ok(Outcome {
            task: self.task,
            seed: self.seed,
            dirt: self.dirt,
            planted: self.planted,
            held: (self.held_name, self.held.iter().map(|batch| batch.targets().dims()[0]).sum()),
            steps: schedule.epochs * steps,
            epochs: schedule.epochs,
            rows,
            burn_best: burn.best(),
            burn: Run::of(&burn),
            runs,
            mislabel_auroc,
            suspects,
            ledger: ledger.ok_or("the run was not recorded")?,
        })
    }

    fn train(
        &self,
        loader: &CuratedDataLoader<B>,
        silent: bool,
        schedule: Schedule,
        progress: &Progress,
    ) -> Result<Trained<M>> {
        let (model, loader) = (self.model.clone(), loader.to_device(&self.device.clone().autodiff()));
        if silent {
            training::fit(model, &loader, Silent, schedule, &self.held, progress)
        } else {
            training::fit(model, &loader, |batch: Curated<B>| batch, schedule, &self.held, progress)
        }
    }

    /// How well the trajectories that `observer` gathered rank the wrong labels among the kept rows: the area under the
    /// ROC curve, `None` where no wrong label is known, or no right one. And what the rows say that they doubt most, with
    /// the labels that they suggest.
    fn doubts(&self, observer: &CuratedDataLoader<B>) -> Result<(Option<f64>, Vec<String>)> {
        let (starts, suspicions) = observer.with_stream(|stream| (starts(stream), stream.suspicions()));
        let suspicions = suspicions?;
        let suspicious = suspicions.worst_first();
        let mut scores = Vec::new();
        let mut wrong = Vec::new();
        for of in &suspicious {
            if let Some(Some(is_wrong)) = self.wrong.get(row(&starts, of.position)) {
                scores.push(of.suspicion);
                wrong.push(*is_wrong);
            }
        }
        let suspects = suspicious.iter().filter_map(|of| {
            let said = (self.describe)(row(&starts, of.position))?;
            Some(of.suggested.map_or(said.clone(), |label| format!("{said} (rather {label})")))
        });
        Ok((ranking::auroc(&scores, &wrong), suspects.take(SUSPECTS).collect()))
    }
}

/// How many rows come before each block of the stream's plan.
#[must_use]
pub fn starts(stream: &Stream) -> Vec<usize> {
    let rows = stream.plan().blocks.iter().map(|block| block.rows as usize);
    rows.scan(0, |start, rows| Some(std::mem::replace(start, *start + rows))).collect()
}

/// Which row of the whole data `position` is, given how many come before each block.
#[must_use]
pub fn row(starts: &[usize], position: Position) -> usize {
    starts[position.block as usize] + position.row as usize
}
