//! What `BarsRenderer` shows of a whole training: on a terminal, in a log, and through a pipe of a process of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    env, fmt,
    io::{self, Write},
    process::Command,
    sync::{Arc, Mutex},
};

use arable_loader::{
    arrow::array::{ArrayRef, FixedSizeListArray, Int64Array, RecordBatch},
    arrow::datatypes::Float32Type,
    report::{Bars, ProgressMode},
};
use arable_trainer::{
    BarsRenderer, Curated, CuratedDataLoader, FromColumns, PlainDataLoader, Signals, loss::cross_entropy,
};
use burn::{
    data::{
        dataloader::{DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    module::Module,
    nn::{Linear, LinearConfig},
    optim::SgdConfig,
    tensor::{Device, Int, Tensor},
    train::{
        ClassificationOutput, InferenceStep, Learner, SupervisedTraining, TrainOutput, TrainStep,
        metric::{AccuracyMetric, LossMetric},
    },
};
use indicatif::{ProgressDrawTarget, TermLike};
use support::Memory;

const BATCH: usize = 8;
const ROWS: usize = 61;
const EPOCHS: usize = 2;

/// What was written, as one text.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal that keeps all that was ever drawn on it.
#[derive(Clone, Default)]
struct Terminal(Page);

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Terminal")
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        400
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        writeln!(self.0.clone(), "{line}")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        write!(self.0.clone(), "{text}")
    }

    fn clear_line(&self) -> io::Result<()> {
        writeln!(self.0.clone())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Point {
    x: [f32; 2],
    label: i64,
}

#[derive(Clone, Debug, FromColumns)]
struct Points {
    x: Tensor<2>,
    #[column(name = "label")]
    labels: Tensor<1, Int>,
}

struct PointBatcher;

impl Batcher<Point, Points> for PointBatcher {
    fn batch(&self, items: Vec<Point>, device: &Device) -> Points {
        let x: Vec<_> = items.iter().flat_map(|item| item.x).collect();
        let labels: Vec<_> = items.iter().map(|item| item.label).collect();
        Points {
            x: Tensor::<1>::from_floats(x.as_slice(), device).reshape([items.len(), 2]),
            labels: Tensor::from_ints(labels.as_slice(), device),
        }
    }
}

#[derive(Module, Debug)]
struct Model {
    linear: Linear,
}

impl TrainStep for Model {
    type Input = Curated<Points>;
    type Output = ClassificationOutput;

    fn step(&self, item: Self::Input) -> TrainOutput<ClassificationOutput> {
        let logits = self.linear.forward(item.x.clone());
        let losses = cross_entropy(logits.clone(), item.labels.clone());
        let loss = item.settle(losses.clone(), Signals::classification(&logits, &item.labels));
        TrainOutput::new(self, loss.backward(), ClassificationOutput::new(losses, logits, item.labels.clone()))
    }
}

impl InferenceStep for Model {
    type Input = Curated<Points>;
    type Output = ClassificationOutput;

    fn step(&self, item: Self::Input) -> ClassificationOutput {
        let logits = self.linear.forward(item.x.clone());
        ClassificationOutput::new(cross_entropy(logits.clone(), item.labels.clone()), logits, item.labels.clone())
    }
}

/// A whole training that is shown by `renderer`.
fn train(renderer: BarsRenderer) {
    let points: Vec<_> = (0..ROWS).map(|row| Point { x: [row as f32 / 61.0, 1.0], label: (row % 2) as i64 }).collect();
    let x = points.iter().map(|point| Some(point.x.map(Some)));
    let x: ArrayRef = Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(x, 2));
    let label: ArrayRef = Arc::new(Int64Array::from_iter_values(points.iter().map(|point| point.label)));
    let data = RecordBatch::try_from_iter([("x", x), ("label", label)]).unwrap();
    let loader = CuratedDataLoader::<Points>::of_columns(Memory::new(data).stream(BATCH, EPOCHS));
    let valid = DataLoaderBuilder::new(PointBatcher).batch_size(BATCH).build(InMemDataset::new(points));
    let folder = tempfile::tempdir().unwrap();
    let training =
        SupervisedTraining::new(folder.path(), loader.clone().into_arc(), PlainDataLoader::new(valid).into_arc())
            .metrics((LossMetric::new(), AccuracyMetric::new()))
            .with_application_logger(None)
            .renderer(Box::new(renderer))
            .num_epochs(EPOCHS)
            .summary();
    let device = Device::default().autodiff();
    let model = Model { linear: LinearConfig::new(2, 2).init(&device) };
    let result = loader.watch(training).launch(Learner::new(model, SgdConfig::new().init(), 0.1));
    assert!(result.error.is_none(), "{:?}", result.error);
}

/// The numbers that stand behind `name`, with their units.
fn values<'a>(text: &'a str, name: &str) -> Vec<(f64, &'a str)> {
    let behind = text.split(name).skip(1).filter_map(|rest| rest.strip_prefix(' '));
    let number = |rest: &'a str| {
        let mut words = rest.split([' ', ',', '\n']);
        Some((words.next()?.parse().ok()?, words.next()?))
    };
    behind.filter_map(number).collect()
}

