//! That dropout resumes. A process has one generator for all its threads, so this is a process of its own, with one test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use arable_loader::{
    Recipe,
    arrow::array::{ArrayRef, Float32Array, RecordBatch},
    stream::State,
};
use arable_trainer::{BoxError, CuratedDataLoader, columns};
use burn::{
    data::dataloader::DataLoader,
    nn::DropoutConfig,
    tensor::{Device, Distribution, Tensor},
};
use support::Memory;

/// Four batches a virtual epoch.
fn recipe() -> Recipe {
    support::recipe(16, 3)
}

fn loader(recipe: Recipe, state: Option<State>) -> CuratedDataLoader<Tensor<1>> {
    let column: ArrayRef = Arc::new(Float32Array::from(vec![1.0; 64]));
    let data = RecordBatch::try_from_iter([("x", column)]).unwrap();
    let builder = Memory::new(data).builder(recipe);
    let stream = match state {
        Some(state) => builder.resume(state),
        None => builder,
    };
    let x = |data: &RecordBatch, device: &Device| -> Result<Tensor<1>, BoxError> {
        Ok(columns::floats(data, "x", device)?)
    };
    CuratedDataLoader::from_arrow(stream.open().unwrap(), x)
}

/// What dropout leaves of each batch that one `iter()` gives, up to `batches`. Others drew randomness before.
fn masks(loader: &CuratedDataLoader<Tensor<1>>, batches: usize) -> Vec<Vec<f32>> {
    let device = Device::default().autodiff();
    let _ = Tensor::<1>::random([3], Distribution::Default, &device).into_data();
    let dropout = DropoutConfig::new(0.5).init();
    let of = |x: Tensor<1>| dropout.forward(x).try_into_vec_as().unwrap();
    loader.to_device(&device).iter().take(batches).map(|batch| of(batch.unwrap().into_inner())).collect()
}

#[test]
fn dropout_is_a_function_of_the_seed_and_the_virtual_epoch() {
    let whole = loader(recipe(), None);
    let epochs: Vec<_> = (0..3).map(|_| masks(&whole, 4)).collect();
    assert!(epochs.iter().all(|epoch| epoch.len() == 4));
    assert_ne!(epochs[0], epochs[1]);
    assert_ne!(epochs[1], epochs[2]);

    // A run that is resumed after its first virtual epoch.
    let begun = loader(recipe(), None);
    assert_eq!(masks(&begun, 4), epochs[0]);
    let state = begun.with_stream(|stream| stream.state()).unwrap();
    drop(begun);
    let resumed = loader(recipe(), Some(state));
    assert_eq!(masks(&resumed, 4), epochs[1]);

    // An epoch that is taken up again in its midst: repeatable, and not its first batches' numbers again.
    let cut = |state: Option<State>| {
        let loader = loader(recipe(), state);
        let first = masks(&loader, 2);
        (first, loader.with_stream(|stream| stream.state()).unwrap(), masks(&loader, 2))
    };
    let (first, state, rest) = cut(None);
    assert_eq!(first, epochs[0][..2]);
    assert_ne!(rest, first);
    assert_eq!(cut(Some(state)).0, rest);

    assert_ne!(masks(&loader(recipe().seed(8), None), 4), epochs[0]);
}
