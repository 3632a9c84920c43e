//! What settling does: to the gradients, and to the loader.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use arable_loader::{
    ClassPair, ClassSignal, Position, Signal,
    arrow::array::{ArrayRef, Float32Array, RecordBatch},
};
use arable_trainer::{BoxError, Curated, CuratedDataLoader, Signals, WeightNorm, columns};
use burn::{
    data::dataloader::DataLoader,
    tensor::{Device, Int, Tensor},
};
use support::{Memory, reports};
use tempfile::TempDir;

/// The rows of `x`, with the given weights, in batches of `batch` rows; recorded in `folder`.
fn loader(x: &[f32], weights: &[f32], batch: usize, folder: &Path) -> CuratedDataLoader<Tensor<1>> {
    let column: ArrayRef = Arc::new(Float32Array::from(x.to_vec()));
    let data = RecordBatch::try_from_iter([("x", column)]).unwrap();
    CuratedDataLoader::from_arrow(Memory::new(data).weighted(weights, batch, 1, folder), self::x)
}

fn x(data: &RecordBatch, device: &Device) -> Result<Tensor<1>, BoxError> {
    Ok(columns::floats(data, "x", device)?)
}

/// A run of one batch, which holds every row.
struct One {
    batch: Curated<Tensor<1>>,
    loader: CuratedDataLoader<Tensor<1>>,
    folder: TempDir,
}

impl One {
    /// The batch is on an autodiff device.
    fn new(values: &[f32], weights: &[f32]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let loader = loader(values, weights, values.len(), folder.path());
        let batch = loader.to_device(&Device::default().autodiff()).iter().next().unwrap().unwrap();
        Self { batch, loader, folder }
    }

    /// `of_rows`, which has one entry a row, in the order of the slots.
    fn in_slots<T: Copy>(&self, of_rows: &[T]) -> Vec<T> {
        assert_eq!(self.batch.positions().len(), of_rows.len());
        self.batch.positions().iter().map(|position| of_rows[position.row as usize]).collect()
    }

    /// Ends the run; what was reported of each row, in the order of the rows.
    fn end(self) -> Vec<Signal> {
        drop((self.batch, self.loader));
        let reports = reports(self.folder.path());
        assert!(reports.len() <= 1, "one batch has one report");
        let mut rows: Vec<_> = reports.into_iter().flat_map(|report| report.rows).collect();
        rows.sort_by_key(|&(position, _)| position);
        assert!(rows.iter().map(|(position, _)| *position).eq((0..).map(|row| Position::new(0, row)).take(rows.len())));
        rows.into_iter().map(|(_, signal)| signal).collect()
    }
}

/// The squares of the batch as losses, each through a leaf of its own; the reduced loss and each leaf's gradient.
fn settled(batch: &Curated<Tensor<1>>, norm: WeightNorm) -> (f32, Vec<f32>) {
    let leaf = (**batch).clone().require_grad();
    let losses = leaf.clone() * leaf.clone();
    let loss = batch.settle_with(losses, Signals::none(), norm);
    assert_eq!(loss.dims(), [1]);
    let gradients = leaf.grad(&loss.backward()).unwrap();
    (loss.into_scalar(), gradients.try_into_vec_as().unwrap())
}

const X: [f32; 4] = [1.0, -2.0, 0.3, 5.0];
const W: [f32; 4] = [0.5, 3.0, 0.0, 1.25];

#[test]
fn a_row_contributes_its_weight_times_its_gradient() {
    let one = One::new(&X, &W);
    let (loss, gradients) = settled(&one.batch, WeightNorm::Slots);
    // x² has the gradient 2x, and the mean divides by the four slots.
    let by_hand: Vec<f32> = X.iter().zip(W).map(|(x, w)| w * 2.0 * x / 4.0).collect();
    assert_eq!(gradients, one.in_slots(&by_hand));
    assert_eq!(one.batch.weights().try_into_vec_as::<f32>().unwrap(), one.in_slots(&W));
    let by_hand: f32 = X.iter().zip(W).map(|(x, w)| w * x * x).sum::<f32>() / 4.0;
    assert!((loss - by_hand).abs() < 1e-5);
}

#[test]
fn norming_by_the_sum_divides_by_the_weights() {
    let one = One::new(&X, &W);
    let (_, gradients) = settled(&one.batch, WeightNorm::Sum);
    let by_hand: Vec<f32> = X.iter().zip(W).map(|(x, w)| w * 2.0 * x / 4.75).collect();
    for (found, by_hand) in gradients.into_iter().zip(one.in_slots(&by_hand)) {
        assert!((found - by_hand).abs() < 1e-6);
    }
}

#[test]
fn a_batch_without_weight_is_no_division_by_zero() {
    let one = One::new(&X, &[0.0; 4]);
    assert_eq!(settled(&one.batch, WeightNorm::Sum), (0.0, vec![0.0; 4]));
}

#[test]
fn weights_of_one_leave_the_plain_mean_bit_for_bit() {
    let values: Vec<f32> = (0..37).map(|i| 1.0 / (i as f32 + 0.7)).collect();
    let One { batch, .. } = &One::new(&values, &[1.0; 37]);
    for norm in [WeightNorm::Slots, WeightNorm::Sum] {
        let leaf = (**batch).clone().require_grad();
        let mean = (leaf.clone() * leaf.clone()).mean();
        let gradients: Vec<f32> = leaf.grad(&mean.backward()).unwrap().try_into_vec_as().unwrap();
        assert_eq!(settled(batch, norm), (mean.into_scalar(), gradients));
    }
}

