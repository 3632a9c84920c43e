//! `arable curate`: a recipe's cleaning over a whole dataset, in plan order, into Parquet.
//!
//! Any worker judges a block, or finds its verdicts in the cache; one thread settles what depends on earlier rows, in
//! plan order, and writes. It knows nothing of windows, draws or batches.

use super::{data, named::Named, open::operators, survey, sweep::sweep, verdict_cache::VerdictCache};
use crate::{
    Error, Evidence, Hash, Plan, Position, Recipe, Result, Verdict,
    clean::{Action, Cleaner, FalsePositives, Judged, Operator, Settled, content_keys},
    ledger::Account,
    recipe::OnBad,
    source::{BadRow, Decoded},
};
use arrow::{array::BooleanArray, compute::filter_record_batch, record_batch::RecordBatch};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

mod parts;
mod report;
mod verdict_lines;

use parts::Parts;
use report::Rules;
pub use report::{BorderCase, RuleReport};
use verdict_lines::VerdictLines;

/// Where the report of a curated folder stands, and what marks a folder as one.
const REPORT: &str = "_curated.json";

/// The verdicts' default file, and the folder of the verdict cache, in a curated folder.
const VERDICTS: &str = "_verdicts.jsonl";
const CACHE: &str = "_verdict_cache";

/// What the verdict cache may take, unless the user says otherwise.
const CACHE_LIMIT: u64 = 4 << 30;

/// A curation that is about to be run.
pub struct Curation {
    recipe: Recipe,
    out: PathBuf,
    verdicts: Option<PathBuf>,
    cache: Option<PathBuf>,
    cache_limit: u64,
    operators: Vec<(Box<dyn Operator>, Action)>,
}

impl fmt::Debug for Curation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Curation").field("recipe", &self.recipe).field("out", &self.out).finish_non_exhaustive()
    }
}

/// What a curation came to.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Curated {
    /// What became of the rows.
    pub rows: Account,
    /// Rows that an annotating rule spoke of, by reason.
    pub annotated: BTreeMap<String, u64>,
    /// Rows whose weight a rule lowered, by reason.
    pub weighed: BTreeMap<String, u64>,
    /// Kept rows that were repaired, by operator.
    pub repaired: BTreeMap<String, u64>,
    /// What each rule did, with its border cases, in the recipe's order.
    pub rules: Vec<RuleReport>,
    /// How often operators that remember in filters take something for seen that was not, at the end.
    pub false_positives: Vec<FalsePositives>,
    /// Blocks that were judged in this run.
    pub judged_blocks: u64,
    /// Blocks whose verdicts were known.
    pub reused_blocks: u64,
    /// Why blocks were set aside as a whole.
    pub faults: Vec<String>,
    /// The files that were written, in order.
    pub files: Vec<PathBuf>,
    /// The file of verdicts.
    pub verdicts: PathBuf,
    /// The identity of the data.
    pub plan: Hash,
    /// The identity of the cleaning.
    pub cleaning: Hash,
}

/// A block on its way from a worker to the writer.
struct Block {
    data: RecordBatch,
    ids: Vec<u128>,
    judged: Judged,
    reused: bool,
    bad: Vec<BadRow>,
}

impl Curation {
    /// The cleaning of `recipe`, into the folder `out`.
    #[must_use]
    pub fn new(recipe: Recipe, out: impl Into<PathBuf>) -> Self {
        let (out, operators) = (out.into(), Vec::new());
        Self { recipe, out, verdicts: None, cache: None, cache_limit: CACHE_LIMIT, operators }
    }

    /// Writes verdicts to this file instead of `_verdicts.jsonl` in the folder.
    #[must_use]
    pub fn verdicts(mut self, path: impl Into<PathBuf>) -> Self {
        self.verdicts = Some(path.into());
        self
    }

    /// Keeps verdicts for later runs in this folder instead of `_verdict_cache` in the output's.
    #[must_use]
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Keeps the folder of verdicts within so many bytes (4 GiB without a word): after the run, what was used longest ago is
    /// thrown away.
    #[must_use]
    pub const fn cache_limit(mut self, bytes: u64) -> Self {
        self.cache_limit = bytes;
        self
    }

    /// One more operator, behind those of the recipe.
    #[must_use]
    pub fn operator(mut self, operator: Box<dyn Operator>, action: Action) -> Self {
        self.operators.push((operator, action));
        self
    }

