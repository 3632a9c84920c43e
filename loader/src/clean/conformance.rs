//! What the frame relies on in an [`Operator`], tried out: for the tests of whoever writes one.
//!
//! It judges rows together, alone, in other blocks, in another order and beside rows that could not be read, and says
//! which promise of the trait does not hold. It cannot prove that one holds.

use super::{Action, Cleaner, Operator};
use crate::{Error, Evidence, Place, Result, Verdict};
use arrow::{
    array::{RecordBatch, UInt32Array, new_null_array},
    compute::take_record_batch,
    datatypes::{Field, Schema},
    error::ArrowError,
};
use std::{collections::BTreeSet, sync::Arc};

/// What is said of one row, its place left out: its evidence and scores (by bits), and what it became.
#[derive(Debug, PartialEq)]
struct Said {
    evidence: Vec<Evidence>,
    scores: Vec<u32>,
    row: RecordBatch,
}

/// The promises of [`Operator`] that the operators which `make` makes break over the rows of `data`, in words; none
/// where all that was tried held. Every call of `make` gives a new operator, made alike.
///
/// Give it rows that reach each rule, on both sides of its threshold: what no row shows is not tried. A few dozen rows
/// are enough; the time grows with their number squared where there are fewer than 64.
///
/// ```
/// # use arable_loader::{Result, clean::{Action, Findings, Operator, Rows, Rule, broken_promises}};
/// # struct Shouting;
/// # impl Operator for Shouting {
/// #     fn name(&self) -> &str { "shouting" }
/// #     fn version(&self) -> u32 { 1 }
/// #     fn rules(&self) -> Vec<Rule> { vec![Rule::at_most("too_many_marks")] }
/// #     fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
/// #         let texts = rows.texts(rows.index_of("text")?)?;
/// #         for (row, text) in rows.iter().filter_map(|row| Some((row, texts.get(row)?))) {
/// #             let marks = text.bytes().filter(|&byte| byte == b'!').count();
/// #             findings.hold(marks > 3, row, 0, marks as f64, 3.0);
/// #         }
/// #         Ok(())
/// #     }
/// # }
/// use arrow::array::{RecordBatch, StringArray};
/// let text = StringArray::from(vec![Some("Hello!"), Some("HELLO!!!!"), Some(""), None]);
/// let rows = RecordBatch::try_from_iter_with_nullable([("text", std::sync::Arc::new(text) as _, true)])?;
/// assert_eq!(broken_promises(&|| Box::new(Shouting), &rows), [""; 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn broken_promises(make: &dyn Fn() -> Box<dyn Operator>, data: &RecordBatch) -> Vec<String> {
    let mut broken = declared(make);
    let outcome = with_operator(make, data).and_then(|cleaner| judged(&cleaner, make, data, &mut broken));
    if let Err(error) = outcome {
        broken.push(format!("it fails: {error}"));
    }
    broken
}

/// What an operator says of itself.
fn declared(make: &dyn Fn() -> Box<dyn Operator>) -> Vec<String> {
    let (one, other) = (make(), make());
    let mut broken = Vec::new();
    if one.name().is_empty() || one.name().contains(char::is_whitespace) {
        broken.push(format!("`name` is {:?}: a name has letters and no space", one.name()));
    }
    let same = one.name() == other.name()
        && one.version() == other.version()
        && one.options() == other.options()
        && one.rules() == other.rules()
        && one.scores() == other.scores()
        && one.rewrites() == other.rewrites();
    if !same {
        broken.push("two operators that are made alike say different things of themselves".to_owned());
    }
    if one.rules().is_empty() && one.scores().is_empty() && one.rewrites().is_empty() {
        broken.push("it has no rule, no score and rewrites nothing: nothing can follow from it".to_owned());
    }
    let rules = one.rules();
    let reasons: BTreeSet<&str> = rules.iter().map(|rule| rule.reason.as_str()).collect();
    if reasons.len() < rules.len() || reasons.contains("") {
        broken.push("the reasons in `rules` are not all different, or one of them is empty".to_owned());
    }
    let scores: BTreeSet<String> = one.scores().into_iter().collect();
    if scores.len() < one.scores().len() {
        broken.push("the names in `scores` are not all different".to_owned());
    }
    broken
}

/// A cleaner with the operator alone, annotating, fitted where it learns from the data.
fn with_operator(make: &dyn Fn() -> Box<dyn Operator>, data: &RecordBatch) -> Result<Cleaner> {
    let mut cleaner = alone(make, data)?;
    if let Some(fits) = fits(&cleaner, data)? {
        cleaner.fit(fits)?;
    }
    Ok(cleaner)
}

