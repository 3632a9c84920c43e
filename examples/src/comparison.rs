//! The comparison: one model on the same dirty files, trained four times.
//!
//! All four have the same initial weights, optimiser and number of optimiser steps. Plain burn skips the rows that form
//! no valid item, as a careful user would, so that nothing turns NaN.

use crate::{
    Result,
    dirt::{Dirt, Rows},
    model::{Cnn, Mlp, Model},
    outcome::{Outcome, Run},
    sample::{Held, ImageBatcher, Images, Sample},
    training::{self, Schedule, Silent, Trained},
};
use arable_loader::{
    Position, Recipe, Stream,
    report::{Bars, Progress},
    value::ranking,
};
use arable_trainer::{Curated, CuratedDataLoader};
use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderBuilder},
        dataset::InMemDataset,
    },
    tensor::{Device, Tensor},
};
use std::path::{Path, PathBuf};

/// Rows of a batch of held-out rows; any will do.
const HELD_BATCH: usize = 1_000;

/// What is trained on what.
#[derive(Debug)]
pub struct Comparison<S> {
    /// The example's name.
    pub task: &'static str,
    /// The rows to train on, dirt and all.
    pub train: Rows<S>,
    /// The rows to measure accuracy on; their labels are clean.
    pub held: Held<S>,
    /// What the held-out rows are called in the output.
    pub held_name: &'static str,
    /// The dirt that was planted.
    pub dirt: Dirt,
    /// Shape of an image: channels, height, width.
    pub shape: [usize; 3],
    /// How many classes there are.
    pub classes: usize,
    /// The seed of everything: dirt, weights, orders.
    pub seed: u64,
    /// What the model is trained with.
    pub hyper: Hyper,
}

/// Hyper-parameters. They were chosen on validation splits, never on a test split.
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
    /// Units of each hidden layer of the perceptron; `None` for the convolutional network.
    pub hidden: Option<usize>,
    /// How many files the rows are written to.
    pub shards: usize,
    /// Rows of a row group.
    pub group: usize,
}

impl<S: Sample> Comparison<S> {
    fn features(&self) -> usize {
        self.shape.iter().product()
    }

    /// Writes the files to a fresh folder below `runs`, trains four times, and says what came of it.
    ///
    /// # Errors
    ///
    /// Whatever keeps a file from being written or a training from ending.
    pub fn run(self, runs: &Path, bars: &Bars) -> Result<Outcome> {
        let folder = fresh_folder(runs, self.task)?;
        let data = folder.join("data");
        self.train.write(&data, self.hyper.shards, self.hyper.group)?;

        let device = Device::flex().autodiff();
        device.seed(self.seed);
        let model = match self.hyper.hidden {
            Some(hidden) => Model::Mlp(Mlp::new(self.features(), hidden, self.classes, &device)),
            None => Model::Cnn(Cnn::new(self.shape, self.classes, &device)),
        };
        // burn draws a weight when it is first used; all four trainings begin with the same.
        let _ = model.forward(Tensor::zeros([1, self.features()], &device));
        let held = self.held.batches(self.features(), HELD_BATCH, &device);

        let items: Vec<S> = self.train.rows.iter().filter(|row| row.is_valid(self.classes)).cloned().collect();
        let steps = items.len().div_ceil(self.hyper.batch);
        let schedule = Schedule { epochs: self.hyper.epochs, steps, learning_rate: self.hyper.learning_rate };
        let total = (schedule.epochs * steps) as u64;
        let bar = |name: &str| bars.add(name, Some(total), "steps");

        let plain = DataLoaderBuilder::new(ImageBatcher::<S>::new(self.features()))
            .batch_size(self.hyper.batch)
            .shuffle(self.seed)
            .set_device(device.clone())
            .build(InMemDataset::new(items));
        let progress = bar("plain burn");
        let burn = training::fit(model.clone(), &plain, |batch: Images| batch, schedule, &held, &progress)?;
        progress.finish();

        let recipe = self.recipe(&data, steps);
        let curated = |policy: &str, folder: Option<PathBuf>| -> Result<CuratedDataLoader<Images>> {
            let mut recipe = recipe.clone().policy(policy);
            if policy == "denoise" {
                recipe = recipe.policy_option("warmup", self.hyper.warmup);
            }
            let mut stream = Stream::builder(recipe);
            if let Some(folder) = folder {
                stream = stream.record(folder);
            }
            Ok(CuratedDataLoader::new(stream.open()?, ImageBatcher::<S>::new(self.features())))
        };
        let train = |loader: &CuratedDataLoader<Images>, silent: bool, progress: &Progress| -> Result<Trained> {
            let loader = loader.to_device(&device);
            let trained = if silent {
                training::fit(model.clone(), &loader, Silent, schedule, &held, progress)
            } else {
                training::fit(model.clone(), &loader, |batch: Curated<Images>| batch, schedule, &held, progress)
            };
            progress.finish();
            trained
        };
        let cleaned = train(&curated("uniform", None)?, true, &bar("Arable, cleaning"))?;
        let observer = curated("uniform", None)?;
        let observed = train(&observer, false, &bar("Arable, observing"))?;
        let actor = curated("denoise", Some(folder.join("run")))?;
        let arable = train(&actor, false, &bar("Arable, acting"))?;

        let mislabel_auroc = self.mislabel_auroc(&observer)?;
        let (account, ledger) = actor.with_stream(|stream| (stream.account(), stream.ledger()));
        let ledger = ledger.ok_or("the run was not recorded")?;
        Ok(Outcome {
            task: self.task,
            seed: self.seed,
            dirt: self.dirt,
            held: (self.held_name, self.held.len()),
            steps: schedule.epochs * steps,
            epochs: schedule.epochs,
            rows: account,
            burn_best: burn.best(),
            burn: Run::of(&burn),
            cleaned: Run::of(&cleaned),
            observed: Run::of(&observed),
            arable: Run::of(&arable),
            mislabel_auroc,
            ledger,
        })
    }

