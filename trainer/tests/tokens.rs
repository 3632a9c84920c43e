//! Losses of tokens in packed slots: each belongs to the document that its token came from.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use arable_loader::{
    arrow::array::{ArrayRef, ListArray, RecordBatch},
    arrow::datatypes::Int32Type,
    stream::{Fit, Packing},
};
use arable_trainer::{BoxError, Curated, CuratedDataLoader, Signals, columns, loss::CrossEntropy, loss::Losses};
use burn::{
    data::dataloader::DataLoader,
    tensor::{Device, Int, Tensor, activation::log_softmax},
};
use support::{Memory, recipe, reports};

const SLOT: usize = 8;
const WORDS: usize = 5;

/// Documents of 1 to 13 tokens: some fit into a slot together, some only cut. The token at i of document d says which.
fn documents() -> Vec<Vec<i32>> {
    (0..17).map(|d| (0..1 + d * 5 % 13).map(|i| (d * 3 + i * i) % WORDS as i32).collect()).collect()
}

fn tokens(data: &RecordBatch, device: &Device) -> Result<Tensor<2, Int>, BoxError> {
    Ok(columns::ints(data, "tokens", device)?)
}

fn loader(fit: Fit, folder: &Path) -> CuratedDataLoader<Tensor<2, Int>> {
    let lists = documents().into_iter().map(|document| Some(document.into_iter().map(Some).collect::<Vec<_>>()));
    let column: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
    let data = RecordBatch::try_from_iter([("tokens", column)]).unwrap();
    let stream = Memory::new(data)
        .builder(recipe(3, 1).epoch_batches(4))
        .pack(Packing::new("tokens", SLOT as u32).fit(fit))
        .record(folder)
        .open()
        .unwrap();
    CuratedDataLoader::from_arrow(stream, tokens)
}

/// What the model says of the word after one: fixed numbers.
fn logits(words: &Tensor<2, Int>) -> Tensor<3> {
    let table: Vec<f32> = (0..WORDS * WORDS).map(|i| (i * 7 % 11) as f32 / 3.0).collect();
    let table = Tensor::<1>::from_floats(table.as_slice(), &words.device()).reshape([WORDS, WORDS]);
    let [slots, tokens] = words.dims();
    table.select(0, words.clone().reshape([slots * tokens])).reshape([slots, tokens, WORDS])
}

/// The loss of word `next` after `word`.
fn loss(word: i32, next: i32) -> f32 {
    let word = Tensor::<2, Int>::from_ints([[word]], &Device::default());
    floats(log_softmax(logits(&word), 2))[next as usize]
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as().unwrap()
}

/// Losses of the next words, and all of them counted.
fn next_words(words: &Tensor<2, Int>) -> (Tensor<2>, Tensor<2>) {
    let [slots, tokens] = words.dims();
    let before = words.clone().slice([0..slots, 0..tokens - 1]);
    let after = words.clone().slice([0..slots, 1..tokens]);
    CrossEntropy::new().of_tokens(logits(&before), after)
}

/// Each batch of an epoch, and its losses by document.
fn walk(loader: &CuratedDataLoader<Tensor<2, Int>>, mut look: impl FnMut(&Curated<Tensor<2, Int>>, Losses)) {
    for batch in loader.iter() {
        let batch = batch.unwrap();
        let (losses, counts) = next_words(&batch);
        let losses = batch.of_next_tokens(losses, counts);
        look(&batch, losses.clone());
        assert_eq!(batch.settle(losses, Signals::none()).dims(), [1]);
    }
}

#[test]
fn each_documents_loss_is_that_of_its_own_words() {
    for fit in [Fit::FirstFit, Fit::ConcatAndCut] {
        let folder = tempfile::tempdir().unwrap();
        let loader = loader(fit, folder.path());
        let documents = documents();
        let mut wanted = BTreeMap::<_, Vec<f32>>::new();
        let (mut cut, mut shared) = (false, false);
        walk(&loader, |batch, losses| {
            let spans = batch.spans().expect("packed");
            let (found, factors) = (floats(losses.per_sample()), floats(losses.factors().unwrap()));
            assert_eq!((found.len(), factors.len()), (spans.len(), spans.len()));
            let (mut sum, mut count) = (0.0, 0.0);
            for (i, span) in spans.iter().enumerate() {
                let document = &documents[batch.positions()[i].row as usize];
                let words = &document[span.from as usize..][..span.length as usize];
                let each: Vec<_> = words.windows(2).map(|pair| -loss(pair[0], pair[1])).collect();
                let mean = each.iter().sum::<f32>() / each.len().max(1) as f32;
                assert!((found[i] - mean).abs() < 1e-5, "{fit:?}: {} and {mean} of {words:?}", found[i]);
                assert_eq!(factors[i], each.len() as f32);
                sum += each.iter().sum::<f32>();
                count += factors[i];
                cut |= span.from > 0;
                shared |= span.start > 0;
                wanted.entry(batch.positions()[i]).or_default().push(mean);
            }
            // What is trained on is the mean over words, whoever's they are.
            assert!((losses.mean().into_scalar::<f32>() - sum / count).abs() < 1e-5);
        });
        assert!(cut && shared, "{fit:?}: the documents are to be cut and to share slots");
        drop(loader);
        let mut reported = BTreeMap::<_, Vec<f32>>::new();
        for (position, signal) in reports(folder.path()).into_iter().flat_map(|report| report.rows) {
            reported.entry(position).or_default().push(signal.loss);
        }
        assert!(reported.keys().eq(wanted.keys()));
        for (position, losses) in wanted {
            for (one, other) in losses.iter().zip(&reported[&position]) {
                assert!((one - other).abs() < 1e-5, "document {position:?}");
            }
        }
    }
}

#[test]
fn no_gradient_reaches_a_word_across_documents_or_from_padding() {
    let folder = tempfile::tempdir().unwrap();
    let loader = loader(Fit::FirstFit, folder.path());
    for batch in loader.iter() {
        let batch = batch.unwrap();
        let [slots, tokens] = batch.dims();
        let device = Device::default().autodiff();
        let losses = Tensor::<2>::ones([slots, tokens - 1], &device).require_grad();
        let loss = batch.of_next_tokens(losses.clone(), losses.ones_like()).mean();
        let gradient = floats(losses.grad(&loss.backward()).unwrap());
        let mut inside = vec![false; slots * (tokens - 1)];
        for span in batch.spans().unwrap() {
            let first = span.slot as usize * (tokens - 1) + span.start as usize;
            inside[first..first + span.length as usize - 1].fill(true);
        }
        assert_eq!(gradient.iter().map(|gradient| *gradient > 0.0).collect::<Vec<_>>(), inside);
    }
}

#[test]
fn without_packing_each_row_is_a_document() {
    let device = Device::default();
    let batch = Curated::plain(());
    let losses = Tensor::<2>::from_floats([[1.0, 3.0, 9.0], [2.0, 2.0, 5.0]], &device);
    let counts = Tensor::<2>::from_floats([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], &device);
    let of = |losses: Losses| (floats(losses.per_sample()), floats(losses.factors().unwrap()));
    let wanted = (vec![2.0, 0.0], vec![2.0, 0.0]);
    assert_eq!(of(batch.of_tokens(losses.clone(), counts.clone())), wanted);
    assert_eq!(of(batch.of_next_tokens(losses, counts)), wanted);
}
