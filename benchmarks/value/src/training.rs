//! The perceptron of all these trainings, and the one loop that trains it on a stream.

use crate::{Result, data::Rows};
use arable_loader::{
    Error, Hash, Position, Recipe, Stream,
    stream::Suspicions,
    value::{Reference, References, Table},
};
use arable_trainer::{Curated, CuratedDataLoader, SelectRows, Signals, columns, loss};
use arrow::record_batch::RecordBatch;
use burn::{
    data::dataloader::DataLoader,
    module::{Module, ModuleVisitor, Param},
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::{AdamWConfig, GradientsParams, ModuleOptimizer},
    tensor::{Device, Int, Tensor, TensorData, activation},
};
use std::{f64::consts::PI, ops::ControlFlow, path::Path, sync::Arc, time::Instant};
use toml::Value;

/// Linear layers with ReLU between them.
#[derive(Module, Debug)]
pub(crate) struct Perceptron {
    layers: Vec<Linear>,
}

impl Perceptron {
    /// features → hidden … → classes, with the weights of `seed`.
    pub(crate) fn new(widths: &[usize], seed: u64, device: &Device) -> Self {
        device.seed(seed);
        let layers = widths.windows(2).map(|pair| LinearConfig::new(pair[0], pair[1]).init(device)).collect();
        let model = Self { layers };
        // burn draws a weight when it is first used.
        let _ = model.forward(Tensor::zeros([1, widths[0]], device));
        model
    }

    pub(crate) fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let mut hidden = features;
        for (at, layer) in self.layers.iter().enumerate() {
            hidden = layer.forward(hidden);
            if at + 1 < self.layers.len() {
                hidden = activation::relu(hidden);
            }
        }
        hidden
    }

    /// A name of every parameter's bits: models of the same name are the same to the last bit.
    pub(crate) fn name(&self) -> Result<String> {
        struct Bits(Result<Vec<u32>>);
        impl ModuleVisitor for Bits {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let values = param.val().try_into_vec_as::<f32>();
                match (&mut self.0, values) {
                    (Ok(bits), Ok(values)) => bits.extend(values.into_iter().map(f32::to_bits)),
                    (Ok(_), Err(error)) => self.0 = Err(error.to_string().into()),
                    (Err(_), _) => {}
                }
            }
        }
        let mut bits = Bits(Ok(Vec::new()));
        self.visit(&mut bits);
        let bytes: Vec<u8> = bits.0?.into_iter().flat_map(u32::to_le_bytes).collect();
        Ok(Hash::of(&bytes).to_string())
    }
}

/// A batch of rows.
#[derive(Clone, Debug, SelectRows)]
pub(crate) struct Batch {
    pub(crate) features: Tensor<2>,
    pub(crate) labels: Tensor<1, Int>,
}

impl Batch {
    pub(crate) fn of(rows: &Rows, device: &Device) -> Self {
        let features = TensorData::new(rows.features.clone(), [rows.len(), rows.width]);
        let labels = TensorData::new(rows.labels.clone(), [rows.len()]);
        Self { features: Tensor::from_data(features, device), labels: Tensor::from_data(labels, device) }
    }
}

/// What a training is given besides its rows.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) hidden: Vec<usize>,
    pub(crate) epochs: u32,
    pub(crate) batch: u32,
    pub(crate) rate: f64,
    /// Whether the rate falls to nothing over `most_steps`, as half a cosine.
    pub(crate) decay: bool,
    pub(crate) weight_decay: f32,
    pub(crate) policy: String,
    pub(crate) options: Vec<(String, Value)>,
    /// For each row what a reference model says, where the policy compares with one.
    pub(crate) references: Option<Arc<Vec<Reference>>>,
    /// Whether the losses are sent back.
    pub(crate) observe: bool,
    pub(crate) most_steps: u64,
    pub(crate) seed: u64,
}

impl Plan {
    /// Hidden layers of these widths, AdamW at a steady 1e-3, `uniform`, which observes.
    pub(crate) fn uniform(hidden: &[usize], epochs: u32, batch: u32, seed: u64) -> Self {
        Self {
            hidden: hidden.to_vec(),
            epochs,
            batch,
            rate: 1e-3,
            decay: false,
            weight_decay: 0.01,
            policy: "uniform".into(),
            options: Vec::new(),
            references: None,
            observe: true,
            most_steps: u64::MAX,
            seed,
        }
    }

    fn rate(&self, step: u64) -> f64 {
        let done = if self.decay { step as f64 / self.most_steps as f64 } else { 0.0 };
        self.rate * 0.5 * (1.0 + (PI * done).cos())
    }