    /// Runs it. `progress` is called with the number of rows of each block that is done.
    ///
    /// Duplicates are settled in plan order, whatever the recipe's `order` says. What the folder held of an earlier
    /// curation is replaced once everything is written.
    ///
    /// # Errors
    ///
    /// As [`Recipe::open`]; [`Error::Recipe`] where the folder holds something else than an earlier curation.
    pub fn run(self, mut progress: impl FnMut(u64)) -> Result<Curated> {
        let recipe = self.recipe;
        recipe.validate()?;
        let memory = recipe.stream.memory.0;
        let source = data::source(&recipe, memory / 4)?;
        let plan = source.plan();
        let named = Named::new(&recipe, memory / 4);
        let mut cleaner = Cleaner::with_datasets(&operators(&recipe), &plan.schema, &named)?;
        for (operator, action) in self.operators {
            cleaner = cleaner.with_operator(operator, action)?;
        }
        cleaner.check_budgets(plan.rows())?;
        let threads = recipe.stream.threads as usize;
        let budget = memory.saturating_sub(cleaner.index_bytes(plan.rows())) / 2;
        let parts = Parts::begin(&self.out, plan, cleaner.scores())?;
        let verdicts = self.verdicts.unwrap_or_else(|| self.out.join(VERDICTS));
        // What cannot be written to is refused before anything is read.
        let lines = VerdictLines::create(&verdicts)?;
        survey::fit(&mut cleaner, source.as_ref(), recipe.seed, threads, budget, recipe.stream.on_bad_block, None)?;
        let cache = self.cache.unwrap_or_else(|| self.out.join(CACHE));
        let cache = VerdictCache::open(&cache, &cleaner, &plan.schema)?;
        let mut memory = cleaner.memory();
        // A curation has no state to go back to.
        memory.forget_before(u32::MAX);
        let mut writer = Writer {
            plan,
            cleaner: &cleaner,
            memory,
            parts,
            lines,
            rules: Rules::default(),
            judged: judged_columns(&recipe),
            on_bad_block: recipe.stream.on_bad_block,
            on_bad_row: recipe.stream.on_bad_row,
            curated: Curated {
                rows: Account::default(),
                annotated: BTreeMap::new(),
                weighed: BTreeMap::new(),
                repaired: BTreeMap::new(),
                rules: Vec::new(),
                false_positives: Vec::new(),
                judged_blocks: 0,
                reused_blocks: 0,
                faults: Vec::new(),
                files: Vec::new(),
                verdicts,
                plan: plan.hash(),
                cleaning: cleaner.fingerprint(),
            },
        };
        let blocks = u32::try_from(plan.blocks.len()).unwrap_or(u32::MAX);
        sweep(
            source.as_ref(),
            0..blocks,
            threads,
            budget,
            |_, decoded| judge(&cleaner, &cache, decoded),
            |block, outcome| {
                let rows = writer.take(block, outcome)?;
                progress(rows);
                Ok(())
            },
        )?;
        let curated = writer.finish(&self.out)?;
        cache.keep_within(self.cache_limit);
        Ok(curated)
    }
}

/// The recipe's operators in order, each with the columns that it names.
fn judged_columns(recipe: &Recipe) -> Vec<(String, Vec<String>)> {
    let columns = |options: &toml::Table| {
        let one = options.get("column").into_iter();
        let many = options.get("columns").and_then(toml::Value::as_array).into_iter().flatten();
        one.chain(many).filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    operators(recipe).into_iter().map(|spec| (spec.op, columns(&spec.options))).collect()
}

/// Judges a block, or finds what was said of it before.
fn judge(cleaner: &Cleaner, cache: &VerdictCache, decoded: Decoded) -> Result<Block> {
    let columns: Vec<usize> = (0..decoded.data.num_columns()).collect();
    // A type that has no canonical content has no id; that is no reason not to clean it.
    let ids = content_keys(&decoded.data, &columns).unwrap_or_default();
    let rows = u32::try_from(decoded.data.num_rows()).unwrap_or(u32::MAX);
    let known = cache.get(cleaner, &decoded.hashes, rows);
    let reused = known.is_some();
    let judged = match known {
        Some(judged) => judged,
        None => {
            let bad: Vec<u32> = decoded.bad_rows.iter().map(|bad| bad.row).collect();
            let judged = cleaner.judge(&decoded.data, &bad)?;
            cache.put(&decoded.hashes, &judged);
            judged
        }
    };
    Ok(Block { data: decoded.data, ids, judged, reused, bad: decoded.bad_rows })
}

/// The one thread that settles and writes.
struct Writer<'a> {
    plan: &'a Plan,
    cleaner: &'a Cleaner,
    memory: crate::clean::Memory,
    parts: Parts,
    lines: VerdictLines,
    rules: Rules,
    /// The operators in order, each with the columns that it judges.
    judged: Vec<(String, Vec<String>)>,
    on_bad_block: OnBad,
    on_bad_row: OnBad,
    curated: Curated,
}