    /// The recipe that a user would write.
    fn recipe(&self, data: &Path, steps: usize) -> Recipe {
        let last = i64::try_from(self.classes).unwrap_or(i64::MAX) - 1;
        let recipe = Recipe::new(data.join("*.parquet").display().to_string())
            .columns([S::CONTENT, "label"])
            .label("label")
            .seed(self.seed)
            .epochs(u32::try_from(self.hyper.epochs).unwrap_or(u32::MAX))
            .batch_size(u32::try_from(self.hyper.batch).unwrap_or(u32::MAX))
            .epoch_batches(steps as u64)
            .clean("missing", [("column", "label".into())])
            .clean("range", [("column", "label".into()), ("min", 0.into()), ("max", last.into())]);
        let recipe = if S::ENCODED {
            recipe.clean("decodable", [("column", S::CONTENT.into())])
        } else {
            recipe.clean("range", [("column", S::CONTENT.into())])
        };
        recipe.clean("exact_duplicate", [])
    }

    /// How well the trajectories of the observing run rank the wrong labels among the kept rows: the area under the
    /// ROC curve. `None` where there is no wrong label, or no right one.
    fn mislabel_auroc(&self, observer: &CuratedDataLoader<Images>) -> Result<Option<f64>> {
        let (starts, values) = observer.with_stream(|stream| {
            let rows = stream.plan().blocks.iter().map(|block| block.rows as usize);
            let starts: Vec<usize> =
                rows.scan(0, |start, rows| Some(std::mem::replace(start, *start + rows))).collect();
            (starts, stream.values())
        });
        let values = values?;
        let row = |position: Position| starts[position.block as usize] + position.row as usize;
        let mut scores = Vec::new();
        let mut wrong = Vec::new();
        for (position, suspicion) in ranking::mislabel_scores(&values) {
            let row = row(position);
            if let (Some(truth), Some(label)) = (self.train.truth[row], self.train.rows[row].label()) {
                scores.push(suspicion);
                wrong.push(truth != label);
            }
        }
        Ok(ranking::auroc(&scores, &wrong))
    }
}

/// The first of `task-1`, `task-2`, … that does not exist yet: a ledger is never overwritten.
fn fresh_folder(runs: &Path, task: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(runs)?;
    for number in 1..100_000 {
        let folder = runs.join(format!("{task}-{number}"));
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            result => return Ok(result.map(|()| folder)?),
        }
    }
    Err(format!("`{}` holds 100,000 runs of {task}", runs.display()).into())
}
