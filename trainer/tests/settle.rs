//! What settling does: to the gradients, and to the loader.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;

use arable_loader::{
    ClassSignal, Signal, Stream,
    arrow::array::{ArrayRef, Float32Array, RecordBatch},
    stream::Reports,
};
use arable_trainer::{BoxError, Curated, CuratedDataLoader, Signals, WeightNorm, columns};
use burn::{
    data::dataloader::DataLoader,
    tensor::{Device, Int, Tensor},
};

/// A stream of one batch that holds all `x`, with the given weights. Also what came back.
fn stream(x: &[f32], weights: &[f32]) -> (Stream, Reports) {
    let column: ArrayRef = Arc::new(Float32Array::from(x.to_vec()));
    let data = RecordBatch::try_from_iter([("x", column)]).unwrap();
    Stream::in_memory(data, weights.to_vec(), x.len(), 1)
}

fn x(data: &RecordBatch, device: &Device) -> Result<Tensor<1>, BoxError> {
    Ok(columns::floats(data, "x", device)?)
}

/// The only batch of [`stream`], on an autodiff device, with its loader.
fn batch(values: &[f32], weights: &[f32]) -> (CuratedDataLoader<Tensor<1>>, Curated<Tensor<1>>, Reports) {
    let (stream, reports) = stream(values, weights);
    let loader = CuratedDataLoader::from_arrow(stream, x);
    let batch = loader.to_device(&Device::default().autodiff()).iter().next().unwrap().unwrap();
    (loader, batch, reports)
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
    let (_loader, batch, _) = batch(&X, &W);
    let (loss, gradients) = settled(&batch, WeightNorm::Slots);
    // x² has the gradient 2x, and the mean divides by the four slots.
    let by_hand: Vec<f32> = X.iter().zip(W).map(|(x, w)| w * 2.0 * x / 4.0).collect();
    assert_eq!(gradients, by_hand);
    let by_hand: f32 = X.iter().zip(W).map(|(x, w)| w * x * x).sum::<f32>() / 4.0;
    assert!((loss - by_hand).abs() < 1e-5);
}

#[test]
fn norming_by_the_sum_divides_by_the_weights() {
    let (_loader, batch, _) = batch(&X, &W);
    let (_, gradients) = settled(&batch, WeightNorm::Sum);
    for (found, (x, w)) in gradients.into_iter().zip(X.iter().zip(W)) {
        assert!((found - w * 2.0 * x / 4.75).abs() < 1e-6);
    }
}

#[test]
fn a_batch_without_weight_is_no_division_by_zero() {
    let (_loader, batch, _) = batch(&X, &[0.0; 4]);
    assert_eq!(settled(&batch, WeightNorm::Sum), (0.0, vec![0.0; 4]));
}

#[test]
fn weights_of_one_leave_the_plain_mean_bit_for_bit() {
    let values: Vec<f32> = (0..37).map(|i| 1.0 / (i as f32 + 0.7)).collect();
    let (_loader, batch, _) = batch(&values, &[1.0; 37]);
    for norm in [WeightNorm::Slots, WeightNorm::Sum] {
        let leaf = (*batch).clone().require_grad();
        let mean = (leaf.clone() * leaf.clone()).mean();
        let gradients: Vec<f32> = leaf.grad(&mean.backward()).unwrap().try_into_vec_as().unwrap();
        assert_eq!(settled(&batch, norm), (mean.into_scalar(), gradients));
    }
}

#[test]
fn a_settled_batch_reports_its_unweighted_losses_once() {
    let (loader, batch, reports) = batch(&X, &W);
    settled(&batch, WeightNorm::Slots);
    settled(&batch, WeightNorm::Slots);
    loader.drain();
    drop(batch);
    let reports = reports.lock().unwrap();
    assert_eq!(reports.len(), 1);
    let rows: Vec<_> = reports[0].rows.iter().map(|(position, signal)| (position.row, *signal)).collect();
    let expected: Vec<_> = (0..).zip(X.map(|x| Signal { loss: x * x, class: None })).collect();
    assert_eq!(rows, expected);
}

#[test]
fn a_batch_dropped_unsettled_is_reported_as_no_signal() {
    let (_loader, batch, reports) = batch(&X, &W);
    drop(batch.into_inner());
    let reports = reports.lock().unwrap();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].rows.is_empty());
}

#[test]
fn signals_of_classes_arrive_with_their_rows_also_when_some_are_not_finite() {
    let (loader, batch, reports) = batch(&[0.0, 1.0], &[1.0, 2.0]);
    let device = Device::default().autodiff();
    let logits = Tensor::<2>::from_floats([[2.0, 0.0], [f32::NAN, 0.0]], &device).require_grad();
    let targets = Tensor::<1, Int>::from_ints([0, 0], &device);
    let losses = arable_trainer::loss::cross_entropy(logits.clone(), targets.clone());
    let loss = batch.settle(losses, Signals::classification(&logits, &targets));
    assert!(loss.into_scalar::<f32>().is_nan());
    loader.drain();

    let reports = reports.lock().unwrap();
    let rows: Vec<_> = reports[0].rows.iter().map(|(_, signal)| *signal).collect();
    let p = 1.0 / (1.0 + (-2.0_f32).exp());
    let Some(ClassSignal { logit_margin, probability_margin, probability }) = rows[0].class else {
        panic!("no signal of classes");
    };
    for (found, expected) in
        [(rows[0].loss, -p.ln()), (logit_margin, 2.0), (probability_margin, 2.0 * p - 1.0), (probability, p)]
    {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
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
fn reports_come_in_the_order_of_the_batches_and_all_before_the_run_is_gone() {
    let column: ArrayRef = Arc::new(Float32Array::from_iter_values((0..400).map(|i| i as f32)));
    let data = RecordBatch::try_from_iter([("x", column)]).unwrap();
    let (stream, reports) = Stream::in_memory(data, vec![1.0; 400], 2, 1);
    let loader = CuratedDataLoader::from_arrow(stream, x).into_arc();
    for batch in loader.iter() {
        let batch = batch.unwrap();
        let _loss = batch.settle((*batch).clone(), Signals::none());
    }
    drop(loader);
    let reports = reports.lock().unwrap();
    assert!(reports.iter().map(|report| report.batch).eq(0..200));
    assert!(reports.iter().all(|report| report.rows.iter().all(|(at, signal)| signal.loss == at.row as f32)));
}
