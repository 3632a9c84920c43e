//! What selecting does: to the batch, to the gradients, and to the loader.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{error::Error as _, path::Path, sync::Arc};

use arable_loader::{
    Recipe,
    arrow::array::{ArrayRef, Float32Array, RecordBatch},
};
use arable_trainer::{BoxError, Curated, CuratedDataLoader, Error, SelectRows, Signals, columns};
use burn::{
    data::dataloader::DataLoader,
    tensor::{Device, Int, Tensor},
};
use support::{Memory, reports};

/// Rows 0 to 11, in super-batches of six of which two are trained; the reference's loss is in `h`.
fn loader(policy: &str, folder: &Path) -> CuratedDataLoader<(Tensor<1>, Vec<f32>)> {
    let x: ArrayRef = Arc::new(Float32Array::from_iter_values((0..12).map(|row| row as f32)));
    let h: ArrayRef = Arc::new(Float32Array::from_iter_values((0..12).map(|row| (row % 3) as f32 * 100.0)));
    let data = RecordBatch::try_from_iter([("x", x), ("h", h)]).unwrap();
    let mut recipe = Recipe::new("memory").batch_size(2).policy(policy).prefetch(1).feedback_lag(2);
    if policy != "uniform" {
        recipe = recipe.policy_option("candidates", 6);
    }
    if policy == "rho_loss" {
        recipe = recipe.policy_option("reference_column", "h");
    }
    let stream = Memory::new(data).builder(recipe).record(folder).open().unwrap();
    CuratedDataLoader::from_arrow(stream, batch)
}

fn batch(data: &RecordBatch, device: &Device) -> Result<(Tensor<1>, Vec<f32>), BoxError> {
    let x = columns::floats(data, "x", device)?;
    let list = x.clone().try_into_vec_as::<f32>()?;
    Ok((x, list))
}

fn first(loader: &CuratedDataLoader<(Tensor<1>, Vec<f32>)>) -> Curated<(Tensor<1>, Vec<f32>)> {
    loader.to_device(&Device::default().autodiff()).iter().next().unwrap().unwrap()
}

#[test]
fn the_picked_rows_are_trained_on_and_all_candidates_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let loader = loader("rho_loss", folder.path());
    let batch = first(&loader);
    let candidates = batch.1.clone();
    assert_eq!(candidates.len(), 6);
    // l = x, so that ρ = x − h is highest where h is 0, and there for the largest x.
    let batch = batch.select(|(x, _)| (x.clone(), Signals::none()));
    let mut wanted: Vec<f32> = candidates.clone();
    let rho = |x: f32| x - (x as u32 % 3) as f32 * 100.0;
    wanted.sort_by(|a, b| rho(*b).total_cmp(&rho(*a)));
    wanted.truncate(2);
    let mut picked = batch.1.clone();
    assert_eq!(batch.0.clone().try_into_vec_as::<f32>().unwrap(), picked);
    assert_eq!(batch.positions().iter().map(|position| position.row as f32).collect::<Vec<_>>(), picked);
    picked.sort_by(|a, b| rho(*b).total_cmp(&rho(*a)));
    assert_eq!(picked, wanted);

    let leaf = batch.0.clone().require_grad();
    let loss = batch.settle(leaf.clone() * leaf.clone(), Signals::none());
    let gradients: Vec<f32> = leaf.grad(&loss.backward()).unwrap().try_into_vec_as().unwrap();
    // The mean over the picked rows: 2x/2.
    assert_eq!(gradients, batch.1);
    drop((batch, loader));
    let [report] = &reports(folder.path())[..] else { panic!("one batch was reported") };
    let losses: Vec<f32> = report.rows.iter().map(|(_, signal)| signal.loss).collect();
    assert_eq!(losses, candidates, "the scores, not the losses that were settled");
    let picks: Vec<f32> = report.picks.iter().map(|pick| candidates[pick.index as usize]).collect();
    assert!(picks.iter().all(|x| wanted.contains(x)) && picks.len() == 2);
}

#[test]
fn where_nothing_is_picked_nothing_is_scored() {
    let folder = tempfile::tempdir().unwrap();
    let batch = first(&loader("uniform", folder.path()));
    let batch = batch.select(|_| -> (Tensor<1>, Signals) { panic!("it costs nothing") });
    assert_eq!(batch.1.len(), 2);
    let plain = Curated::plain((Tensor::<1>::zeros([3], &Device::default()), vec![0.0; 3]));
    assert_eq!(plain.select(|_| -> (Tensor<1>, Signals) { panic!("nor here") }).1.len(), 3);
}

/// What ends the training after a step over the first batch.
fn fault(policy: &str, step: impl FnOnce(Curated<(Tensor<1>, Vec<f32>)>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let loader = loader(policy, folder.path()).to_device(&Device::default().autodiff());
    let mut iterator = loader.iter();
    step(iterator.next().unwrap().unwrap());
    let error = iterator.next().unwrap().unwrap_err();
    let cause = error.source().unwrap();
    assert!(cause.downcast_ref::<Error>().is_some());
    cause.to_string()
}

#[test]
fn what_a_step_does_wrong_ends_the_training_with_its_reason() {
    let unselected = fault("rho_loss", |batch| drop(batch.settle(batch.0.clone(), Signals::none())));
    assert!(unselected.contains("call `select`"), "{unselected}");
    let few = fault("rho_loss", |batch| drop(batch.select(|(x, _)| (x.clone().narrow(0, 0, 3), Signals::none()))));
    assert!(few.contains('3') && few.contains('6'), "{few}");
    let blind = fault("importance", |batch| drop(batch.select(|(x, _)| (x.clone(), Signals::none()))));
    assert!(blind.contains("EL2N"), "{blind}");
}

#[test]
fn norms_come_from_the_logits_or_are_given() {
    let folder = tempfile::tempdir().unwrap();
    let batch = first(&loader("importance", folder.path()));
    let batch = batch.select(|(x, _)| (x.clone(), Signals::none().with_gradient_norms(x)));
    assert_eq!(batch.1.len(), 2);
    let folder = tempfile::tempdir().unwrap();
    let batch = first(&loader("importance", folder.path()));
    let batch = batch.select(|(x, _)| {
        let logits = Tensor::stack::<2>(vec![x.clone(), x.clone() * 0.5, x.clone() * -1.0], 1);
        let targets = Tensor::<1, Int>::zeros([6], &x.device());
        (x.clone(), Signals::classification(&logits, &targets))
    });
    assert_eq!(batch.1.len(), 2);
}

#[test]
fn rows_are_selected_of_everything_that_a_batch_may_hold() {
    let device = Device::default();
    let x = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &device);
    let y = Tensor::<1, Int>::from_ints([7, 8, 9], &device);
    let parts = (x, y, vec!["a", "b", "c"], Some(vec![1, 2, 3]));
    let (x, y, names, numbers) = parts.select_rows(&[2, 0, 2]);
    assert_eq!(x.try_into_vec_as::<f32>().unwrap(), [5.0, 6.0, 1.0, 2.0, 5.0, 6.0]);
    assert_eq!(y.try_into_vec_as::<i64>().unwrap(), [9, 7, 9]);
    assert_eq!((names, numbers), (vec!["c", "a", "c"], Some(vec![3, 1, 3])));
}