    fn open(&self, folder: &Path) -> Result<Stream> {
        let mut recipe = Recipe::new(folder.join("*.parquet").display().to_string())
            .columns(["features", "label"])
            .label("label")
            .seed(self.seed)
            .epochs(self.epochs)
            .batch_size(self.batch)
            .policy(self.policy.clone());
        for (name, value) in &self.options {
            recipe = recipe.policy_option(name, value.clone());
        }
        let Some(said) = &self.references else { return Ok(Stream::builder(recipe).open()?) };
        // Positions come from the plan, which the same files have with any policy.
        let uniform = Recipe::new(folder.join("*.parquet").display().to_string()).columns(["features", "label"]);
        let plain = Stream::builder(uniform).open()?;
        let mut references: References = plain.blank_references();
        let mut said = said.iter();
        for (number, block) in (0..).zip(&plain.plan().blocks) {
            for row in 0..block.rows {
                let said = said.next().ok_or("there are more rows than references")?;
                references.set(Position::new(number, row), *said)?;
            }
        }
        Ok(Stream::builder(recipe).references(Arc::new(references)).open()?)
    }
}

/// When a training is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Every {
    /// At the end of each data epoch.
    Epoch,
    /// After so many steps.
    Steps(u64),
}

/// Who looks at a training that is under way: the model, and what it came to so far. It may end the training.
pub(crate) type Look<'a> = &'a mut dyn FnMut(&Perceptron, &Spent) -> Result<ControlFlow<()>>;

/// What a training has spent so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) steps: u64,
    /// Rows that went through a step, presentations counted, and how many of them had a wrong label.
    pub(crate) samples: u64,
    pub(crate) wrong: u64,
    /// Rows that were scored for a selection.
    pub(crate) scored: u64,
    /// Wall and processor time of the steps, without the looks.
    pub(crate) seconds: f64,
    pub(crate) cpu: f64,
}

impl Spent {
    /// Computation, where the forward pass of one row is 1 and the backward pass 2.
    pub(crate) const fn units(&self) -> u64 {
        self.scored + 3 * self.samples
    }
}

/// What a training came to.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) model: Perceptron,
    pub(crate) spent: Spent,
    pub(crate) values: Table,
    pub(crate) suspicions: Suspicions,
}

fn batch(data: &RecordBatch, device: &Device) -> std::result::Result<Batch, arable_trainer::BoxError> {
    Ok(Batch { features: columns::floats(data, "features", device)?, labels: columns::ints(data, "label", device)? })
}

/// Trains on the rows that [`Rows::write`] wrote to `folder`.
pub(crate) fn train(
    folder: &Path,
    rows: &Rows,
    plan: &Plan,
    look: Option<(Every, Look<'_>)>,
    device: &Device,
) -> Result<Trained> {
    let loader = CuratedDataLoader::from_arrow(plan.open(folder)?, batch);
    let place = loader.with_stream(|stream| {
        let counts: Vec<usize> = stream.plan().blocks.iter().map(|block| block.rows as usize).collect();
        starts(&counts)
    });
    let curated = loader.to_device(device);

    let mut model = plan.model(rows, device);
    let mut optimiser = optimiser(plan);
    let mut clock = Clock { spent: Spent::default(), look, start: Instant::now(), cpu: crate::cpu::seconds()? };
    let mut epoch = 0;
    'run: for _ in 0..loader.num_epochs() {
        for batch in curated.iter() {
            let batch = batch?;
            if batch.epoch() != epoch {
                epoch = batch.epoch();
                if clock.looks_after_epoch() && clock.look(&model)?.is_break() {
                    break 'run;
                }
            }
            // A run of virtual epochs goes on past the passes over the data where a policy leaves rows out.
            if epoch >= plan.epochs || clock.spent.steps == plan.most_steps {
                break 'run;
            }
            let batch = select(batch, &model, &mut clock.spent);
            let positions = batch.positions();
            let row = |position: &Position| place[position.block as usize] + position.row as usize;
            let is_wrong = |row: &usize| rows.labels[*row] != rows.truth[*row];
            clock.spent.samples += positions.len() as u64;
            clock.spent.wrong += positions.iter().map(row).filter(is_wrong).count() as u64;
            let logits = model.forward(batch.features.clone());
            let gradients = step_loss(batch, logits, plan.observe).backward();
            let gradients = GradientsParams::from_grads(gradients, &model);
            model = optimiser.step(plan.rate(clock.spent.steps), model, gradients);
            clock.spent.steps += 1;
            if clock.looks_after_step() && clock.look(&model)?.is_break() {
                break 'run;
            }
        }
    }
    clock.stop()?;
    if epoch < plan.epochs && clock.looks_after_epoch() && clock.spent.steps < plan.most_steps {
        let _ = clock.look(&model)?;
    }
    let (values, suspicions) = loader.with_stream(|stream| Ok::<_, Error>((stream.values()?, stream.suspicions()?)))?;
    Ok(Trained { model, spent: clock.spent, values, suspicions })
}