fn alone(make: &dyn Fn() -> Box<dyn Operator>, data: &RecordBatch) -> Result<Cleaner> {
    Cleaner::new(&[], &data.schema())?.with_operator(make(), Action::Annotate)
}

/// What the operator's survey comes to over `data`.
fn fits(cleaner: &Cleaner, data: &RecordBatch) -> Result<Option<Vec<Vec<u8>>>> {
    let Some(mut surveys) = cleaner.surveys(0) else { return Ok(None) };
    surveys.add(cleaner.look(&surveys, 0, data, &[])?)?;
    surveys.fits().map(Some)
}

fn judged(
    cleaner: &Cleaner,
    make: &dyn Fn() -> Box<dyn Operator>,
    data: &RecordBatch,
    broken: &mut Vec<String>,
) -> Result<()> {
    if let (Some(one), Some(other)) = (fits(&alone(make, data)?, data)?, fits(&alone(make, data)?, data)?)
        && one != other
    {
        broken.push("two surveys of the same rows come to different fits".to_owned());
    }
    let whole = said(cleaner, data, &[])?;
    let rows = data.num_rows();
    if said(cleaner, data, &[])? != whole {
        broken.push("the same rows are judged otherwise the second time".to_owned());
    }
    if said(&with_operator(make, data)?, data, &[])? != whole {
        broken.push("another operator that is made alike judges otherwise".to_owned());
    }
    let size = if rows < 64 { 1 } else { rows.div_ceil(32) };
    let parts = (0..rows).step_by(size).map(|from| said(cleaner, &data.slice(from, size.min(rows - from)), &[]));
    let parts = parts.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect::<Vec<_>>();
    if let Some(row) = differing(&whole, &parts) {
        broken.push(format!("row {row} is judged otherwise in another block"));
    }
    let backwards = rows_of(data, &(0..rows as u32).rev().collect())?;
    let mut backwards = said(cleaner, &backwards, &[])?;
    backwards.reverse();
    if let Some(row) = differing(&whole, &backwards) {
        broken.push(format!("row {row} is judged otherwise when the rows come in another order"));
    }
    // Every second row, read and not: the others are judged as ever.
    for first in 0..2 {
        let bad: Vec<u32> = (first..rows as u32).step_by(2).collect();
        let beside = said(cleaner, data, &bad)?;
        if let Some(row) = (0..rows).find(|&row| row % 2 != first as usize && beside[row] != whole[row]) {
            broken.push(format!("row {row} is judged otherwise beside rows that do not reach the operator"));
        }
    }
    if !said(cleaner, &data.slice(0, 0), &[])?.is_empty() {
        broken.push("a block without rows has rows when it was judged".to_owned());
    }
    nulls(cleaner, data, broken);
    again(cleaner, data, broken)
}

fn fault(error: ArrowError) -> Error {
    Error::data(Place::default(), error.to_string())
}

