//! What selecting does: to the batch, to the gradients, and to the loader.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{error::Error as _, path::Path, sync::Arc};

use arable_loader::{
    Position, Purpose, Randomness, Recipe, Signal,
    arrow::array::{ArrayRef, Float32Array, RecordBatch},
    value::{self, Candidate, Gram, LastLayer, PolicySpec, SuperBatch, Trusted},
};
use arable_trainer::{BoxError, Curated, CuratedDataLoader, Error, SelectRows, Signals, columns};
use burn::{
    data::dataloader::DataLoader,
    tensor::{Device, Int, Tensor},
};
use support::{Memory, reports};

/// Rows 0 to 11, in super-batches of six of which two are trained; the reference's loss is in `h`.
fn loader(policy: &str, folder: &Path) -> CuratedDataLoader<(Tensor<1>, Vec<f32>)> {
    loader_with(policy, &[], folder)
}

fn loader_with(policy: &str, options: &[(&str, &str)], folder: &Path) -> CuratedDataLoader<(Tensor<1>, Vec<f32>)> {
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
    for (option, value) in options {
        recipe = recipe.policy_option(*option, *value);
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
    let options: &[(&str, &str)] = if policy == "alignment" { &GREATS } else { &[] };
    let folder = tempfile::tempdir().unwrap();
    let loader = loader_with(policy, options, folder.path()).to_device(&Device::default().autodiff());
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
    let aligned = |x: &Tensor<1>| (x.clone(), Signals::none().with_alignments(&[1.0; 6]));
    let apart = fault("alignment", |batch| drop(batch.select(|(x, _)| aligned(x))));
    assert!(apart.contains("last layer"), "{apart}");
    // Without what the errors are, nothing is known of a last layer.
    let trusted = trusted(&[1.0, 0.0], &[1.0], 1);
    let bare = |x: &Tensor<1>| (x.clone(), Signals::none().with_last_layer(&x.clone().reshape([6, 1]), &trusted));
    let bare = fault("alignment", |batch| drop(batch.select(|(x, _)| bare(x))));
    assert!(bare.contains("alignment"), "{bare}");
}

const GREATS: [(&str, &str); 1] = [("method", "greats")];

fn trusted(errors: &[f32], inputs: &[f32], rows: usize) -> Trusted {
    Trusted::new(&LastLayer::new(errors, inputs, rows).unwrap())
}

/// The last layer of rows `x`, as a model would have it: logits of two classes, and inputs; the labels are 0.
fn last_layer(x: &Tensor<1>) -> (Tensor<2>, Tensor<2>) {
    let logits = Tensor::stack::<2>(vec![x.clone() * 0.3, (x.clone() * 1.7).sin()], 1);
    let inputs = Tensor::stack::<2>(vec![x.clone().cos(), (x.clone() * 0.7).sin(), x.clone() * 0.1], 1);
    (logits, inputs)
}

#[test]
fn what_the_device_says_of_the_last_layer_is_what_the_numbers_of_each_row_say() {
    let trusted = trusted(&[0.5, -0.5, -0.2, 0.2], &[1.0, 0.3, -0.4, 0.2, 0.9, 0.1], 2);
    for options in [&[][..], &GREATS[..]] {
        let folder = tempfile::tempdir().unwrap();
        let batch = first(&loader_with("alignment", options, folder.path()));
        let rows = batch.1.clone();
        let batch = batch.select(|(x, _)| {
            let (logits, inputs) = last_layer(&x.clone().require_grad());
            let targets = Tensor::<1, Int>::zeros([6], &x.device());
            (x.clone(), Signals::classification(&logits, &targets).with_last_layer(&inputs, &trusted))
        });

        let (logits, inputs) = last_layer(&Tensor::from_floats(rows.as_slice(), &Device::default()));
        let logits: Vec<f32> = logits.try_into_vec_as().unwrap();
        let inputs: Vec<f32> = inputs.try_into_vec_as().unwrap();
        let errors: Vec<f32> = logits
            .chunks(2)
            .flat_map(|z| {
                let wrong = 1.0 / (1.0 + (z[0] - z[1]).exp());
                [-wrong, wrong]
            })
            .collect();
        let layer = LastLayer::new(&errors, &inputs, 6).unwrap();
        let products = trusted.gram(&layer);
        let candidates: Vec<Candidate> = (rows.iter().zip(trusted.alignments(&layer).unwrap()))
            .map(|(x, alignment)| Candidate {
                position: Position::new(0, *x as u32),
                signal: Signal { loss: *x, class: None },
                el2n: None,
                reference: None,
                alignment: Some(alignment as f32),
            })
            .collect();
        let gram = Some(Gram::new(&products, 6).unwrap());
        let super_batch = SuperBatch { gram, ..SuperBatch::new(&candidates) };
        let mut text = "candidates = 6".to_owned();
        options.iter().for_each(|(option, value)| text += &format!("\n{option} = '{value}'"));
        let policy = value::policy(&PolicySpec { name: "alignment".into(), options: text.parse().unwrap() }).unwrap();
        let mut randomness = Randomness::new(0, 0, 0, Purpose::Selection);
        let picks = policy.selection().unwrap().selector.select(&super_batch, 2, &mut randomness);
        assert_eq!(batch.1, picks.iter().map(|pick| rows[pick.index as usize]).collect::<Vec<_>>(), "{options:?}");
    }
}

/// Rows are of three kinds, x mod 3, each row of a kind the twin of the others. A trusted set of five in ten of kind 0, four
/// of kind 1 and one of kind 2 is helped by the first two.
#[test]
fn of_twins_greats_trains_on_one() {
    let errors: Vec<f32> = [0, 0, 0, 0, 0, 1, 1, 1, 1, 2]
        .iter()
        .flat_map(|kind| (0..3).map(move |class| 1.0 / 3.0 - f32::from(u8::from(class == *kind))))
        .collect();
    let trusted = trusted(&errors, &[1.0; 10], 10);
    for options in [&[][..], &GREATS[..]] {
        let folder = tempfile::tempdir().unwrap();
        let loader = loader_with("alignment", options, folder.path()).to_device(&Device::default().autodiff());
        let mut compared = 0;
        for batch in loader.iter() {
            let batch = batch.unwrap();
            let kinds = |batch: &Curated<(Tensor<1>, Vec<f32>)>| -> Vec<u32> {
                let mut kinds: Vec<u32> = batch.1.iter().map(|x| *x as u32 % 3).collect();
                kinds.sort_unstable();
                kinds
            };
            let of_all = kinds(&batch);
            let batch = batch.select(|(x, rows)| {
                let device = x.device();
                let kinds: Vec<i64> = rows.iter().map(|x| *x as i64 % 3).collect();
                let targets = Tensor::<1, Int>::from_ints(kinds.as_slice(), &device);
                let signals = Signals::classification(&Tensor::zeros([6, 3], &device), &targets);
                (x.clone(), signals.with_last_layer(&Tensor::ones([6, 1], &device), &trusted))
            });
            if of_all.iter().filter(|kind| **kind == 0).count() >= 2 && of_all.contains(&1) {
                let expected = if options.is_empty() { [0, 0] } else { [0, 1] };
                assert_eq!(kinds(&batch), expected, "{options:?} of {of_all:?}");
                compared += 1;
            }
            drop(batch.settle(batch.0.clone(), Signals::none()));
        }
        assert!(compared > 0);
    }
}

#[test]
fn output_gradients_stand_in_for_classes() {
    let trusted = trusted(&[1.0, -2.0], &[1.0, 1.0], 2);
    for policy in ["importance", "alignment"] {
        let folder = tempfile::tempdir().unwrap();
        let batch = first(&loader(policy, folder.path()));
        let mut candidates = batch.1.clone();
        let batch = batch.select(|(x, _)| {
            let errors = x.clone().reshape([6, 1]) - 20.0;
            let signals = Signals::none().with_output_gradients(&errors);
            (x.clone(), signals.with_last_layer(&Tensor::ones([6, 1], &x.device()), &trusted))
        });
        assert_eq!(batch.1.len(), 2);
        // The trusted gradient is below 0, and so are those of the rows: the lower x, the more.
        candidates.sort_by(f32::total_cmp);
        assert!(policy == "importance" || batch.1.iter().all(|x| candidates[..2].contains(x)), "{:?}", batch.1);
    }
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

/// Twelve rows in super-batches of six of which four are trained, three times; τ pays above 1.
fn importance(folder: &Path) -> CuratedDataLoader<(Tensor<1>, Vec<f32>)> {
    let x: ArrayRef = Arc::new(Float32Array::from_iter_values((0..12).map(|row| row as f32)));
    let data = RecordBatch::try_from_iter([("x", x)]).unwrap();
    let recipe = Recipe::new("memory").epochs(3).batch_size(4).prefetch(1).feedback_lag(2);
    let recipe = recipe.policy("importance").policy_option("candidates", 6).policy_option("threshold", 1.0);
    CuratedDataLoader::from_arrow(Memory::new(data).builder(recipe).record(folder).open().unwrap(), batch)
}

type Batches = Box<dyn Iterator<Item = Result<Curated<(Tensor<1>, Vec<f32>)>, Box<dyn std::error::Error>>>>;

fn all_epochs(loader: &CuratedDataLoader<(Tensor<1>, Vec<f32>)>) -> Batches {
    let loader = loader.to_device(&Device::default().autodiff());
    Box::new((0..3).flat_map(move |_| loader.iter().map(|batch| batch.map_err(Into::into)).collect::<Vec<_>>()))
}

#[test]
fn where_scores_would_not_pay_none_are_made_and_what_was_trained_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let loader = importance(folder.path());
    let mut trained = Vec::new();
    for batch in all_epochs(&loader) {
        let batch = batch.unwrap();
        let (number, mut scored) = (batch.number(), false);
        let batch = batch.select(|(x, _)| {
            scored = true;
            (x.clone(), Signals::none().with_gradient_norms(&x.ones_like()))
        });
        // Norms are alike, so τ is 1, and not above 1; the first super-batches see nothing of any before.
        assert_eq!(scored, number < 3, "batch {number}");
        assert_eq!((batch.1.len(), batch.positions().len()), (4, 4));
        let losses = batch.0.clone() * 2.0;
        let loss = batch.settle(losses, Signals::none().with_gradient_norms(&batch.0.ones_like()));
        assert_eq!(loss.into_scalar::<f32>(), batch.1.iter().sum::<f32>() / 2.0, "the mean of what is trained");
        trained.push(batch.1.clone());
    }
    drop(loader);
    let reports = reports(folder.path());
    assert_eq!((reports.len(), trained.len()), (6, 6));
    for (number, (report, trained)) in reports.iter().zip(&trained).enumerate() {
        assert_eq!((report.picks.len(), report.statistic), (4, Some(1.0)));
        let losses: Vec<f32> = report.rows.iter().map(|(_, signal)| signal.loss).collect();
        let doubled: Vec<f32> = trained.iter().map(|x| 2.0 * x).collect();
        assert!(losses.len() == 6 && number < 3 || losses == doubled, "batch {number}: {losses:?}");
    }
}

#[test]
fn what_a_policy_remembers_of_rows_that_were_not_scored_has_to_be_settled() {
    let folder = tempfile::tempdir().unwrap();
    let loader = importance(folder.path());
    let mut settled = 0;
    let fault = all_epochs(&loader).find_map(|batch| {
        let batch = match batch {
            Ok(batch) => batch.select(|(x, _)| (x.clone(), Signals::none().with_gradient_norms(&x.ones_like()))),
            Err(fault) => return Some(fault.to_string()),
        };
        settled += 1;
        drop(batch.settle(batch.0.clone(), Signals::none()));
        None
    });
    assert!(fault.is_some_and(|fault| fault.contains("batch 3") && fault.contains("without scores")), "{settled}");
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
