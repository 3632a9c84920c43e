//! The operators of a recipe, in order, and the two steps in which they judge: a block alone, then against the past.
//!
//! It knows operators by their traits only.

use super::{
    Action, Cuts, Findings, Judged, Memory, Operator, OperatorSpec, Rows, Settled,
    judged::{Found, Label},
    matcher::{Extent, Matcher, Undo},
    rows::Shared,
    spec::{self, Built, Datasets, Order, Stands},
    texts::{Texts, rewritten},
};
use crate::{Error, Hash, Place, Position, Result, byte_size::ByteSize};
use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use std::{fmt, sync::Arc};

mod fit;

pub use fit::{Parts, Surveys};

/// The operators of a recipe, in order.
pub struct Cleaner {
    schema: SchemaRef,
    operators: Vec<Stands>,
    labels: Arc<[Label]>,
    scores: Vec<String>,
    /// What the operators' surveys came to, once they have been made.
    fits: Option<Vec<Vec<u8>>>,
}

impl fmt::Debug for Cleaner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cleaner").field("operators", &self.labels).finish_non_exhaustive()
    }
}

impl Cleaner {
    /// The operators that `specs` ask for, for rows of `schema`, where none of them reads another dataset.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`], with the number of the `[[clean]]` table: an operator, an option or a column that is not
    /// known, a value of the wrong type, or a column of a type that the operator cannot judge.
    pub fn new(specs: &[OperatorSpec], schema: &SchemaRef) -> Result<Self> {
        Self::with_datasets(specs, schema, &spec::NoDatasets)
    }

    /// As [`new`](Self::new), with `datasets` to read those that operators name.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and what reading a dataset fails with.
    pub fn with_datasets(specs: &[OperatorSpec], schema: &SchemaRef, datasets: &dyn Datasets) -> Result<Self> {
        let empty = Self {
            schema: Arc::clone(schema),
            operators: Vec::new(),
            labels: Arc::new([]),
            scores: Vec::new(),
            fits: None,
        };
        specs.iter().enumerate().try_fold(empty, |cleaner, (at, spec)| {
            let stands = spec::build(at + 1, spec, schema, datasets)?;
            cleaner.with(stands).map_err(|what| Error::recipe(format!("[[clean]] {}: {what}", at + 1)))
        })
    }

    /// With one more operator, behind the others.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where an operator before it must stand last.
    pub fn with_operator(self, operator: Box<dyn Operator>, action: Action) -> Result<Self> {
        self.with(Stands::own(operator, action)).map_err(Error::recipe)
    }

    fn with(mut self, stands: Stands) -> Result<Self, String> {
        if let Some(last) = self.operators.last()
            && let Built::Matching(matcher) = &last.built
            && matcher.cuts().is_some()
        {
            return Err(format!(
                "`{}` rewrites texts by what earlier rows hold, after all other operators have judged: put it last",
                matcher.name()
            ));
        }
        let remembers = |stands: &&Stands| matches!(stands.built, Built::Matching(_));
        let before = self.operators.iter().find(remembers).map(|before| before.order);
        if before.is_some_and(|before| remembers(&&stands) && before != stands.order) {
            return Err(
                "`order` differs from that of an operator before it; all of a recipe settle in one order".into()
            );
        }
        let (op, rules) = match &stands.built {
            Built::Pure(operator) => (operator.name(), operator.rules()),
            Built::Matching(matcher) => (matcher.name(), matcher.rules()),
        };
        let label = Label { op: op.to_owned(), rules, action: stands.action };
        if let Built::Pure(operator) = &stands.built {
            for score in operator.scores() {
                if self.scores.contains(&score) {
                    return Err(format!("two operators give a score `{score}`"));
                }
                self.scores.push(score);
            }
        }
        self.labels = self.labels.iter().cloned().chain([label]).collect();
        self.operators.push(stands);
        Ok(self)
    }

