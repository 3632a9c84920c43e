//! The ways to a batch that are compared, each behind the same training loop.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arable_trainer::{Curated, CuratedDataLoader, Signals, loss::cross_entropy};
use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    module::Module,
    nn::loss::CrossEntropyLossConfig,
    optim::{GradientsParams, ModuleOptimizer, SgdConfig},
    tensor::{Device, Tensor},
};
use rustix::time::{ClockId, clock_gettime};

use crate::{Result, memory, tasks::Task};

/// Who makes the batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Batches that lie ready on the device: the limit.
    Bare,
    /// burn's `DataLoaderBuilder` with a shuffle, on the training's thread.
    Burn,
    /// The same with a worker.
    BurnWorker,
    /// Arable with batches of columns, settled with the signals of classes.
    Columns,
    /// Arable with burn's batcher over rows, settled likewise.
    Rows,
}

impl Way {
    pub(crate) const ALL: [Self; 5] = [Self::Bare, Self::Burn, Self::BurnWorker, Self::Columns, Self::Rows];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare batches",
            Self::Burn => "burn's loader",
            Self::BurnWorker => "burn's loader, one worker",
            Self::Columns => "Arable, columns",
            Self::Rows => "Arable, rows through serde",
        }
    }
}

/// What some steps cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Of the whole process, all of its threads.
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

impl Cost {
    pub(crate) fn of(work: impl FnOnce() -> Result<()>) -> Result<Self> {
        let (cpu, wall) = (cpu(), Instant::now());
        work()?;
        Ok(Self { cpu: self::cpu() - cpu, wall: wall.elapsed() })
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

enum Batches<T: Task> {
    Ready(Vec<T::Batch>),
    Burn(Arc<dyn DataLoader<T::Batch>>),
    Arable { handle: CuratedDataLoader<T::Batch>, loader: Arc<dyn DataLoader<Curated<T::Batch>>> },
}

/// One of the ways, and a training that goes on from measurement to measurement.
pub(crate) struct Contender<T: Task> {
    batches: Batches<T>,
    model: T::Model,
    optimizer: ModuleOptimizer,
    device: Device,
}

impl<T: Task> Contender<T> {
    pub(crate) fn new(way: Way, device: &Device) -> Result<Self> {
        let device = device.clone().autodiff();
        let items: Vec<_> = (0..T::ITEMS).map(T::item).collect();
        let batches = match way {
            Way::Bare => {
                let batch = |items: &[T::Item]| T::Batcher::default().batch(items.to_vec(), &device);
                Batches::Ready(items.chunks_exact(T::BATCH).map(batch).collect())
            }
            Way::Burn | Way::BurnWorker => {
                let mut builder = DataLoaderBuilder::new(T::Batcher::default()).batch_size(T::BATCH).shuffle(5);
                if way == Way::BurnWorker {
                    builder = builder.num_workers(1);
                }
                Batches::Burn(builder.build(InMemDataset::new(items)).to_device(&device))
            }
            Way::Columns | Way::Rows => {
                let stream = memory::stream(T::columns(&items)?, T::BATCH, T::STEPS as u64)?;
                let handle = match way {
                    Way::Columns => CuratedDataLoader::of_columns(stream),
                    _ => CuratedDataLoader::new::<T::Item, _>(stream, T::Batcher::default()),
                };
                Batches::Arable { loader: handle.to_device(&device), handle }
            }
        };
        device.seed(1);
        let model = T::model(&device);
        Ok(Self { batches, model, optimizer: SgdConfig::new().init(), device })
    }

    /// What [`Task::STEPS`] steps cost, until the last of them is done and reported.
    pub(crate) fn measure(&mut self) -> Result<Cost> {
        Cost::of(|| self.train())
    }

    /// The share of its time that an Arable training waited for data so far.
    pub(crate) fn waiting(&self) -> Option<f64> {
        match &self.batches {
            Batches::Arable { handle, .. } => Some(handle.pace().waiting()),
            _ => None,
        }
    }

    fn train(&mut self) -> Result<()> {
        let Self { batches, model, optimizer, device } = self;
        let mut left = T::STEPS;
        while left > 0 {
            match batches {
                Batches::Ready(batches) => {
                    for batch in batches.iter().take(left) {
                        let loss = plain::<T>(model, &batch.clone());
                        step(model, optimizer, loss);
                        left -= 1;
                    }
                }
                Batches::Burn(loader) => {
                    for batch in loader.iter().take(left) {
                        let loss = plain::<T>(model, &batch?);
                        step(model, optimizer, loss);
                        left -= 1;
                    }
                }
                Batches::Arable { handle, loader } => {
                    for batch in loader.iter().take(left) {
                        let loss = settled::<T>(model, &batch?);
                        step(model, optimizer, loss);
                        left -= 1;
                    }
                    handle.drain();
                }
            }
        }
        device.sync()?;
        Ok(())
    }
}

fn step<M: Module>(model: &mut M, optimizer: &mut ModuleOptimizer, loss: Tensor<1>) {
    let gradients = GradientsParams::from_grads(loss.backward(), model);
    *model = optimizer.step(0.001, model.clone(), gradients);
}

fn plain<T: Task>(model: &T::Model, batch: &T::Batch) -> Tensor<1> {
    let (logits, labels) = T::forward(model, batch);
    CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, labels)
}

fn settled<T: Task>(model: &T::Model, batch: &Curated<T::Batch>) -> Tensor<1> {
    let (logits, labels) = T::forward(model, batch);
    let signals = Signals::classification(&logits, &labels);
    batch.settle(cross_entropy(logits, labels), signals)
}