fn rows_of(data: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch> {
    take_record_batch(data, rows).map_err(fault)
}

fn differing(one: &[Said], other: &[Said]) -> Option<usize> {
    (0..one.len().max(other.len())).find(|&row| one.get(row) != other.get(row))
}

/// What a row holds is a finding and never an error: a row of nulls, where the columns allow it.
fn nulls(cleaner: &Cleaner, data: &RecordBatch, broken: &mut Vec<String>) {
    if data.schema_ref().fields().iter().any(|field| !field.is_nullable()) {
        return;
    }
    let columns = data.columns().iter().map(|column| new_null_array(column.data_type(), 1)).collect();
    let outcome = RecordBatch::try_new(data.schema(), columns).map_err(fault);
    if let Err(error) = outcome.and_then(|nulls| said(cleaner, &nulls, &[])) {
        broken.push(format!("a row of nulls is an error: {error}"));
    }
}

/// On later passes kept rows are written again from what they were; that must come to the same.
fn again(cleaner: &Cleaner, data: &RecordBatch, broken: &mut Vec<String>) -> Result<()> {
    if !cleaner.rewrites() {
        return Ok(());
    }
    let judged = cleaner.judge(data, &[])?;
    let settled = cleaner.settle(0, &judged, &mut cleaner.memory());
    let rows: UInt32Array = settled.keep.kept().collect();
    let first = rows_of(judged.data(), &rows)?;
    if cleaner.repair(rows_of(data, &rows)?, &settled.keep, &settled.cuts)? != first {
        broken.push("on a later pass it writes other values into the rows".to_owned());
    }
    Ok(())
}

/// What the cleaner says of each row. Rows are held by themselves, without the block that they lay in.
fn said(cleaner: &Cleaner, data: &RecordBatch, bad: &[u32]) -> Result<Vec<Said>> {
    let judged = cleaner.judge(data, bad)?;
    let settled = cleaner.settle(0, &judged, &mut cleaner.memory());
    let verdicts: Vec<(Verdict, Vec<Evidence>)> = judged.verdicts(&settled);
    // The metadata of a schema are no part of a row.
    let fields: Vec<Field> = judged.data().schema_ref().fields().iter().map(|field| field.as_ref().clone()).collect();
    let schema = Arc::new(Schema::new(fields));
    verdicts
        .into_iter()
        .enumerate()
        .map(|(row, (_, evidence))| {
            let scores = judged.scores.iter().map(|scores| scores[row].to_bits()).collect();
            let row = rows_of(judged.data(), &UInt32Array::from(vec![row as u32]))?;
            let row = RecordBatch::try_new(Arc::clone(&schema), row.columns().to_vec()).map_err(fault)?;
            Ok(Said { evidence, scores, row })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::broken_promises;
    use crate::{
        Result,
        clean::{Findings, Operator, Rows, Rule},
    };
    use arrow::array::{RecordBatch, StringArray};
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    /// What an operator that breaks one promise does.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Breaks {
        Nothing,
        LooksAtTheBlock,
        LooksAtItsCalls,
        FailsOnNulls,
        RewritesByPlace,
        SaysOneReasonTwice,
    }

    struct Broken(Breaks, AtomicUsize);

    impl Operator for Broken {
        fn name(&self) -> &str {
            "broken"
        }

        fn version(&self) -> u32 {
            1
        }

        fn rules(&self) -> Vec<Rule> {
            let rules = vec![Rule::at_most("long")];
            if self.0 == Breaks::SaysOneReasonTwice { [rules.clone(), rules].concat() } else { rules }
        }

        fn rewrites(&self) -> Vec<usize> {
            if self.0 == Breaks::RewritesByPlace { vec![0] } else { Vec::new() }
        }

        fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
            let texts = rows.texts(rows.index_of("text")?)?;
            let calls = self.1.fetch_add(1, Ordering::Relaxed);
            for row in rows.iter() {
                let length = match texts.get(row) {
                    Some(text) => text.len() as f64,
                    None if self.0 == Breaks::FailsOnNulls => rows.index_of("no such column")? as f64,
                    None => continue,
                };
                let limit = match self.0 {
                    Breaks::LooksAtTheBlock => rows.len() as f64,
                    Breaks::LooksAtItsCalls => calls as f64,
                    _ => 3.0,
                };
                findings.hold(length > limit, row, 0, length, limit);
                if self.0 == Breaks::RewritesByPlace {
                    findings.rewrite(row, 0, format!("{row}"));
                }
            }
            Ok(())
        }
    }

    fn of(breaks: Breaks, nulls: bool) -> Vec<String> {
        let texts =
            StringArray::from(vec![Some("a"), Some("four"), Some(""), Some("longer"), (!nulls).then_some("xx")]);
        let rows = RecordBatch::try_from_iter_with_nullable([("text", Arc::new(texts) as _, true)]).expect("a batch");
        broken_promises(&|| Box::new(Broken(breaks, AtomicUsize::new(0))), &rows)
    }

    #[test]
    fn an_operator_that_keeps_its_promises_breaks_none() {
        assert_eq!(of(Breaks::Nothing, true), [""; 0]);
    }

    #[test]
    fn each_broken_promise_is_named() {
        for (breaks, words) in [
            (Breaks::LooksAtTheBlock, "in another block"),
            (Breaks::LooksAtItsCalls, "the second time"),
            (Breaks::FailsOnNulls, "a row of nulls is an error"),
            (Breaks::RewritesByPlace, "in another order"),
            (Breaks::SaysOneReasonTwice, "are not all different"),
        ] {
            let broken = of(breaks, false);
            assert!(broken.iter().any(|broken| broken.contains(words)), "{breaks:?}: {broken:?}");
        }
        assert!(of(Breaks::FailsOnNulls, true).iter().any(|broken| broken.starts_with("it fails")));
    }
}
