//! From a recipe to a stream: what has to be known, refused or derived before the first block is read.

use super::{
    Buckets, Packing, Stream, Transform, block_rows,
    chosen::{check, known, path_option, picking, spec},
    contents::Finish,
    data::{self, Sharing},
    identity::{self, Decisive, Identity},
    memory::{self, Budget},
    meters::Meters,
    named::Named,
    picking::Known,
    quarantine::Quarantine,
    record::{self, Recorder},
    shared::{Settings, Shared},
    split::Parting,
    state::State,
    survey,
    trusted::{check_apart, trusted},
    values::{Pass, read_values},
    workers::{BeforeRead, Work},
};
use crate::{
    Error, Recipe, Report, Result,
    buffers::Buffers,
    clean::{Action, Cleaner, Operator, OperatorSpec},
    recipe::Part,
    source::Source,
    value::{Beside, Policy, References, Table, inbox::Inbox, policy},
};
use std::{
    collections::VecDeque,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, AtomicU64},
    },
    time::Duration,
};

/// How long a draw bears that a trainer reports nothing at all before the missing reports count as "no signal".
const PATIENCE: Duration = Duration::from_secs(60);

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
#[must_use]
pub struct StreamBuilder {
    recipe: Recipe,
    source: Option<Arc<dyn Source>>,
    policy: Option<Arc<dyn Policy>>,
    resume: Option<State>,
    folder: Option<PathBuf>,
    quarantine: Option<PathBuf>,
    transforms: Vec<Arc<dyn Transform>>,
    pack: Option<Packing>,
    bucket: Option<Buckets>,
    pad_tail: bool,
    patience: Duration,
    before_read: Option<BeforeRead>,
    operators: Vec<(Box<dyn Operator>, Action)>,
    evaluation: Option<Part>,
    part: Part,
    references: Option<Arc<References>>,
    values: Option<Table>,
}

impl fmt::Debug for StreamBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamBuilder").field("recipe", &self.recipe).finish_non_exhaustive()
    }
}