impl Writer<'_> {
    /// Takes the next block in plan order; how many rows it has.
    fn take(&mut self, block: u32, outcome: Result<Block>) -> Result<u64> {
        let planned = self.plan.blocks.get(block as usize);
        let shard = planned.and_then(|planned| self.plan.shards.get(planned.shard as usize));
        let shard_name = shard.map_or("", |shard| shard.name.as_str());
        let shard = planned.map_or(0, |planned| planned.shard);
        let found = match outcome {
            Ok(found) => found,
            Err(fault) if self.on_bad_block.sets_aside(&fault) => {
                let rows = planned.map_or(0, |planned| planned.rows);
                for row in 0..rows {
                    self.lines.quarantined(shard_name, block, row, "unreadable block")?;
                }
                let rows = u64::from(rows);
                self.curated.rows += &Account { read: rows, quarantined: rows, ..Account::default() };
                self.curated.faults.push(fault.to_string());
                return Ok(rows);
            }
            Err(fault) => return Err(fault),
        };
        if let (Some(bad), OnBad::Stop) = (found.bad.first(), self.on_bad_row) {
            let mut place = self.plan.place(block).row(bad.row);
            place.column.clone_from(&bad.column);
            let what = format!("{}; mend the row, or set on_bad_row = \"quarantine\" under [stream]", bad.what);
            return Err(Error::data(place, what));
        }
        let settled = self.cleaner.settle(block, &found.judged, &mut self.memory);
        let verdicts = found.judged.verdicts(&settled);
        self.write_lines(shard_name, block, &found, &verdicts)?;
        let kept = self.kept(&found, &settled)?;
        self.parts.write(shard, shard_name, block, &kept, &settled, &found.ids)?;
        self.count(shard_name, block, &found, &settled, &verdicts);
        Ok(u64::from(settled.keep.rows()))
    }

    /// The kept rows, repaired.
    fn kept(&self, found: &Block, settled: &Settled) -> Result<RecordBatch> {
        let mask: BooleanArray = (0..settled.keep.rows()).map(|row| Some(settled.keep.is_kept(row))).collect();
        let filtered = |data: &RecordBatch| {
            filter_record_batch(data, &mask).map_err(|error| Error::State(format!("rows could not be picked: {error}")))
        };
        if found.reused {
            return self.cleaner.repair(filtered(&found.data)?, &settled.keep, &settled.cuts);
        }
        filtered(&self.cleaner.cut_settled(found.judged.data().clone(), &settled.cuts)?)
    }

    fn write_lines(
        &mut self,
        shard: &str,
        block: u32,
        found: &Block,
        verdicts: &[(Verdict, Vec<Evidence>)],
    ) -> Result<()> {
        for (row, (verdict, evidence)) in (0_u32..).zip(verdicts) {
            if let Verdict::Quarantine(_) = verdict {
                let bad = found.bad.iter().find(|bad| bad.row == row);
                self.lines.quarantined(shard, block, row, bad.map_or("unreadable", |bad| &bad.what))?;
            } else {
                let id = found.ids.get(row as usize).copied();
                self.lines.row(shard, block, row, id, *verdict == Verdict::Keep, evidence)?;
            }
        }
        Ok(())
    }

    fn count(
        &mut self,
        shard: &str,
        block: u32,
        found: &Block,
        settled: &Settled,
        verdicts: &[(Verdict, Vec<Evidence>)],
    ) {
        let curated = &mut self.curated;
        curated.rows += &Account {
            read: u64::from(settled.keep.rows()),
            kept: u64::from(settled.keep.count()),
            dropped: settled.dropped.iter().cloned().collect(),
            quarantined: settled.quarantined,
            held_out: 0,
        };
        for (sum, counts) in [
            (&mut curated.annotated, &settled.annotated),
            (&mut curated.weighed, &settled.weighed),
            (&mut curated.repaired, &settled.repaired),
        ] {
            for (name, count) in counts {
                *sum.entry(name.clone()).or_default() += count;
            }
        }
        *(if found.reused { &mut curated.reused_blocks } else { &mut curated.judged_blocks }) += 1;
        for (verdict, evidence) in verdicts {
            self.rules.count(matches!(verdict, Verdict::Drop(_)), evidence);
        }
        for border in found.judged.borders(settled) {
            let columns = self.judged.iter().find(|(op, _)| *op == border.evidence.op);
            let columns = columns.map_or(&[][..], |(_, columns)| columns);
            let excerpt = report::excerpt(&found.data, border.row as usize, columns);
            self.rules.border(shard, Position::new(block, border.row), border, excerpt);
        }
    }

    fn finish(mut self, out: &Path) -> Result<Curated> {
        self.lines.finish()?;
        self.curated.rules = self.rules.finish(&self.cleaner.rules());
        self.curated.false_positives = self.memory.false_positives();
        self.curated.files = self.parts.finish()?;
        let report = serde_json::to_vec_pretty(&self.curated)
            .map_err(|error| Error::State(format!("the report cannot be written down: {error}")))?;
        parts::write_whole(&out.join(REPORT), &report)?;
        Ok(self.curated)
    }
}
