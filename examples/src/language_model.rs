//! The example `language_model`: several texts as domains, one byte-level transformer.

use crate::{
    Result,
    arguments::{Common, On},
    bytes::{self, ByteModel, COLUMN, SLOT, Slots, Tokenise},
    comparison::begin,
    corpus::{self, Corpus},
    language_outcome::{LanguageOutcome, LanguageRun},
    licences::{Licences, without_licences},
    reading::{read, texts},
};
use arable_loader::{
    Recipe, Stream,
    clean::Action,
    recipe::{Exhausted, Part},
    report::{Bars, Progress},
    stream::{Fit, Packing},
};
use arable_trainer::{Curated, CuratedDataLoader, Signals};
use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderBuilder, batcher::Batcher},
        dataset::InMemDataset,
    },
    module::Module,
    optim::{AdamConfig, GradientsParams},
    tensor::{Device, Tensor},
};
use clap::{Parser, ValueEnum};
use std::{collections::HashSet, path::Path, sync::Arc, time::Instant};

/// Trains one byte-level transformer on several texts, each a domain: with burn's own loader (all texts as one string,
/// cut into slots), and with Arable: licences cut out, stretches of documents packed into slots, domains in fixed shares, and in
/// shares that follow the losses (`odm`, `ado`).
///
/// Without --text it runs on a book of Cicero's, and on this project's own pages and code, with whole licences PLANTED
/// between them. With it, on plain text (.txt), or on Parquet, Arrow, JSON lines, CSV or TSV files with a column `text`:
///
/// --text plays=shakespeare.txt --text terms=terms.jsonl.zst
#[derive(Clone, Debug, Parser)]
#[command(name = "language_model", verbatim_doc_comment)]
pub struct Arguments {
    /// A domain: its name and the path, pattern or URL of its texts. Two or more.
    #[arg(long, value_parser = named)]
    text: Vec<(String, String)>,
    /// How domains share the steps, separated by commas: each is a training of its own.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Mixture::Fixed, Mixture::Odm])]
    mixtures: Vec<Mixture>,
    /// Optimiser steps of each training, from 1.
    #[arg(long, default_value_t = HYPER.steps, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    steps: u32,
    /// What every example takes.
    #[command(flatten)]
    pub common: Common,
}

/// How domains share the steps of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mixture {
    /// In equal shares throughout.
    Fixed,
    /// In shares that follow the losses (Albalak et al. 2023).
    Odm,
    /// In shares that follow what a scaling law of each domain's loss promises (Jiang et al. 2025).
    Ado,
}

impl Mixture {
    const fn key(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Odm => "odm",
            Self::Ado => "ado",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "Arable, fixed shares",
            Self::Odm => "Arable, odm",
            Self::Ado => "Arable, ado",
        }
    }

    /// The policy, which only watches for the first third of the steps.
    fn policy(self, recipe: Recipe, steps: u32) -> Recipe {
        let recipe = recipe.policy(self.key());
        match self {
            Self::Fixed => recipe,
            Self::Odm => recipe.policy_option("warmup", i64::from(steps / 3)),
            Self::Ado => recipe
                .policy_option("warmup", i64::from(steps / 3))
                .policy_option("refit", i64::from(steps.div_ceil(6))),
        }
    }
}

/// What a training is made of.
#[derive(Clone, Copy, Debug)]
pub struct Hyper {
    /// Optimiser steps.
    pub steps: u32,
    /// Slots of a batch.
    pub batch: usize,
    /// Numbers that a token is embedded in.
    pub width: usize,
    /// Adam's learning rate, reached within the first twentieth of the steps.
    pub learning_rate: f64,
}

/// The learning rate is that which plain burn does best with, of what was tried on the validation split; the rest was set
/// by judgement.
pub const HYPER: Hyper = Hyper { steps: 300, batch: 16, width: 48, learning_rate: 2e-2 };
/// Blocks of each domain that are open together.
const OPEN: u32 = 4;
/// Bytes of each domain that are measured on at most.
const HELD: usize = 24_000;

fn named(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, url)) if !name.is_empty() && !url.is_empty() => Ok((name.to_owned(), url.to_owned())),
        _ => Err(format!("`{text}` is no NAME=PATH")),
    }
}

impl Arguments {
    /// The same with another seed, say.
    #[must_use]
    pub fn with(&self, common: &Common) -> Self {
        Self { common: common.clone(), ..self.clone() }
    }

