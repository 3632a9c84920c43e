//! A training over burn's wgpu backend, with nothing changed but the device: what is read back is right, and every batch
//! is answered once.
//!
//! Where no adapter is found the tests say so and pass. A software Vulkan will do; but one that computes on the thread
//! that asks, as Mesa's lavapipe, cannot show that no step waits for its losses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test that was skipped says so")]

mod support;

use std::{path::Path, sync::Arc};

use arable_loader::{
    Report,
    arrow::array::{ArrayRef, FixedSizeListArray, Int64Array, RecordBatch},
    arrow::datatypes::Float32Type,
};
use arable_trainer::{Curated, CuratedDataLoader, FromColumns, Signals, loss::cross_entropy};
use burn::{
    data::dataloader::DataLoader,
    module::{Module, Param},
    nn::{Linear, LinearConfig},
    optim::{GradientsParams, SgdConfig},
    tensor::{Device, Int, Tensor},
};
use support::{Memory, reports};

const BATCH: usize = 8;
const EPOCHS: usize = 4;
const ROWS: usize = 93;

/// The device, or none where there is no adapter. A runtime can be set up once a process, so all tests share it.
fn device() -> Option<Device> {
    static DEVICE: std::sync::OnceLock<Option<Device>> = std::sync::OnceLock::new();
    let found = DEVICE.get_or_init(|| match std::panic::catch_unwind(|| Device::wgpu_options().init()) {
        Ok(Ok(device)) => Some(device),
        Ok(Err(error)) => {
            eprintln!("skipped: no wgpu device: {error}");
            None
        }
        Err(_) => {
            eprintln!("skipped: no wgpu device");
            None
        }
    });
    found.clone()
}

/// Points on a line of three classes; recorded in `folder`.
fn loader(folder: &Path) -> CuratedDataLoader<Points> {
    let label = |i: usize| (i * 7 % 3) as i64;
    let at = |i: usize| label(i) as f32 - 1.0 + (i * 37 % 100) as f32 / 250.0;
    let x = (0..ROWS).map(|i| Some([at(i), at(i) * at(i)].map(Some)));
    let x: ArrayRef = Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(x, 2));
    let labels: ArrayRef = Arc::new(Int64Array::from_iter_values((0..ROWS).map(label)));
    let data = RecordBatch::try_from_iter([("x", x), ("label", labels)]).unwrap();
    let weights: Vec<_> = (0..ROWS).map(|row| if row % 5 == 0 { 0.5 } else { 1.0 }).collect();
    CuratedDataLoader::of_columns(Memory::new(data).weighted(&weights, BATCH, EPOCHS, folder))
}

#[derive(Clone, Debug, FromColumns)]
struct Points {
    x: Tensor<2>,
    #[column(name = "label")]
    labels: Tensor<1, Int>,
}

#[derive(Module, Debug)]
struct Model {
    linear: Linear,
}

impl Model {
    fn new(device: &Device) -> Self {
        let mut linear = LinearConfig::new(2, 3).init(device);
        linear.weight = Param::from_tensor(Tensor::from_floats([[0.1, -0.2, 0.3], [0.0, 0.2, -0.1]], device));
        linear.bias = Some(Param::from_tensor(Tensor::zeros([3], device)));
        Self { linear }
    }

    fn loss(&self, batch: &Curated<Points>) -> Tensor<1> {
        let logits = self.linear.forward(batch.x.clone());
        let losses = cross_entropy(logits.clone(), batch.labels.clone());
        batch.settle(losses, Signals::classification(&logits, &batch.labels))
    }

    fn parameters(&self) -> Vec<f32> {
        let mut all: Vec<f32> = self.linear.weight.val().try_into_vec_as().unwrap();
        all.extend(self.linear.bias.as_ref().unwrap().val().try_into_vec_as::<f32>().unwrap());
        all
    }
}

/// What a training on `device` reports, and its parameters.
fn trained(device: &Device) -> (Vec<Report>, Vec<f32>) {
    let folder = tempfile::tempdir().unwrap();
    let device = device.clone().autodiff();
    let loader = loader(folder.path()).to_device(&device);
    let mut model = Model::new(&device);
    let mut optimizer = SgdConfig::new().init();
    for _ in 0..EPOCHS {
        for batch in loader.iter() {
            let gradients = GradientsParams::from_grads(model.loss(&batch.unwrap()).backward(), &model);
            model = optimizer.step(0.3, model, gradients);
        }
    }
    drop(loader);
    (reports(folder.path()), model.parameters())
}

#[test]
fn a_training_on_another_device_is_told_and_tells_the_same() {
    let Some(device) = device() else { return };
    let (found, parameters) = trained(&device);
    let (expected, on_flex) = trained(&Device::flex());

    let rows = |reports: &[Report]| -> Vec<_> {
        reports.iter().map(|report| report.rows.iter().map(|(at, _)| *at).collect::<Vec<_>>()).collect()
    };
    assert_eq!(rows(&found), rows(&expected), "the batches do not depend on the device");
    assert_eq!(found.iter().map(|report| report.rows.len()).sum::<usize>(), EPOCHS * ROWS);
    let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-3, "{a} beside {b}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.batch, expected.batch);
        for ((_, found), (_, expected)) in found.rows.iter().zip(&expected.rows) {
            near(found.loss, expected.loss);
            let (found, expected) = (found.class.unwrap(), expected.class.unwrap());
            near(found.logit_margin, expected.logit_margin);
            near(found.probability, expected.probability);
        }
    }
    parameters.into_iter().zip(on_flex).for_each(|(found, expected)| near(found, expected));
}

#[test]
fn batches_are_answered_once_and_in_order_while_the_device_is_busy() {
    let Some(device) = device() else { return };
    let folder = tempfile::tempdir().unwrap();
    let handle = loader(folder.path());
    let loader = handle.to_device(&device);
    // A product takes a device long, beside what it takes to ask for it.
    let large = Tensor::<2>::ones([256, 256], &device);
    let mut product = large.clone();
    for batch in loader.iter().take(12) {
        let batch = batch.unwrap();
        product = product.matmul(large.clone()) / 256;
        // Every loss hangs on all that the device was asked for so far.
        let losses = batch.x.clone().sum_dim(1).reshape([batch.x.dims()[0]]) + product.clone().mean();
        let _loss = batch.settle(losses, Signals::none());
    }
    drop((loader, handle));
    let reports = reports(folder.path());
    assert!(reports.iter().map(|report| report.batch).eq(0..12));
    assert!(reports.iter().flat_map(|report| &report.rows).all(|(_, signal)| signal.loss.is_finite()));
}