#[test]
fn a_terminal_shows_a_bar_for_each_split_with_the_metrics_values_beside_it() {
    let terminal = Terminal::default();
    // As often as something changes, so that no value is passed over.
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), u8::MAX);
    train(BarsRenderer::on(Bars::on(target)));
    let text = terminal.0.text();
    for bar in ["epoch 1/2 Train", "epoch 1/2 Valid", "epoch 2/2 Train", "epoch 2/2 Valid"] {
        assert!(text.to_lowercase().contains(&bar.to_lowercase()), "{bar} in {text}");
    }
    assert!(text.contains('━') && text.contains("64 of 64 items (100 %)"), "{text}");
    assert!(values(&text, "Kept rows").iter().all(|(kept, unit)| *kept == 100.0 && unit.starts_with('%')), "{text}");
    for name in ["Loss", "Accuracy", "Kept rows", "Effective sample size", "Flagged labels", "Wait for data"] {
        let values = values(&text, name);
        assert!(!values.is_empty() && values.iter().all(|(value, _)| value.is_finite()), "{name} in {text}");
    }
    let waits = values(&text, "Wait for data");
    assert!(waits.iter().all(|(wait, unit)| *wait >= 0.0 && unit.starts_with("ms")), "{waits:?}");
    // What the training came to stands below all bars.
    assert!(text.contains("Learner Summary") || text.contains("Metric"), "{text}");
}

#[test]
fn a_log_has_a_line_for_each_split_and_no_bars() {
    let page = Page::default();
    train(BarsRenderer::on(Bars::to(page.clone())));
    let text = page.text();
    assert!(!text.contains('━') && !text.contains('\u{1b}'), "{text}");
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("epoch ")).collect();
    for (at, epoch) in (1..=EPOCHS).enumerate() {
        for (at, split) in (2 * at..).zip(["train", "valid"]) {
            let line = lines[at].to_lowercase();
            assert!(line.starts_with(&format!("epoch {epoch}/{EPOCHS} {split}: ")), "{line}");
            assert!(line.contains(" items in ") && line.contains("loss "), "{line}");
            assert_eq!(line.contains("wait for data "), split == "train", "{line}");
        }
    }
}

/// Not a test of its own: what [`standard_error_that_is_no_terminal_gets_lines`] starts.
#[test]
fn a_training_in_a_process_of_its_own() {
    match env::var("SHOW").as_deref() {
        Ok("quiet") => train(BarsRenderer::new(ProgressMode::Quiet)),
        Ok(_) => train(BarsRenderer::new(ProgressMode::Auto)),
        Err(_) => {}
    }
}

#[test]
fn standard_error_that_is_no_terminal_gets_lines() {
    let shown = |how: &str| {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "a_training_in_a_process_of_its_own", "--nocapture"])
            .env("SHOW", how)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let auto = shown("auto");
    assert_eq!(auto.lines().filter(|line| line.starts_with("epoch ")).count(), 2 * EPOCHS, "{auto}");
    assert!(auto.contains("Wait for data ") && !auto.contains('\u{1b}'), "{auto}");
    let quiet = shown("quiet");
    assert!(!quiet.contains("epoch 1/"), "{quiet}");
}
