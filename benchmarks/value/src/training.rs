//! The perceptron of all these trainings, and the one loop that trains it on a stream.

use crate::{Result, data::Rows};
use arable_loader::{Hash, Position, Recipe, Stream, value::Table};
use arable_trainer::{Curated, CuratedDataLoader, Signals, columns, loss};
use arrow::record_batch::RecordBatch;
use burn::{
    data::dataloader::DataLoader,
    module::{Module, ModuleVisitor, Param},
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::{AdamWConfig, GradientsParams, ModuleOptimizer},
    tensor::{Device, Int, Tensor, TensorData, activation},
};
use std::{path::Path, time::Instant};

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
#[derive(Clone, Debug)]
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
    pub(crate) weight_decay: f32,
    pub(crate) policy: String,
    /// Whole numbers, for the policy.
    pub(crate) options: Vec<(&'static str, i64)>,
    /// Whether the losses are sent back.
    pub(crate) observe: bool,
    pub(crate) most_steps: u64,
    pub(crate) seed: u64,
}

/// What a training came to.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) model: Perceptron,
    /// On the held-out rows after each data epoch.
    pub(crate) accuracy: Vec<f64>,
    /// Rows that went through a step, presentations counted, and how many of them had a wrong label.
    pub(crate) samples: u64,
    pub(crate) wrong: u64,
    pub(crate) steps: u64,
    /// Wall and processor time of the steps, without the evaluations.
    pub(crate) seconds: f64,
    pub(crate) cpu: f64,
    pub(crate) values: Table,
}

fn batch(data: &RecordBatch, device: &Device) -> std::result::Result<Batch, arable_trainer::BoxError> {
    Ok(Batch { features: columns::floats(data, "features", device)?, labels: columns::ints(data, "label", device)? })
}

/// Trains on the rows that [`Rows::write`] wrote to `folder`.
pub(crate) fn train(folder: &Path, rows: &Rows, plan: &Plan, held: Option<&Rows>, device: &Device) -> Result<Trained> {
    let mut recipe = Recipe::new(folder.join("*.parquet").display().to_string())
        .columns(["features", "label"])
        .label("label")
        .seed(plan.seed)
        .epochs(plan.epochs)
        .batch_size(plan.batch)
        .policy(plan.policy.clone());
    for (name, value) in &plan.options {
        recipe = recipe.policy_option(*name, *value);
    }
    let loader = CuratedDataLoader::from_arrow(Stream::builder(recipe).open()?, batch);
    let place = loader.with_stream(|stream| {
        let counts: Vec<usize> = stream.plan().blocks.iter().map(|block| block.rows as usize).collect();
        starts(&counts)
    });
    let curated = loader.to_device(device);

    let mut widths = vec![rows.width];
    widths.extend(&plan.hidden);
    widths.push(rows.classes);
    let mut model = Perceptron::new(&widths, plan.seed, device);
    let mut optimiser = optimiser(plan);
    let held = held.map(|rows| Batch::of(rows, device));
    let mut trained = Trained {
        model: model.clone(),
        accuracy: Vec::new(),
        samples: 0,
        wrong: 0,
        steps: 0,
        seconds: 0.0,
        cpu: 0.0,
        values: Table::new(&[]),
    };
    let mut epoch = 0;
    let (mut start, mut cpu) = (Instant::now(), crate::cpu::seconds()?);
    'run: for _ in 0..loader.num_epochs() {
        for batch in curated.iter() {
            let batch = batch?;
            if batch.epoch() != epoch {
                trained.seconds += start.elapsed().as_secs_f64();
                trained.cpu += crate::cpu::seconds()? - cpu;
                epoch = batch.epoch();
                if let Some(held) = &held {
                    trained.accuracy.push(accuracy(&model, held)?);
                }
                (start, cpu) = (Instant::now(), crate::cpu::seconds()?);
            }
            // A run of virtual epochs goes on past the passes over the data where a policy leaves rows out.
            if epoch >= plan.epochs || trained.steps == plan.most_steps {
                break 'run;
            }
            let positions = batch.positions();
            trained.samples += positions.len() as u64;
            trained.steps += 1;
            let row = |position: &Position| place[position.block as usize] + position.row as usize;
            trained.wrong +=
                positions.iter().map(row).filter(|row| rows.labels[*row] != rows.truth[*row]).count() as u64;
            let logits = model.forward(batch.features.clone());
            let gradients = step_loss(batch, logits, plan.observe).backward();
            let gradients = GradientsParams::from_grads(gradients, &model);
            model = optimiser.step(plan.rate, model, gradients);
        }
    }
    trained.seconds += start.elapsed().as_secs_f64();
    trained.cpu += crate::cpu::seconds()? - cpu;
    if let Some(held) = &held
        && trained.accuracy.len() < plan.epochs as usize
    {
        trained.accuracy.push(accuracy(&model, held)?);
    }
    trained.values = loader.with_stream(|stream| stream.values())?;
    trained.model = model;
    Ok(trained)
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

fn optimiser(plan: &Plan) -> ModuleOptimizer {
    AdamWConfig::new().with_weight_decay(plan.weight_decay).with_epsilon(1e-8).init()
}

/// Trains on rows in memory, as any loop would, and gives the probabilities of all classes for each row of `judged`.
pub(crate) fn probabilities(rows: &Rows, judged: &Rows, plan: &Plan, device: &Device) -> Result<Vec<f32>> {
    let mut widths = vec![rows.width];
    widths.extend(&plan.hidden);
    widths.push(rows.classes);
    let mut model = Perceptron::new(&widths, plan.seed, device);
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

fn accuracy(model: &Perceptron, held: &Batch) -> Result<f64> {
    let guesses = model.valid().forward(held.features.clone().inner()).argmax(1);
    let numbers = |data: TensorData| data.convert::<i64>().try_to_vec::<i64>();
    let (guesses, labels) = (numbers(guesses.into_data())?, numbers(held.labels.clone().into_data())?);
    let right = guesses.iter().zip(&labels).filter(|(guess, label)| guess == label).count();
    Ok(right as f64 / labels.len().max(1) as f64)
}

/// Where each block's first row stands among all rows.
pub(crate) fn starts(counts: &[usize]) -> Vec<usize> {
    counts.iter().scan(0, |start, rows| Some(std::mem::replace(start, *start + rows))).collect()
}
