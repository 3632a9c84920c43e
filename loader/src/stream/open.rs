//! From a recipe to a stream: what has to be known, refused or derived before the first block is read.

use super::{
    Stream,
    assemble::{Settings, Shared},
    block_rows,
    meters::Meters,
    record::{self, Recorder},
    state::State,
    workers::{BeforeRead, Work},
};
use crate::{
    Error, Plan, Recipe, Report, Result,
    clean::{Cleaner, OperatorSpec},
    ledger::Record,
    source::{self, Source},
    value::{Policy, PolicySpec, inbox::Inbox, policy},
};
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64},
    },
    time::Duration,
};

/// How long a draw bears that a trainer reports nothing at all before the missing reports count as "no signal".
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of values a row: its trajectory, its class and its verdict.
const VALUE_BYTES: u64 = 32 + 4 + 1;

/// Bytes of memory a row that a duplicate index takes while the first pass lasts: key, visit and the map's slack.
const INDEX_BYTES: u64 = 40;

impl Recipe {
    /// Opens the stream: makes the plan, checks what can be checked, reads no block yet.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where the recipe asks for what cannot be done (a column that is not there, more memory than
    /// the budget), [`Error::Data`] and [`Error::Io`] where the data cannot be planned.
    pub fn open(self) -> Result<Stream> {
        Stream::builder(self).open()
    }
}

/// A stream that is about to be opened: the recipe, and what is a matter of this run alone.
#[derive(Debug)]
#[must_use]
pub struct StreamBuilder {
    recipe: Recipe,
    source: Option<Arc<dyn Source>>,
    policy: Option<Arc<dyn Policy>>,
    resume: Option<State>,
    folder: Option<PathBuf>,
    patience: Duration,
    before_read: Option<BeforeRead>,
}

impl StreamBuilder {
    pub(super) const fn new(recipe: Recipe) -> Self {
        Self { recipe, source: None, policy: None, resume: None, folder: None, patience: PATIENCE, before_read: None }
    }

    /// Goes on from `state`: the batches after it are byte for byte those of the run that it was taken from.
    pub fn resume(mut self, state: State) -> Self {
        self.resume = Some(state);
        self
    }

