//! Wrong labels that a training finds, and the labels that it suggests in their place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{collections::HashSet, f32::consts::TAU, sync::Arc};

use arable_loader::{
    Purpose, Randomness,
    arrow::array::{ArrayRef, AsArray, Float32Array, RecordBatch, StringArray},
};
use arable_trainer::{BoxError, Curated, CuratedDataLoader, Signals, columns, loss};
use burn::{
    data::dataloader::DataLoader,
    nn::{Linear, LinearConfig},
    optim::{AdamWConfig, GradientsParams},
    tensor::{Device, Int, Tensor},
};
use support::Memory;

/// The labels, by the model's number: in no order that could be guessed from them.
const NAMES: [&str; 6] = ["oak", "ash", "yew", "elm", "fir", "box"];
const ROWS: usize = 1_400;

/// Points around six places on a circle; one label in five says the next place. With it the number of each row's place.
fn planted() -> (RecordBatch, Vec<usize>, Vec<usize>) {
    let mut randomness = Randomness::new(3, 0, 0, Purpose::Rows);
    let mut unit = || randomness.unit() as f32;
    let (mut x, mut y, mut truth, mut labels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in 0..ROWS {
        let place = row % NAMES.len();
        let angle = TAU * place as f32 / NAMES.len() as f32;
        x.push(3.0 * angle.cos() + 2.0 * (unit() - 0.5));
        y.push(3.0 * angle.sin() + 2.0 * (unit() - 0.5));
        truth.push(place);
        labels.push(if unit() < 0.2 { (place + 1) % NAMES.len() } else { place });
    }
    let [x, y] = [x, y].map(|values| Arc::new(Float32Array::from(values)) as ArrayRef);
    let names: ArrayRef = Arc::new(labels.iter().map(|&label| Some(NAMES[label])).collect::<StringArray>());
    (RecordBatch::try_from_iter([("x", x), ("y", y), ("label", names)]).unwrap(), truth, labels)
}

type Points = (Tensor<2>, Tensor<1, Int>);

fn batch(data: &RecordBatch, device: &Device) -> Result<Points, BoxError> {
    let points = Tensor::stack(vec![columns::floats::<1>(data, "x", device)?, columns::floats(data, "y", device)?], 1);
    let names = data.column_by_name("label").ok_or("no label")?.as_string::<i32>();
    let numbers: Vec<i64> = (names.iter().flatten())
        .filter_map(|name| NAMES.iter().position(|other| *other == name))
        .map(|number| number as i64)
        .collect();
    Ok((points, Tensor::from_ints(numbers.as_slice(), device)))
}

fn step(model: &Linear, batch: Curated<Points>) -> Tensor<1> {
    let (points, labels) = (batch.0.clone(), batch.1.clone());
    let logits = model.forward(points);
    batch.settle(loss::cross_entropy(logits.clone(), labels.clone()), Signals::classification(&logits, &labels))
}

/// With batches whose logits are read as they are, and with some that are made signals of on the device.
#[test]
fn wrong_labels_come_first_and_the_right_ones_are_suggested_in_the_words_of_the_data() {
    let (data, truth, labels) = planted();
    for size in [50, ROWS / 2] {
        let recipe = support::recipe(size, 40).label("label");
        let stream = Memory::in_blocks(data.clone(), 350).builder(recipe).open().unwrap();
        let loader = CuratedDataLoader::from_arrow(stream, batch);
        let device = Device::default().autodiff();
        device.seed(1);
        let mut model = LinearConfig::new(2, NAMES.len()).init(&device);
        let mut optimiser = AdamWConfig::new().init();
        let on_device = loader.to_device(&device);
        for _ in 0..loader.num_epochs() {
            for batch in on_device.iter() {
                let gradients = GradientsParams::from_grads(step(&model, batch.unwrap()).backward(), &model);
                model = optimiser.step(0.05, model, gradients);
            }
        }
        let found = loader.with_stream(|stream| stream.suspicions()).unwrap();
        assert_eq!(found.len(), ROWS);
        let number = |row: arable_loader::Position| (row.block * 350 + row.row) as usize;
        assert!(found.iter().all(|row| row.given == Some(NAMES[labels[number(row.position)]])));
        let wrong: HashSet<usize> = (0..ROWS).filter(|&row| labels[row] != truth[row]).collect();
        let worst = found.worst_first();
        let hits = worst.iter().take(wrong.len()).filter(|row| wrong.contains(&number(row.position))).count();
        let right = found.iter().filter(|row| wrong.contains(&number(row.position)));
        let right = right.filter(|row| row.suggested == Some(NAMES[truth[number(row.position)]])).count();
        let share = |count: usize| count as f64 / wrong.len() as f64;
        assert!(share(hits) > 0.9, "batches of {size}: {} of the most suspicious are wrong", share(hits));
        assert!(share(right) > 0.9, "batches of {size}: of {} the right label is suggested", share(right));
    }
}