/// The time that steps take, which stands while somebody looks.
struct Clock<'a> {
    spent: Spent,
    look: Option<(Every, Look<'a>)>,
    start: Instant,
    cpu: f64,
}

impl Clock<'_> {
    fn looks_after_epoch(&self) -> bool {
        matches!(self.look, Some((Every::Epoch, _)))
    }

    fn looks_after_step(&self) -> bool {
        matches!(self.look, Some((Every::Steps(steps), _)) if self.spent.steps.is_multiple_of(steps))
    }

    fn stop(&mut self) -> Result<()> {
        self.spent.seconds += self.start.elapsed().as_secs_f64();
        self.spent.cpu += crate::cpu::seconds()? - self.cpu;
        Ok(())
    }

    fn look(&mut self, model: &Perceptron) -> Result<ControlFlow<()>> {
        self.stop()?;
        let flow = match &mut self.look {
            Some((_, look)) => look(model, &self.spent)?,
            None => ControlFlow::Continue(()),
        };
        (self.start, self.cpu) = (Instant::now(), crate::cpu::seconds()?);
        Ok(flow)
    }
}

/// The rows that the policy picks of a super-batch; a plain batch as it is.
fn select(batch: Curated<Batch>, model: &Perceptron, spent: &mut Spent) -> Curated<Batch> {
    batch.select(|candidates| {
        spent.scored += candidates.labels.dims()[0] as u64;
        let logits = model.valid().forward(candidates.features.clone().inner());
        let labels = candidates.labels.clone().inner();
        (loss::cross_entropy(logits.clone(), labels.clone()), Signals::classification(&logits, &labels))
    })
}

/// The mean of the losses, weighted and sent back where the training observes.
fn step_loss(batch: Curated<Batch>, logits: Tensor<2>, observe: bool) -> Tensor<1> {
    let losses = loss::cross_entropy(logits.clone(), batch.labels.clone());
    if observe {
        let signals = Signals::classification(&logits, &batch.labels);
        batch.settle(losses, signals)
    } else {
        losses.mean()
    }
}

impl Plan {
    fn model(&self, rows: &Rows, device: &Device) -> Perceptron {
        let mut widths = vec![rows.width];
        widths.extend(&self.hidden);
        widths.push(rows.classes);
        Perceptron::new(&widths, self.seed, device)
    }
}

fn optimiser(plan: &Plan) -> ModuleOptimizer {
    AdamWConfig::new().with_weight_decay(plan.weight_decay).with_epsilon(1e-8).init()
}

/// Trains on rows in memory, as any loop would, and gives the probabilities of all classes for each row of `judged`.
pub(crate) fn probabilities(rows: &Rows, judged: &Rows, plan: &Plan, device: &Device) -> Result<Vec<f32>> {
    let mut model = plan.model(rows, device);
    let mut optimiser = optimiser(plan);
    let mut random = crate::data::random(plan.seed, 3);
    for _ in 0..plan.epochs {
        let shuffled = rows.sample(rows.len(), &mut random);
        let order: Vec<usize> = (0..rows.len()).collect();
        for part in order.chunks(plan.batch as usize) {
            let batch = Batch::of(&shuffled.pick(part), device);
            let logits = model.forward(batch.features);
            let loss = CrossEntropyLossConfig::new().init(device).forward(logits, batch.labels);
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimiser.step(plan.rate, model, gradients);
        }
    }
    let logits = model.valid().forward(Batch::of(judged, device).features.inner());
    Ok(activation::softmax(logits, 1).try_into_vec_as::<f32>().map_err(|error| error.to_string())?)
}

/// The share of `held` that the model names rightly.
pub(crate) fn accuracy(model: &Perceptron, held: &Batch) -> Result<f64> {
    let guesses = model.valid().forward(held.features.clone().inner()).argmax(1);
    let numbers = |data: TensorData| data.convert::<i64>().try_to_vec::<i64>();
    let (guesses, labels) = (numbers(guesses.into_data())?, numbers(held.labels.clone().into_data())?);
    let right = guesses.iter().zip(&labels).filter(|(guess, label)| guess == label).count();
    Ok(right as f64 / labels.len().max(1) as f64)
}

/// What the model says of each row as it is labelled.
pub(crate) fn judge(model: &Perceptron, rows: &Batch) -> Result<Vec<Reference>> {
    let logits = model.valid().forward(rows.features.clone().inner());
    let losses = loss::cross_entropy(logits, rows.labels.clone().inner());
    let losses = losses.try_into_vec_as::<f32>().map_err(|error| error.to_string())?;
    Ok(losses.into_iter().map(|loss| Reference { loss, probability: Some((-loss).exp()) }).collect())
}

/// Where each block's first row stands among all rows.
pub(crate) fn starts(counts: &[usize]) -> Vec<usize> {
    counts.iter().scan(0, |start, rows| Some(std::mem::replace(start, *start + rows))).collect()
}
