//! A trainer without a model: what it reports is a function of batch and row, so that two trainings can be compared.

use crate::walk::{Line, walk_batch};
use arable_loader::{
    Batch, ClassPair, ClassSignal, Pick, Position, Signal, Stream,
    stream::{Scores, Unscored},
    value::{Gram, Scored},
};

/// What training would say of a row: rows with `row % 5 == 0` look mislabelled, more so the longer it goes on.
#[must_use]
pub fn signal(batch: u64, position: Position) -> Signal {
    let wobble = ((u64::from(position.row) * 31 + u64::from(position.block) * 17 + batch * 7) % 11) as f32 / 50.0;
    let wrong = position.row.is_multiple_of(5);
    let margin = if wrong { -0.8 + wobble } else { 0.7 + wobble };
    let probability = (1.0 + margin) / 2.0;
    let loss = if position.row % 97 == 96 { f32::NAN } else { -probability.ln() };
    // Of four classes, taken for the next, now and then for the one after that.
    let label = (position.block + position.row) % 4;
    let rival = (label + if (batch + u64::from(position.row)).is_multiple_of(4) { 2 } else { 1 }) % 4;
    let pair = Some(ClassPair { label, rival });
    let class = ClassSignal { logit_margin: 4.0 * margin, probability_margin: margin, probability, pair };
    Signal { loss, class: Some(class) }
}

/// What the model would say of the candidates at `positions`.
#[must_use]
pub fn scores(batch: u64, positions: &[Position]) -> Vec<Scored> {
    let score = |&position: &Position| {
        let signal = signal(batch, position);
        let probability = signal.class.map(|class| class.probability);
        let alignment = probability.map(|probability| 0.6 - probability);
        Scored {
            signal,
            alignment,
            el2n: probability.map(|probability| (1.0 - probability) * std::f32::consts::SQRT_2),
        }
    };
    positions.iter().map(score).collect()
}

/// What the model would say of the gradients of the candidates at `positions`, each beside each: they are of length 1, in
/// a plane, and point anywhere.
#[must_use]
pub fn products(batch: u64, positions: &[Position]) -> Vec<f32> {
    let angle = |position: &Position| {
        ((u64::from(position.row) * 29 + u64::from(position.block) * 13 + batch * 5) % 17) as f32 / 3.0
    };
    positions.iter().flat_map(|one| positions.iter().map(move |other| (angle(one) - angle(other)).cos())).collect()
}

/// What is picked of `batch`, if its model says what [`scores`] and [`products`] do.
///
/// # Panics
///
/// Where the policy picks nothing of it.
#[must_use]
pub fn select(batch: &Batch) -> Vec<Pick> {
    let scores = scores(batch.number, &batch.positions);
    let products = products(batch.number, &batch.positions);
    let gram = Gram::new(&products, batch.positions.len()).unwrap();
    let needs_gram = batch.receipt.needs().is_some_and(|needs| needs.gram);
    let scores = Scores::of(&scores);
    batch.receipt.select(if needs_gram { scores.with_gram(gram) } else { scores }).unwrap()
}

/// Walks at most `batches` batches of `stream`, and reports on each but every 23rd, which it drops.
///
/// # Panics
///
/// Where the stream fails.
pub fn train(stream: &mut Stream, batches: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for batch in stream.by_ref().take(batches) {
        let batch = batch.unwrap();
        lines.push(walk_batch(&batch));
        report(batch);
    }
    lines
}

/// Reports on `batch`, unless it is one of those that are dropped.
///
/// # Panics
///
/// Where the stream does not take the report.
pub fn report(batch: Batch) {
    if batch.number % 23 != 22 {
        if let Some(Unscored { picks, .. }) = batch.receipt.unscored() {
            let trained: Vec<Position> = picks.iter().map(|pick| batch.positions[pick.index as usize]).collect();
            return batch.receipt.report_trained(&scores(batch.number, &trained), &picks).unwrap();
        }
        let signals: Vec<Signal> = batch.positions.iter().map(|&position| signal(batch.number, position)).collect();
        match batch.receipt.needs() {
            Some(_) => {
                let picks = select(&batch);
                batch.receipt.report_picked(&signals, &picks).unwrap();
            }
            None => batch.receipt.report(&signals).unwrap(),
        }
    }
}