#[test]
fn a_settled_batch_reports_its_unweighted_losses_once() {
    let one = One::new(&X, &W);
    settled(&one.batch, WeightNorm::Slots);
    settled(&one.batch, WeightNorm::Slots);
    let values = one.loader.with_stream(|stream| stream.values()).unwrap();
    let seen: Vec<_> = values.iter().map(|(_, row)| (row.presentations(), row.mean_loss())).collect();
    assert_eq!(seen, X.map(|x| (1, x * x)));
    assert_eq!(one.end(), X.map(|x| Signal { loss: x * x, class: None }));
}

#[test]
fn a_batch_dropped_unsettled_is_reported_as_no_signal() {
    let folder = tempfile::tempdir().unwrap();
    let loader = loader(&X, &W, 2, folder.path());
    let on_device = loader.to_device(&Device::default().autodiff());
    let mut iterator = on_device.iter();
    let (first, second) = (iterator.next().unwrap().unwrap(), iterator.next().unwrap().unwrap());
    settled(&second, WeightNorm::Slots);

    // Reports count in the order of the batches, so the second one's shows whether the first one was answered.
    let seen = || {
        let values = loader.with_stream(|stream| stream.values()).unwrap();
        let seen: Vec<_> = values.iter().filter(|(_, row)| row.is_seen()).map(|(position, _)| position).collect();
        seen
    };
    assert!(seen().is_empty());
    drop(first.into_inner());
    let mut positions = second.positions().to_vec();
    positions.sort_unstable();
    assert_eq!(seen(), positions);
}

#[test]
fn signals_of_classes_arrive_with_their_rows_also_when_some_are_not_finite() {
    let one = One::new(&[0.0, 1.0], &[1.0, 2.0]);
    let device = Device::default().autodiff();
    let logits: Vec<f32> = one.in_slots(&[[2.0, 0.0], [f32::NAN, 0.0]]).concat();
    let logits = Tensor::<1>::from_floats(logits.as_slice(), &device).reshape([2, 2]).require_grad();
    let targets = Tensor::<1, Int>::from_ints([0, 0], &device);
    let losses = arable_trainer::loss::cross_entropy(logits.clone(), targets.clone());
    let loss = one.batch.settle(losses, Signals::classification(&logits, &targets));
    assert!(loss.into_scalar::<f32>().is_nan());

    let rows = one.end();
    assert_eq!(rows.len(), 2);
    let p = 1.0 / (1.0 + (-2.0_f32).exp());
    let Some(ClassSignal { logit_margin, probability_margin, probability, pair }) = rows[0].class else {
        panic!("no signal of classes");
    };
    for (found, expected) in
        [(rows[0].loss, -p.ln()), (logit_margin, 2.0), (probability_margin, 2.0 * p - 1.0), (probability, p)]
    {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
    assert_eq!(pair, Some(ClassPair { label: 0, rival: 1 }));
    assert!(rows[1].loss.is_nan() && rows[1].class.unwrap().probability.is_nan());
}

#[test]
fn a_plain_batch_settles_to_the_plain_mean() {
    let device = Device::default().autodiff();
    let batch = Curated::plain(Tensor::from_floats(X, &device));
    let (loss, _) = settled(&batch, WeightNorm::Slots);
    assert!((loss - X.iter().map(|x| x * x).sum::<f32>() / 4.0).abs() < 1e-5);
    assert_eq!(batch.weights().dims(), [1]);
}

#[test]
fn everything_that_was_settled_is_reported_before_the_run_is_gone() {
    // Batches that take longer to report than to settle or to make, so that some are under way when the run ends.
    const ROWS: usize = 1 << 13;
    let column: ArrayRef = Arc::new(Float32Array::from_iter_values((0..25 * ROWS).map(|i| (i % ROWS) as f32)));
    let data = RecordBatch::try_from_iter([("x", column)]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recipe = support::recipe(ROWS, 1).window(1).prefetch(1);
    let stream = Memory::in_blocks(data, ROWS).builder(recipe).record(folder.path()).open().unwrap();
    let loader = CuratedDataLoader::from_arrow(stream, x).into_arc();
    let batches: Vec<_> = loader.iter().collect::<Result<_, _>>().unwrap();
    for batch in &batches {
        let _loss = batch.settle((**batch).clone(), Signals::none());
    }
    // That the batches are still alive makes no difference.
    drop(loader);
    let reports = reports(folder.path());
    assert!(reports.iter().map(|report| report.batch).eq(0..25));
    for (report, batch) in reports.iter().zip(&batches) {
        assert!(report.rows.iter().map(|(position, _)| position).eq(batch.positions()));
        assert!(report.rows.iter().all(|(position, signal)| signal.loss == position.row as f32));
    }
}

/// The messages of all events of a thread.
struct Words(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Words {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Message<'a>(&'a mut Vec<String>);
        impl tracing::field::Visit for Message<'_> {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0.push(format!("{value:?}"));
                }
            }
        }
        event.record(&mut Message(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_training_that_never_settles_is_told_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let said = |settled: &[usize]| {
        let words = Arc::new(Mutex::new(Vec::new()));
        tracing::subscriber::with_default(Words(Arc::clone(&words)), || {
            let values: Vec<f32> = (0..64).map(|x| x as f32).collect();
            let loader = loader(&values, &[1.0; 64], 1, &folder.path().join(format!("{settled:?}")));
            for (number, batch) in loader.iter().enumerate() {
                let batch = batch.unwrap();
                if settled.contains(&number) {
                    let _loss = batch.settle(batch.clone(), Signals::none());
                }
            }
        });
        let words = words.lock().unwrap();
        words.iter().filter(|word| word.contains("none of the first batches was settled")).count()
    };
    assert_eq!(said(&[]), 1);
    assert_eq!(said(&[3]), 0, "some may be looked at and dropped");
}