    /// Writes the run's ledger and feedback log to `folder`. With [`resume`](Self::resume), the folder of the run that
    /// the state was taken from.
    pub fn record(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Reads from `source` instead of the recipe's `[dataset]`.
    pub fn source(mut self, source: Arc<dyn Source>) -> Self {
        self.source = Some(source);
        self
    }

    /// Values samples by `policy` instead of the recipe's `[policy]`.
    pub fn policy(mut self, policy: Arc<dyn Policy>) -> Self {
        self.policy = Some(policy);
        self
    }

    /// How long a draw bears that a trainer reports nothing at all before the missing reports count as "no signal";
    /// a minute by default. It matters only to policies that act on signals.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Calls `hook` with a block's index before the block is read, on the thread that reads it: for tests that delay
    /// some blocks. It cannot change what is emitted.
    pub fn before_read(mut self, hook: impl Fn(u32) + Send + Sync + 'static) -> Self {
        self.before_read = Some(BeforeRead(Arc::new(hook)));
        self
    }

    /// Opens the stream.
    ///
    /// # Errors
    ///
    /// As [`Recipe::open`]; [`Error::State`] where the state is of other data or another recipe, with what differs;
    /// [`Error::Ledger`] where the folder holds another run.
    pub fn open(self) -> Result<Stream> {
        let recipe = self.recipe;
        recipe.validate()?;
        let memory = recipe.stream.memory.0;
        let block_limit = self.resume.as_ref().map_or(memory / 4, |state| state.block_limit);
        let source = match self.source {
            Some(source) => source,
            None => source::open(&source_options(&recipe, block_limit)?)?,
        };
        let plan = source.plan();
        let cleaner = Cleaner::new(&operators(&recipe), &plan.schema)?;
        let policy = match self.policy {
            Some(chosen) => chosen,
            None => policy(&PolicySpec { name: recipe.policy.name.clone(), options: recipe.policy.options.clone() })?,
        };
        if policy.reads_signals() && recipe.world > 1 {
            return Err(Error::recipe(format!(
                "policy `{}` acts on what training says, and this version brings the signals of one rank only to its \
                 draws: use `uniform` with world = {}, or world = 1",
                policy.name(),
                recipe.world
            )));
        }
        let label = match &recipe.dataset.label {
            None => None,
            Some(name) => Some(plan.schema.index_of(name).map_err(|_| {
                let columns: Vec<_> = plan.schema.fields().iter().map(|field| format!("`{}`", field.name())).collect();
                Error::recipe(format!(
                    "[dataset] label: no column `{name}` is carried; there are {}",
                    columns.join(", ")
                ))
            })?),
        };
        let budget = memory.saturating_sub(beside(plan, cleaner.remembers()));
        let window = match (&self.resume, recipe.stream.window) {
            (Some(state), _) => state.window,
            (None, Some(window)) => window,
            (None, None) => derived_window(plan, budget),
        };
        let spare = check_memory(&recipe, plan, window, cleaner.remembers())?;
        let keep_in_memory = plan.blocks.iter().map(|block| block.decoded_bytes).sum::<u64>() <= spare;

        let begun = State {
            plan: plan.hash(),
            recipe: identity(&recipe, window, &cleaner, policy.as_ref()),
            window,
            block_limit,
            next_batch: 0,
            trained: 0,
            opening: None,
        };
        let begun = match self.resume {
            None => begun,
            Some(state) => {
                check_state(&state, &begun, plan)?;
                state
            }
        };
        let rows = block_rows(plan);
        let (start, visits, classes, reports) = begun.start(&rows)?;

        let inbox = Inbox::new(start.applied, self.patience);
        restore(&inbox, start.applied, begun.next_batch, reports)?;
        let recorder = match &self.folder {
            None => None,
            Some(folder) if begun.opening.is_some() && !folder.join(record::LEDGER).exists() => {
                return Err(Error::recipe(format!(
                    "`{}` holds no ledger: a run that goes on from a state is recorded in the folder of the run that the \
                     state was taken from",
                    folder.display()
                )));
            }
            Some(folder) => Some(match &begun.opening {
                None => Recorder::begin(folder, &opened(&recipe, &begun, plan, window))?,
                Some(opening) => {
                    let head = opening.head.ok_or_else(|| {
                        Error::recipe(
                            "the state was taken from a run that was not recorded, so its ledger cannot go on",
                        )
                    })?;
                    Recorder::resume(folder, head, begun.next_batch, opening.applied)?
                }
            }),
        };

        let meters = Arc::new(Meters::default());
        let label = label.filter(|_| policy.reads_signals());
        let work = Work {
            source,
            cleaner: Arc::new(cleaner),
            label,
            meters: Arc::clone(&meters),
            before_read: self.before_read,
        };
        let shared = Arc::new(Shared {
            work: Arc::new(work),
            policy,
            settings: Settings {
                seed: recipe.seed,
                window,
                batch_size: recipe.batch.size as usize,
                drop_last: recipe.batch.drop_last,
                feedback_lag: u64::from(recipe.stream.feedback_lag),
                on_bad_block: recipe.stream.on_bad_block,
                on_bad_row: recipe.stream.on_bad_row,
                rank: u64::from(recipe.rank),
                world: u64::from(recipe.world),
                budget,
                keep_in_memory,
            },
            inbox: Arc::new(inbox),
            visits: Mutex::new(visits),
            classes: Mutex::new(classes),
            recent: Mutex::new(VecDeque::new()),
            epochs: AtomicU32::new(recipe.epochs),
            handed_batches: AtomicU64::new(begun.next_batch),
            handed_rows: AtomicU64::new(begun.trained),
            meters,
        });
        let threads = recipe.stream.threads as usize;
        let assembler = super::Assembler::new(Arc::clone(&shared), start, threads)?;
        Ok(Stream {
            shared,
            recipe,
            folder: self.folder,
            idle: Some(Box::new(assembler)),
            queue: None,
            recorder,
            head: begun.opening.as_ref().and_then(|opening| opening.head),
            thread: None,
            mark: None,
            ended: false,
            registered: begun.next_batch,
            begun,
        })
    }
}

fn source_options(recipe: &Recipe, block_limit: u64) -> Result<source::Options> {
    let dataset = &recipe.dataset;
    Ok(source::Options {
        url: dataset.url.clone(),
        format: dataset.format.as_deref().map(str::parse).transpose()?,
        columns: dataset.columns.clone(),
        manifest: dataset.manifest.as_ref().map(PathBuf::from),
        block_limit,
    })
}

fn operators(recipe: &Recipe) -> Vec<OperatorSpec> {
    recipe
        .clean
        .iter()
        .map(|operator| OperatorSpec { op: operator.op.clone(), options: operator.options.clone() })
        .collect()
}

/// The identity of what decides emission: the recipe's, with what it leaves to versions of operators and policies.
fn identity(recipe: &Recipe, window: u32, cleaner: &Cleaner, policy: &dyn Policy) -> crate::Hash {
    let parts = [recipe.identity(window), cleaner.fingerprint(), crate::Hash::of(policy.fingerprint().as_bytes())];
    crate::Hash::of_hashes(&parts)
}

fn opened(recipe: &Recipe, begun: &State, plan: &Plan, window: u32) -> Record {
    Record::Opened {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        plan: begun.plan,
        recipe: begun.recipe,
        seed: recipe.seed,
        rows: plan.rows(),
        blocks: plan.blocks.len() as u64,
        window,
    }
}

/// Bytes that values and duplicate index take beside the blocks.
fn beside(plan: &Plan, remembers: bool) -> u64 {
    let row = VALUE_BYTES + if remembers { INDEX_BYTES } else { 0 };
    plan.rows().saturating_mul(row)
}

/// As many blocks as half of what is left for blocks holds: the other half is for those on their way.
fn derived_window(plan: &Plan, budget: u64) -> u32 {
    let largest = largest_block(plan).max(1);
    let fit = (budget.saturating_sub(largest).min(budget / 2) / largest).max(1);
    let all = plan.blocks.len().max(1) as u64;
    u32::try_from(fit.min(all)).unwrap_or(u32::MAX)
}

fn largest_block(plan: &Plan) -> u64 {
    plan.blocks.iter().map(|block| block.decoded_bytes).max().unwrap_or(0)
}

/// Refuses a recipe that would need more memory than its budget, with the arithmetic; else, the bytes that are to spare.
fn check_memory(recipe: &Recipe, plan: &Plan, window: u32, remembers: bool) -> Result<u64> {
    let budget = recipe.stream.memory.0;
    let largest = largest_block(plan);
    let open = largest.saturating_mul(u64::from(window).min(plan.blocks.len() as u64));
    let values = plan.rows().saturating_mul(VALUE_BYTES);
    let index = if remembers { plan.rows().saturating_mul(INDEX_BYTES) } else { 0 };
    let need = open.saturating_add(largest).saturating_add(values).saturating_add(index);
    if need <= budget {
        return Ok(budget - need);
    }
    let size = |bytes: u64| crate::recipe::ByteSize(bytes).to_string();
    let index = if remembers { format!(" + duplicate index {}", size(index)) } else { String::new() };
    Err(Error::recipe(format!(
        "[stream] memory = \"{}\" is too little: an open window of {window} blocks of up to {} ({}) + one block on its way \
         + values of {} rows {}{index} = {}; give more memory{}",
        size(budget),
        size(largest),
        size(open),
        plan.rows(),
        size(values),
        size(need),
        if window > 1 { ", or a smaller window" } else { "" },
    )))
}

fn check_state(state: &State, now: &State, plan: &Plan) -> Result<()> {
    if state.plan != now.plan {
        return Err(Error::State(format!(
            "the state was taken over other data: its plan is {}, that of `{}` is now {} ({} rows in {} shards); files \
             were added, removed or changed since, or other columns are carried",
            state.plan,
            plan.url,
            now.plan,
            plan.rows(),
            plan.shards.len()
        )));
    }
    if state.recipe != now.recipe {
        return Err(Error::State(
            "the state was taken with another recipe: seed, columns, cleaning, policy, batch size, window, feedback lag \
             and what to do with bad data must be the same; threads, memory, prefetch and rank may differ"
                .into(),
        ));
    }
    Ok(())
}

/// Brings back the reports that had come in when the state was taken; what was not reported by then counts as no signal.
fn restore(inbox: &Inbox, applied: u64, next_batch: u64, reports: Vec<Report>) -> Result<()> {
    let mut reports = reports.into_iter().peekable();
    for batch in applied..next_batch {
        inbox.register(batch)?;
        let report = reports.next_if(|report| report.batch == batch).unwrap_or_else(|| Report::none(batch));
        inbox.submit(report)?;
    }
    Ok(())
}