    /// What the example does, but for printing.
    ///
    /// # Errors
    ///
    /// A path or column that is not there, a single domain, whatever keeps a training from ending.
    pub fn run(&self) -> Result<LanguageOutcome> {
        if self.text.len() == 1 {
            return Err("one text is no mixture: give --text two times or more".into());
        }
        if self.common.epochs.is_some() {
            return Err("a training is as long as --steps says; leave --epochs out".into());
        }
        let folder = self.common.folder("language_model")?;
        let (corpus, dirt) = if self.text.is_empty() {
            let dirt =
                "Whole licences are PLANTED between every hundred documents; the texts are those of this version.";
            (corpus::built_in(&folder.join("texts"), self.common.seed)?, dirt)
        } else {
            let texts = self.text.iter();
            let domain =
                |(name, url): &(String, String)| corpus::by_path(name, url, self.text.len(), &folder.join("texts"));
            let domains = texts.map(domain).collect::<Result<_>>()?;
            (
                Corpus { domains, planted: HashSet::new() },
                "Nothing was planted: what is wrong here came with the texts.",
            )
        };
        let hyper = Hyper {
            steps: self.steps,
            batch: self.common.sizes(1, HYPER.batch).1,
            learning_rate: self.common.learning_rate.unwrap_or(HYPER.learning_rate),
            ..HYPER
        };
        Training::new(corpus, hyper, &self.common)?.run(&self.mixtures, &folder, dirt, &self.common.bars())
    }
}

/// Strings of [`SLOT`] tokens as burn's loader takes them.
#[derive(Clone, Debug)]
struct SlotBatcher;

impl Batcher<Vec<i32>, Slots> for SlotBatcher {
    fn batch(&self, slots: Vec<Vec<i32>>, device: &Device) -> Slots {
        Slots::cut(&slots.concat(), device)
    }
}

/// What all trainings share.
struct Training {
    recipe: Recipe,
    names: Vec<String>,
    model: ByteModel,
    hyper: Hyper,
    seed: u64,
    /// In autodiff.
    device: Device,
    held_name: &'static str,
    /// Batches of each domain's held-out documents, outside of autodiff.
    held: Vec<Vec<Slots>>,
    /// All training texts as one string, dirt and all, cut into slots.
    plain: Vec<Vec<i32>>,
}

impl Training {
    fn new(corpus: Corpus, hyper: Hyper, common: &Common) -> Result<Self> {
        let Corpus { domains, planted } = corpus;
        let names = domains.iter().map(|domain| domain.name.clone()).collect();
        let cleaned = |recipe: Recipe| {
            recipe
                .columns([Licences::COLUMN])
                .split(0.1, 0.1)
                .clean("missing", [("column", Licences::COLUMN.into()), ("blank", true.into())])
                .clean("exact_duplicate", [("column", Licences::COLUMN.into())])
        };
        let part = if common.on == On::Test { Part::Holdout } else { Part::Valid };
        let device = common.device();
        let mut string = Vec::new();
        let mut held = Vec::new();
        for domain in &domains {
            // Which part a row is in follows from its content alone, and so is the same as in the mixture.
            let recipe = cleaned(Recipe { dataset: Some(domain.dataset.clone()), ..Recipe::new("") });
            let train = texts(&read(&recipe, Part::Train)?.data, Licences::COLUMN)?;
            train.iter().flatten().for_each(|text| string.extend(bytes::tokens(text)));
            let mut documents = Vec::new();
            let mut size = 0;
            let told = texts(&read(&recipe, part)?.data, Licences::COLUMN)?;
            // The operator leaves the paragraphs of a licence that do not sound like one: what is known to be planted is
            // dirt here too, and whoever has learnt it by heart would be ahead.
            for text in told.iter().flatten().filter(|text| !planted.contains(*text)) {
                let (mut text, _) = without_licences(text);
                text.truncate(text.floor_char_boundary(HELD - size));
                size += text.len();
                documents.extend((!text.is_empty()).then(|| Slots::cut(&bytes::tokens(&text), &device)));
            }
            if documents.is_empty() {
                return Err(format!("domain `{}` is too small: no document of it is kept out", domain.name).into());
            }
            held.push(documents);
        }
        let plain: Vec<Vec<i32>> = string.chunks_exact(SLOT).map(<[i32]>::to_vec).collect();
        if plain.len() < hyper.batch {
            return Err(format!("the texts make {} slots, and a batch has {}", plain.len(), hyper.batch).into());
        }
        let recipe = cleaned(Recipe::mixture(domains)).exhausted(Exhausted::Repeat);
        let mut recipe = recipe.batch_size(u32::try_from(hyper.batch)?).epoch_batches(hyper.steps.into());
        // Shares move when a window opens, so windows are short.
        recipe.stream.window = Some(OPEN * u32::try_from(held.len())?);
        let model = begin(
            common.seed,
            &device,
            |device| ByteModel::new(hyper.width, device),
            |model, device| model.losses(&Slots::cut(&[0; SLOT], device)),
        );
        let held_name = if part == Part::Holdout { "test" } else { "validation" };
        let (recipe, seed, device) = (recipe.seed(common.seed), common.seed, device.autodiff());
        Ok(Self { recipe, names, model, hyper, seed, device, held_name, held, plain })
    }