impl StreamBuilder {
    pub(super) const fn new(recipe: Recipe) -> Self {
        Self {
            recipe,
            source: None,
            policy: None,
            resume: None,
            folder: None,
            quarantine: None,
            transforms: Vec::new(),
            pack: None,
            bucket: None,
            pad_tail: false,
            patience: PATIENCE,
            before_read: None,
            operators: Vec::new(),
            evaluation: None,
            part: Part::Train,
            references: None,
            values: None,
        }
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

    /// Writes what is set aside, rows and blocks, to [`QUARANTINE`](super::QUARANTINE) in `folder`; without this call, to
    /// the folder that the run is recorded in, where it is. With [`resume`](Self::resume), the folder of the run that the
    /// state was taken from.
    pub fn quarantine(mut self, folder: impl Into<PathBuf>) -> Self {
        self.quarantine = Some(folder.into());
        self
    }

    /// Leads the rows of every batch through `transform`, after the transforms that were given before.
    pub fn transform(mut self, transform: Arc<dyn Transform>) -> Self {
        self.transforms.push(transform);
        self
    }

    /// Packs rows into slots of a fixed length, after all transforms.
    pub fn pack(mut self, packing: Packing) -> Self {
        self.pack = Some(packing);
        self
    }

    /// Makes batches of rows of like length, after all transforms.
    pub fn bucket(mut self, buckets: Buckets) -> Self {
        self.bucket = Some(buckets);
        self
    }

    /// Where this is one rank of several and the run ends with a round that has no batch for it, hands over
    /// [padding](super::Batch::padding) in its place, so that every rank gets equally many batches.
    pub const fn pad_tail(mut self, pad_tail: bool) -> Self {
        self.pad_tail = pad_tail;
        self
    }

    /// Reads `part` for validation: in plan order, once each, with weight 1 and no way back; as a pass of
    /// [`Evaluation`](super::Evaluation). The policy, shares, epochs and, unless the recipe's `[split]` says `clean =
    /// true`, the cleaning of the recipe are set aside.
    pub const fn evaluation(mut self, part: Part) -> Self {
        self.evaluation = Some(part);
        self
    }

    /// Trains on `part` of the recipe's `[split]` instead of what no part keeps out: for reference models that are fitted
    /// crosswise, each on one half of the data.
    pub const fn part(mut self, part: Part) -> Self {
        self.part = part;
        self
    }

    /// What a reference model says of the rows of this plan, in place of the file that the recipe's `reference` names.
    pub fn references(mut self, references: Arc<References>) -> Self {
        self.references = Some(references);
        self
    }

    /// The trajectories to begin with, over the same plan, in place of the file that the recipe's `values` names. Where
    /// the stream is [resumed](Self::resume), the state has its own.
    pub fn values(mut self, values: Table) -> Self {
        self.values = Some(values);
        self
    }

    /// Reads from `source` instead of the recipe's `[dataset]`. It carries what it carries: where the recipe names
    /// `columns`, they must be those of the source.
    pub fn source(mut self, source: Arc<dyn Source>) -> Self {
        self.source = Some(source);
        self
    }

    /// One more cleaning operator, behind those of the recipe. Its name, version and options are part of the stream's
    /// identity.
    pub fn operator(mut self, operator: Box<dyn Operator>, action: Action) -> Self {
        self.operators.push((operator, action));
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
        let mut recipe = self.recipe;
        recipe.validate()?;
        let memory = recipe.stream.memory.0;
        let block_limit = self.resume.as_ref().map_or(memory / 4, |state| state.block_limit);
        let source = match self.source {
            Some(source) => {
                data::check_columns(&recipe, &source.plan().schema)?;
                source
            }
            None => data::source(&recipe, block_limit)?,
        };
        let plan = source.plan();
        let parting = Parting::of(&recipe, self.evaluation.unwrap_or(self.part), &plan.schema)?;
        // What is kept out of training teaches no operator either.
        let learning = Parting::of(&recipe, self.part, &plan.schema)?;
        let plan_order = self.evaluation.is_some();
        if plan_order {
            recipe = as_evaluation(recipe);
        }
        let named = Named::new(&recipe, block_limit);
        let mut cleaner = Cleaner::with_datasets(&operators(&recipe), &plan.schema, &named)?;
        for (operator, action) in self.operators {
            cleaner = cleaner.with_operator(operator, action)?;
        }
        cleaner.check_budgets(plan.rows())?;
        if cleaner.settles_in_plan_order() && !plan_order {
            return Err(Error::recipe(
                "`order` = \"plan\" is not in this version's stream: curate the data first (`arable curate` settles \
                 duplicates in plan order), or use `order` = \"stream\"",
            ));
        }
        match &self.resume {
            Some(state) if !state.fits.is_empty() => {
                cleaner.fit(state.fits.iter().map(|fit| fit.clone().into_vec()).collect())?;
            }
            _ => survey::fit(
                &mut cleaner,
                source.as_ref(),
                recipe.seed,
                recipe.stream.threads as usize,
                memory / 4,
                recipe.stream.on_bad_block,
                learning.as_ref(),
            )?,
        }
        let policy = match self.policy {
            Some(chosen) => chosen,
            None => policy(&spec(&recipe))?,
        };
        let pass = Pass {
            threads: recipe.stream.threads as usize,
            budget: memory / 4,
            on_bad_block: recipe.stream.on_bad_block,
        };
        let known = known(&recipe, policy.as_ref(), self.references, source.as_ref(), pass)?;
        let picking = picking(&recipe, policy.as_ref(), &known, plan_order)?.map(Arc::new);
        check(policy.as_ref(), plan, cleaner.scores(), (picking.is_some() && self.pack.is_some(), plan_order))?;
        let trusted = trusted(&recipe, policy.as_ref(), plan)?;
        // A run that is resumed has the same data and the same set, which were looked through when it began.
        if let Some(set) = trusted.as_ref().filter(|_| self.resume.is_none()) {
            check_apart(set, source.as_ref(), &cleaner, parting.as_ref(), pass)?;
        }
        let trusted = trusted.map(|set| set.plan().hash());
        let remembers = picking.as_ref().map_or(0, |picking| picking.remembers());
        if (policy.reads_signals() || remembers > 0) && recipe.world > 1 {
            let forgets = if remembers > 0 { ", have the selector remember nothing (`memory = 0`)" } else { "" };
            return Err(Error::recipe(format!(
                "policy `{}` acts on what training says, and what is said to another process does not come to the draws of \
                 this one: deal one stream to the ranks of one process (`Stream::ranks`){forgets}, or use `uniform` with \
                 world = {}",
                policy.name(),
                recipe.world
            )));
        }
        let label = data::label(&recipe, plan)?;
        let sharing = Sharing::of(&recipe, source.as_ref(), plan_order)?;
        // What labels are taken for matters where there are labels.
        let beside = Beside { recent: policy.recent(), rivals: label.is_some() };
        let kept = (memory::kept_beside(beside, &known), memory::inner_products(policy.as_ref()));
        let budget = Budget::new(&recipe, source.as_ref(), &cleaner, kept);
        let window = match (&self.resume, recipe.stream.window) {
            (_, Some(window)) => window,
            (Some(state), None) => state.window,
            (None, None) => budget.window(),
        };
        let windows = sharing.windows(plan, window);
        let spare = budget.check(&windows, sharing.open_bytes(plan, &windows))?;
        let for_blocks = budget.for_blocks(windows.iter().fold(0, |sum, blocks| sum.saturating_add(*blocks)));
        source.may_keep(for_blocks);
        let winds_back = budget.winds_back();
        let keep_in_memory = plan.blocks.iter().map(|block| block.decoded_bytes).sum::<u64>() <= spare;

        let finish = Finish::new(self.transforms, self.pack, self.bucket, &plan.schema, recipe.seed)?;
        let identity = Identity::of(&Decisive {
            recipe: &recipe,
            window,
            cleaner: &cleaner,
            policy: policy.as_ref(),
            finish: &finish,
            evaluation: self.evaluation,
            part: self.part,
            known: &known,
            trusted,
            in_order: &source.in_order(),
        });
        let begun = State {
            plan: plan.hash(),
            identity,
            window,
            block_limit,
            next_batch: 0,
            trained: 0,
            fits: cleaner.fits().iter().map(|fit| serde_bytes::ByteBuf::from(fit.as_slice())).collect(),
            opening: None,
        };
        let begun = match self.resume {
            None => begun,
            Some(state) => {
                identity::check_state(&state, &begun, plan)?;
                state
            }
        };
        let rows = block_rows(plan);
        let remembered = begun.remembered(remembers)?;
        let (mut start, visits, classes, reports) = begun.start(&rows, &sharing.parts, &cleaner, beside)?;
        if begun.opening.is_none() && !plan_order {
            match (self.values, path_option(&recipe, "values")?) {
                (Some(table), _) => start.table = table.keeping(beside),
                (None, Some(path)) => {
                    start.table = read_values(source.as_ref(), &path, beside, pass)?;
                }
                (None, None) => {}
            }
        }

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
                None => Recorder::begin(folder, &record::opened(&recipe, &begun, plan, &sharing))?,
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

        let quarantine = match self.quarantine.as_ref().or(self.folder.as_ref()) {
            None => None,
            Some(folder) if begun.opening.is_some() => Some(Quarantine::resume(folder, begun.next_batch)?),
            Some(folder) => Some(Quarantine::begin(folder)?),
        };

        let meters = Arc::new(Meters::default());
        let label = label.filter(|_| policy.reads_signals());
        let work = Work {
            source,
            cleaner: Arc::new(cleaner),
            label,
            parting,
            meters: Arc::clone(&meters),
            before_read: self.before_read,
        };
        let shared = Arc::new(Shared {
            work: Arc::new(work),
            policy,
            finish,
            references: match &known {
                Known::Table(references) => Some(Arc::clone(references)),
                Known::Nothing | Known::Column(_) => None,
            },
            settings: Settings {
                seed: recipe.seed,
                window,
                schedules: sharing.schedules(recipe.seed, &windows, plan_order),
                parts: sharing.parts,
                exhausted: sharing.exhausted,
                plan_order,
                batch_size: picking.as_ref().map_or(recipe.batch.size, |picking| picking.selection.candidates) as usize,
                drop_last: recipe.batch.drop_last,
                prefetch: u64::from(recipe.stream.prefetch),
                feedback_lag: u64::from(recipe.stream.feedback_lag),
                on_bad_block: recipe.stream.on_bad_block,
                on_bad_row: recipe.stream.on_bad_row,
                rank: u64::from(recipe.rank),
                world: u64::from(recipe.world),
                stretch: budget.gathering().batches,
                stretches_ahead: budget.gathering().ahead,
                threads: recipe.stream.threads as usize,
                budget: for_blocks,
                keep_in_memory,
                winds_back,
            },
            picking,
            inbox: Arc::new(inbox),
            visits: Mutex::new(visits),
            classes: Mutex::new(classes),
            recent: Mutex::new(VecDeque::new()),
            epochs: AtomicU32::new(recipe.epochs),
            handed_batches: AtomicU64::new(begun.next_batch),
            handed_rows: AtomicU64::new(begun.trained),
            end: OnceLock::new(),
            meters,
            buffers: Buffers::new(budget.gathering().bytes),
        });
        let known_at_start = start.table.snapshot();
        let threads = recipe.stream.threads as usize;
        let assembler = super::Assembler::new(Arc::clone(&shared), start, threads)?;
        Ok(Stream {
            shared,
            recipe,
            folder: self.folder,
            idle: Some(Box::new(assembler)),
            sequencer: None,
            arrived: VecDeque::new(),
            over: false,
            recorder,
            quarantine,
            head: begun.opening.as_ref().and_then(|opening| opening.head),
            mark: None,
            ended: false,
            registered: begun.next_batch,
            by_domain: Vec::new(),
            spoilt: begun.opening.iter().flat_map(|opening| opening.spoilt.iter().copied()).collect(),
            lost: 0,
            barren_since: None,
            remembered,
            pad_tail: self.pad_tail,
            spare: None,
            begun,
            known: known_at_start,
        })
    }
}

pub(super) fn operators(recipe: &Recipe) -> Vec<OperatorSpec> {
    recipe
        .clean
        .iter()
        .map(|operator| OperatorSpec { op: operator.op.clone(), options: operator.options.clone() })
        .collect()
}

/// The recipe of one pass over the data for validation: nothing is drawn, and nothing cleaned unless it says so.
fn as_evaluation(recipe: Recipe) -> Recipe {
    let clean = if recipe.split.clean { recipe.clean } else { Vec::new() };
    Recipe { clean, epochs: 1, policy: crate::recipe::Policy::default(), ..recipe }.drop_last(false)
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