    /// Whether there is no operator: every row that can be read is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operators.is_empty()
    }

    /// Whether verdicts depend on earlier rows, so that blocks must be settled in order.
    #[must_use]
    pub fn remembers(&self) -> bool {
        self.matchers().next().is_some()
    }

    /// Whether duplicates are settled in plan order, before the first batch.
    #[must_use]
    pub fn settles_in_plan_order(&self) -> bool {
        self.operators.iter().any(|stands| stands.order == Order::Plan)
    }

    /// Whether operators replace values, so that the rows of later passes have to be repaired.
    #[must_use]
    pub fn rewrites(&self) -> bool {
        self.operators.iter().any(|stands| match &stands.built {
            Built::Pure(operator) => !operator.rewrites().is_empty(),
            Built::Matching(matcher) => matcher.cuts().is_some(),
        })
    }

    /// The names of the scores that operators give each row, in order.
    #[must_use]
    pub fn scores(&self) -> &[String] {
        &self.scores
    }

    /// The rules of all operators, in the order in which they are applied: the operator's name, and the reason.
    #[must_use]
    pub fn rules(&self) -> Vec<(String, String)> {
        let of =
            |label: &Label| label.rules.iter().map(|rule| (label.op.clone(), rule.reason.clone())).collect::<Vec<_>>();
        self.labels.iter().flat_map(of).collect()
    }

    /// Bytes of memory that the stateful operators take for a dataset of `rows` rows, at most.
    #[must_use]
    pub fn index_bytes(&self, rows: u64) -> u64 {
        self.matchers().map(|matcher| matcher.index_bytes(rows)).fold(0, u64::saturating_add)
    }

    /// Beside them, what it takes at most to write down a state that lies some blocks back: of up to `block` each, and
    /// `all` in the whole dataset.
    #[must_use]
    pub fn undo(&self, block: Extent, all: Extent) -> Undo {
        self.matchers().map(|matcher| matcher.undo(block, all)).sum()
    }

    pub(super) const fn labels(&self) -> &Arc<[Label]> {
        &self.labels
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Refuses an operator that needs more memory for `rows` rows than its own `memory` allows.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] with the arithmetic.
    pub fn check_budgets(&self, rows: u64) -> Result<()> {
        for (number, stands) in (1..).zip(&self.operators) {
            if let (Built::Matching(matcher), Some(memory)) = (&stands.built, stands.memory) {
                let need = matcher.index_bytes(rows);
                if need > memory {
                    let (memory, need) = (ByteSize(memory), ByteSize(need));
                    return Err(Error::recipe(format!(
                        "[[clean]] {number} (`{}`): `memory` = \"{memory}\" is too little for {rows} rows, which need \
                         up to {need}; give it that much",
                        matcher.name()
                    )));
                }
            }
        }
        Ok(())
    }

    fn matchers(&self) -> impl Iterator<Item = &dyn Matcher> {
        self.operators.iter().filter_map(|stands| match &stands.built {
            Built::Pure(_) => None,
            Built::Matching(matcher) => Some(matcher.as_ref()),
        })
    }

    /// A memory that has seen nothing.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory::new(self.matchers())
    }

    /// The memory that [`Memory::to_bytes`] wrote for these operators.
    ///
    /// # Errors
    ///
    /// [`Error::State`] where `bytes` are not exactly what a memory of these operators writes.
    pub fn restore(&self, bytes: &[u8]) -> Result<Memory> {
        Memory::from_bytes(bytes, self.matchers())
    }

    /// The identity of what the operators decide: their names, versions, actions and options with defaults filled in,
    /// in order. Equal recipes have equal fingerprints however they are written.
    #[must_use]
    pub fn fingerprint(&self) -> Hash {
        let mut bytes = b"arable clean 2".to_vec();
        for Stands { built, action, frame, .. } in &self.operators {
            let (name, version, options) = match built {
                Built::Pure(operator) => (operator.name(), operator.version(), operator.options()),
                Built::Matching(matcher) => (matcher.name(), matcher.version(), matcher.options()),
            };
            bytes.extend_from_slice(&version.to_le_bytes());
            for text in [name, action.name(), &action.options(), frame, &options] {
                bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        bytes.extend_from_slice(&self.fits_hash().0);
        Hash::of(&bytes)
    }

    /// Judges a block by itself: the part that any worker can do, in any order. `bad` are the rows that could not be
    /// read; what `data` holds for them is not judged.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where `data` has other columns than the schema that the operators were made for, or a row of
    /// `bad` lies outside; [`Error::Recipe`] where an operator of the caller's is at fault.
    pub fn judge(&self, data: &RecordBatch, bad: &[u32]) -> Result<Judged> {
        if u32::try_from(data.num_rows()).is_err() {
            let what = format!("a block of {} rows; at most 2³² − 1 fit", data.num_rows());
            return Err(Error::data(Place::default().row(u32::MAX), what));
        }
        let readable = readable(data.num_rows(), bad)?;
        let mut judged = Judged {
            labels: Arc::clone(&self.labels),
            readable: readable.clone(),
            found: Vec::with_capacity(self.operators.len()),
            passed: vec![Vec::new(); self.operators.len()],
            repaired: vec![Vec::new(); self.operators.len()],
            scores: Vec::with_capacity(self.scores.len()),
            data: data.clone(),
        };
        if !self.is_empty() {
            self.check_columns(data)?;
            self.judge_all(readable, &mut judged)?;
        }
        Ok(judged)
    }

    fn judge_all(&self, mut alive: Vec<bool>, judged: &mut Judged) -> Result<()> {
        let shared = Shared::default();
        for (at, (Stands { built, .. }, label)) in self.operators.iter().zip(self.labels.iter()).enumerate() {
            judged.found.push(match built {
                Built::Pure(operator) => {
                    let (found, data) =
                        run(operator.as_ref(), label.rules.len(), judged.data.clone(), &alive, &shared)?;
                    for flag in found.flags.iter().filter(|flag| label.drops(flag.rule)) {
                        alive[flag.row as usize] = false;
                    }
                    judged.data = data;
                    let mut rows: Vec<u32> = found.rewritten.into_iter().flat_map(|(_, rows)| rows).collect();
                    rows.sort_unstable();
                    rows.dedup();
                    judged.repaired[at] = rows;
                    judged.passed[at] = found.passed;
                    judged.scores.extend(found.scores);
                    Found::Flags(found.flags)
                }
                Built::Matching(matcher) => Found::Keys(matcher.keys(&Rows::new(&judged.data, &alive, &shared))?),
            });
        }
        Ok(())
    }

    /// Repairs the rows of a later pass as the first one did: `data` are the kept rows of a block, as they are stored,
    /// and `cuts` what settling it gave, whose rows `kept` counts among those of the block.
    ///
    /// # Errors
    ///
    /// As [`judge`](Self::judge).
    pub fn repair(&self, data: RecordBatch, kept: &crate::Keep, cuts: &Cuts) -> Result<RecordBatch> {
        if !self.rewrites() {
            return Ok(data);
        }
        self.check_columns(&data)?;
        // Every row that is kept has reached every operator.
        let (alive, shared) = (vec![true; data.num_rows()], Shared::default());
        let mut data = data;
        for (Stands { built, .. }, label) in self.operators.iter().zip(self.labels.iter()) {
            if let Built::Pure(operator) = built
                && !operator.rewrites().is_empty()
            {
                data = run(operator.as_ref(), label.rules.len(), data, &alive, &shared)?.1;
            }
        }
        if cuts.is_empty() {
            return Ok(data);
        }
        let mut next = cuts.0.iter().peekable();
        let mut of_kept = Vec::with_capacity(cuts.0.len());
        for (index, row) in (0_u32..).zip(kept.kept()) {
            if let Some((_, cut)) = next.next_if(|(cut, _)| *cut == row) {
                of_kept.push((index, cut.as_slice()));
            }
        }
        self.cut(data, &of_kept)
    }

    /// Takes away from the texts of a settled block what earlier rows hold already.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the texts do not fit their column any more.
    pub fn cut_settled(&self, data: RecordBatch, cuts: &Cuts) -> Result<RecordBatch> {
        let cuts: Vec<(u32, &[u8])> = cuts.0.iter().map(|(row, cut)| (*row, cut.as_slice())).collect();
        self.cut(data, &cuts)
    }

    fn cut(&self, data: RecordBatch, cuts: &[(u32, &[u8])]) -> Result<RecordBatch> {
        let Some((matcher, column)) = self.matchers().find_map(|matcher| Some((matcher, matcher.cuts()?))) else {
            return Ok(data);
        };
        let (Some(array), false) = (data.columns().get(column), cuts.is_empty()) else { return Ok(data) };
        let place = || Place::default().column(data.schema_ref().field(column).name());
        let texts = Texts::of(array.as_ref())
            .ok_or_else(|| Error::data(place(), format!("expected text, found {}", array.data_type())))?;
        let cut = |&(row, cut): &(u32, &[u8])| (row, texts.get(row as usize).map(|text| matcher.cut(text, cut)));
        let changes: Vec<_> = cuts.iter().map(cut).collect();
        let mut columns = data.columns().to_vec();
        columns[column] = rewritten(array, &changes).map_err(|what| Error::data(place(), what))?;
        RecordBatch::try_new(data.schema(), columns).map_err(|error| Error::data(place(), error.to_string()))
    }

    /// Columns are found by index and read by type, so both must be as the schema said.
    fn check_columns(&self, data: &RecordBatch) -> Result<()> {
        let (wanted, found) = (self.schema.fields(), data.schema_ref().fields());
        let differ = |at: &usize| match (wanted.get(*at), found.get(*at)) {
            (Some(wanted), Some(found)) => {
                !Arc::ptr_eq(wanted, found)
                    && (wanted.name() != found.name() || wanted.data_type() != found.data_type())
            }
            _ => true,
        };
        let Some(at) = (0..wanted.len().max(found.len())).find(differ) else { return Ok(()) };
        let name = wanted.get(at).or_else(|| found.get(at)).map_or("", |field| field.name());
        let show = |fields: &arrow::datatypes::Fields| {
            fields.get(at).map_or("none".to_owned(), |field| format!("`{}` of {}", field.name(), field.data_type()))
        };
        let what = format!(
            "column {} should be {} and is {}; the files of a dataset must share one schema",
            at + 1,
            show(wanted),
            show(found)
        );
        Err(Error::data(Place::default().column(name), what))
    }

    /// Settles a judged block against the rows before it, and remembers its own: called block by block in the stream's
    /// (or the plan's) order, once a block, with the memory of this cleaner's earlier calls. `block` is its number.
    ///
    /// A row is a duplicate if an earlier row that reached the operator, kept or not by later ones, matches it.
    pub fn settle(&self, block: u32, judged: &Judged, memory: &mut Memory) -> Settled {
        // Memory counts the stateful operators alone.
        let slots: Vec<usize> = judged
            .found
            .iter()
            .scan(0, |next, found| {
                let slot = *next;
                *next += usize::from(matches!(found, Found::Keys(_)));
                Some(slot)
            })
            .collect();
        let meet = |operator: usize, row, keys: &[u64]| memory.meet(slots[operator], Position::new(block, row), keys);
        let settled = judged.settle(meet);
        memory.end_visit();
        settled
    }
}

/// Which of `rows` rows can be read.
fn readable(rows: usize, bad: &[u32]) -> Result<Vec<bool>> {
    let mut readable = vec![true; rows];
    for &row in bad {
        *readable.get_mut(row as usize).ok_or_else(|| {
            let what = format!("said to be unreadable in a block of {rows} rows");
            Error::data(Place::default().row(row), what)
        })? = false;
    }
    Ok(readable)
}

/// Lets an operator judge, and gives back what it found and the rows as it left them.
fn run(
    operator: &dyn Operator,
    rules: usize,
    data: RecordBatch,
    alive: &[bool],
    shared: &Shared,
) -> Result<(super::findings::Found, RecordBatch)> {
    let mut findings = Findings::new(alive, rules, operator.scores().len());
    operator.judge(&Rows::new(&data, alive, shared), &mut findings)?;
    let (found, data) = findings.finish(operator.name(), data)?;
    let declared = operator.rewrites();
    for (column, _) in &found.rewritten {
        if !declared.contains(column) {
            return Err(Error::recipe(format!(
                "operator `{}` rewrote column {column}, which it does not name among those that it rewrites; the \
                 operator is at fault",
                operator.name()
            )));
        }
        shared.forget(*column);
    }
    Ok((found, data))
}

#[cfg(test)]
mod tests;