    fn run(self, mixtures: &[Mixture], folder: &Path, dirt: &str, bars: &Bars) -> Result<LanguageOutcome> {
        let bar = |name: &str| bars.add(name, Some(self.hyper.steps.into()), "steps");
        let plain = DataLoaderBuilder::new(SlotBatcher)
            .batch_size(self.hyper.batch)
            .shuffle(self.seed)
            .build(InMemDataset::new(self.plain.clone()))
            .to_device(&self.device);
        let progress = bar("plain burn");
        let loss = |model: &ByteModel, batch: &Slots| model.mean_loss(batch);
        let mut runs = vec![self.train("burn", "plain burn", &plain, loss, &progress)?];
        progress.finish();

        let mut rows = None;
        for mixture in mixtures {
            let (key, name) = (mixture.key(), mixture.name());
            let stream = Stream::builder(mixture.policy(self.recipe.clone(), self.hyper.steps))
                .operator(Box::new(Licences), Action::Drop)
                .transform(Arc::new(Tokenise))
                .pack(Packing::new(COLUMN, u32::try_from(SLOT)?).fit(Fit::ConcatAndCut))
                .record(folder.join(key));
            let loader = CuratedDataLoader::from_arrow(stream.open()?, Slots::packed);
            let progress = bar(name);
            let loss = |model: &ByteModel, batch: &Curated<Slots>| {
                // Each document's loss is the mean over its tokens in the slot, weighed by how many these are.
                batch.settle(batch.of_tokens(model.losses(batch), batch.counts()), Signals::none())
            };
            let mut run = self.train(key, name, &loader.to_device(&self.device), loss, &progress)?;
            progress.finish();
            let (domains, account, ledger) =
                loader.with_stream(|stream| (stream.domains(), stream.account(), stream.ledger()));
            run.shares = domains.iter().map(|domain| domain.share).collect();
            run.documents = domains.iter().map(|domain| domain.trained).collect();
            run.ledger = ledger;
            rows.get_or_insert(account);
            runs.push(run);
        }
        Ok(LanguageOutcome {
            seed: self.seed,
            dirt: dirt.to_owned(),
            steps: self.hyper.steps,
            held_name: self.held_name,
            domains: self.names,
            rows: rows.ok_or("no stream was trained on")?,
            runs,
        })
    }

    /// Trains for as many steps as there are to be, over the loader again and again.
    fn train<O: 'static>(
        &self,
        key: &'static str,
        name: &'static str,
        loader: &Arc<dyn DataLoader<O>>,
        loss: impl Fn(&ByteModel, &O) -> Tensor<1>,
        progress: &Progress,
    ) -> Result<LanguageRun> {
        let mut model = self.model.clone();
        let mut optimiser = AdamConfig::new().init();
        let start = Instant::now();
        let mut step = 0;
        while step < self.hyper.steps {
            let before = step;
            for batch in loader.iter().take((self.hyper.steps - step) as usize) {
                let gradients = GradientsParams::from_grads(loss(&model, &batch?).backward(), &model);
                step += 1;
                let warm = f64::from(step) / (f64::from(self.hyper.steps) / 20.0);
                model = optimiser.step(self.hyper.learning_rate * warm.min(1.0), model, gradients);
                progress.advance(1);
            }
            if step == before {
                return Err("the loader gives no batch".into());
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let model = model.valid();
        let held = self.held.iter().map(|documents| bits_per_byte(&model, documents));
        let bits_per_byte = held.collect::<Result<Vec<f64>>>()?;
        Ok(LanguageRun { key, name, bits_per_byte, seconds, shares: Vec::new(), documents: Vec::new(), ledger: None })
    }
}

/// The mean loss of the bytes that are told, in bits.
fn bits_per_byte(model: &ByteModel, documents: &[Slots]) -> Result<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for batch in documents {
        let counts = batch.counts();
        sum += f64::from((model.losses(batch) * counts.clone()).sum().try_into_scalar::<f32>()?);
        count += f64::from(counts.sum().try_into_scalar::<f32>()?);
    }
    Ok(sum / count / std::f64::consts::LN_2)
}
