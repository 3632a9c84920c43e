//! How suspicious the labels of the data are, and what they are taken for, in the words of the label column.
//!
//! It composes what the trajectories say (`value`) with the labels as they stand in the data (`source`), and knows nothing
//! of how suspicion is measured.

use super::{Stream, block_rows, classes, data, sweep::sweep};
use crate::{
    Error, Position, Result,
    source::Decoded,
    value::{Classes, Suspicion, Table, suspicions},
};
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::DataType,
};
use std::collections::{BTreeMap, HashMap};

/// How suspicious each row's label is, with the labels: what [`Stream::suspicions`] finds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Suspicions {
    /// In position order, each with the number of the label that it has.
    rows: Vec<(Suspicion, Option<u32>)>,
    /// Labels as texts, by their number.
    labels: Vec<String>,
    /// The number of the label that the model's class stands for, where that is known.
    meant: HashMap<u32, u32>,
}

/// How suspicious the label of one row is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuspiciousLabel<'a> {
    /// Which row.
    pub position: Position,
    /// Higher is worse; comparable between rows of one run only.
    pub suspicion: f32,
    /// The label that it has, as a text; `None` where it is null, or neither a whole number, nor a text, nor a truth value.
    pub given: Option<&'a str>,
    /// The label that it should most likely have, if the given one is wrong: that of its strongest rival. `None` where
    /// the model's class has no label that is known.
    pub suggested: Option<&'a str>,
    /// The same as the model's number of the class; `None` where no signal named one.
    pub suggested_class: Option<u32>,
}

impl Suspicions {
    /// How many rows there are: those that were presented, and whose signals were finite.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Every row, in position order.
    pub fn iter(&self) -> impl Iterator<Item = SuspiciousLabel<'_>> {
        self.rows.iter().map(|row| self.said(row))
    }

    /// Every row, the most suspicious first, and in position order where two are level.
    #[must_use]
    pub fn worst_first(&self) -> Vec<SuspiciousLabel<'_>> {
        let mut rows: Vec<&(Suspicion, Option<u32>)> = self.rows.iter().collect();
        rows.sort_by(|(a, _), (b, _)| b.suspicion.total_cmp(&a.suspicion));
        rows.into_iter().map(|row| self.said(row)).collect()
    }

    fn said(&self, &(row, given): &(Suspicion, Option<u32>)) -> SuspiciousLabel<'_> {
        let text = |label: u32| self.labels.get(label as usize).map(String::as_str);
        let meant = row.rival.and_then(|class| self.meant.get(&class).copied());
        SuspiciousLabel {
            position: row.position,
            suspicion: row.suspicion,
            given: given.and_then(text),
            // Where the model tells rows of one label apart, its class says more than the label.
            suggested: meant.filter(|label| Some(*label) != given).and_then(text),
            suggested_class: row.rival,
        }
    }
}

impl Stream {
    /// How suspicious each row's label is, and which label to suggest in its place:
    /// [`suspicions`] of the trajectories, with every report that has come in so far, and of the
    /// classes that the label column gives, which takes one more pass over the blocks that were seen. Rows in position
    /// order; rows never presented, or that cannot be read, have none.
    ///
    /// What the model calls class k is known by a row that was reported with it, so suggestions are in the words of the
    /// label column, be they texts, or numbers that the trainer counts otherwise.
    ///
    /// ```no_run
    /// # let stream: arable_loader::Stream = unimplemented!();
    /// for row in stream.suspicions()?.worst_first().iter().take(20) {
    ///     let suggested = row.suggested.unwrap_or("?");
    ///     println!("{} is {}, rather {suggested}: {}", row.position, row.given.unwrap_or("?"), row.suspicion);
    /// }
    /// # Ok::<(), arable_loader::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where the recipe names no `label`; as for reading the data.
    pub fn suspicions(&self) -> Result<Suspicions> {
        let table = self.values()?;
        let Some(label) = data::label(&self.recipe, self.plan())? else {
            return Err(Error::recipe(
                "suspicions go by class: name the column of the labels as `label` under [dataset]",
            ));
        };
        let mut blocks: Vec<u32> = table.iter().map(|(position, _)| position.block).collect();
        blocks.dedup();
        let mut found = Found::new(&block_rows(self.plan()));
        let pass = self.pass();
        let read = |_: u32, decoded: Decoded| {
            let labels = decoded.data.column(label);
            Ok((classes::of(labels), texts(labels)))
        };
        let source = self.shared.work.source.as_ref();
        sweep(source, blocks.into_iter(), pass.threads, pass.budget, read, |block, outcome| match outcome {
            Err(fault) if pass.on_bad_block.sets_aside(&fault) => Ok(()),
            outcome => outcome.and_then(|(classes, texts)| found.take(block, classes, &texts)),
        })?;
        Ok(found.judge(&table))
    }
}

/// What was found in the label column.
#[derive(Debug)]
struct Found {
    classes: Classes,
    /// The number of each text, in the order of its first row.
    numbers: HashMap<String, u32>,
    /// By block, the number of each row's text.
    rows: BTreeMap<u32, Vec<Option<u32>>>,
}

impl Found {
    fn new(block_rows: &[u32]) -> Self {
        Self { classes: Classes::new(block_rows), numbers: HashMap::new(), rows: BTreeMap::new() }
    }

    fn take(&mut self, block: u32, classes: Vec<u32>, texts: &[Option<String>]) -> Result<()> {
        let number = |text: &Option<String>| {
            let text = text.as_ref()?;
            if let Some(number) = self.numbers.get(text) {
                return Some(*number);
            }
            let next = u32::try_from(self.numbers.len()).ok()?;
            self.numbers.insert(text.clone(), next);
            Some(next)
        };
        self.rows.insert(block, texts.iter().map(number).collect());
        self.classes.set(block, classes)
    }

    fn label(&self, position: Position) -> Option<u32> {
        self.rows.get(&position.block)?.get(position.row as usize).copied().flatten()
    }

    fn judge(self, table: &Table) -> Suspicions {
        let rows = suspicions(table, &self.classes);
        let rows = rows.into_iter().map(|row| (row, self.label(row.position))).collect();
        let known: Vec<(u32, u32)> =
            table.examples().filter_map(|(class, example)| Some((class, self.label(example)?))).collect();
        let mut claims: HashMap<u32, u32> = HashMap::new();
        known.iter().for_each(|(_, label)| *claims.entry(*label).or_default() += 1);
        // A label that two classes were reported with stands for neither.
        let meant = known.into_iter().filter(|(_, label)| claims.get(label) == Some(&1)).collect();
        let mut labels = vec![String::new(); self.numbers.len()];
        for (text, number) in self.numbers {
            if let Some(label) = labels.get_mut(number as usize) {
                *label = text;
            }
        }
        Suspicions { rows, labels, meant }
    }
}

/// One text a row: a whole number, a text, a truth value; `None` for null and for anything else.
fn texts(labels: &ArrayRef) -> Vec<Option<String>> {
    let kind = labels.data_type();
    let kind = if let DataType::Dictionary(_, values) = kind { values.as_ref() } else { kind };
    let named = matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean);
    match cast(labels, &DataType::LargeUtf8) {
        Ok(texts) if named || kind.is_integer() => {
            texts.as_string::<i64>().iter().map(|text| text.map(ToOwned::to_owned)).collect()
        }
        _ => vec![None; labels.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ClassPair, ClassSignal, Report, Signal,
        value::{Beside, UNKNOWN_CLASS},
    };
    use arrow::{
        array::{BooleanArray, DictionaryArray, Float64Array, Int16Array, StringArray, UInt64Array},
        datatypes::Int32Type,
    };
    use std::sync::Arc;

    /// One block, of whose rows the trainer said these numbers of their label and their rival.
    fn judged(labels: ArrayRef, pairs: &[(u32, u32)]) -> Suspicions {
        let blocks = [labels.len() as u32];
        let mut table = Table::new(&blocks).keeping(Beside { rivals: true, ..Beside::default() });
        let signal = |&(label, rival): &(u32, u32)| Signal {
            loss: 1.0,
            class: Some(ClassSignal {
                logit_margin: 1.0,
                probability_margin: 0.5,
                probability: 0.7,
                pair: Some(ClassPair { label, rival }),
            }),
        };
        let rows = (0..).zip(pairs).map(|(row, pair)| (Position::new(0, row), signal(pair)));
        table.apply(&Report::new(0, rows.collect())).unwrap();
        let mut found = Found::new(&blocks);
        found.take(0, vec![UNKNOWN_CLASS; labels.len()], &texts(&labels)).unwrap();
        found.judge(&table)
    }

    fn said(found: &Suspicions) -> Vec<(Option<&str>, Option<&str>, Option<u32>)> {
        found.iter().map(|row| (row.given, row.suggested, row.suggested_class)).collect()
    }

    #[test]
    fn suggestions_are_in_the_words_of_the_label_column() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("dog"), Some("cat"), None, Some("cat")]));
        let found = judged(texts, &[(0, 1), (1, 0), (2, 0), (1, 7)]);
        let expected = [
            (Some("dog"), Some("cat"), Some(1)),
            (Some("cat"), Some("dog"), Some(0)),
            (None, Some("dog"), Some(0)),
            // No row is labelled with the seventh class.
            (Some("cat"), None, Some(7)),
        ];
        assert_eq!(said(&found), expected);
    }

    #[test]
    fn numbers_may_be_counted_otherwise_by_the_trainer() {
        let tens: ArrayRef = Arc::new(Int16Array::from(vec![-10, 0, 10, 20]));
        let found = judged(tens, &[(0, 1), (1, 2), (2, 3), (3, 0)]);
        let suggested: Vec<_> = found.iter().map(|row| row.suggested.unwrap()).collect();
        assert_eq!(suggested, ["0", "10", "20", "-10"]);
        let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 5]));
        assert_eq!(judged(large, &[(0, 1), (1, 0)]).iter().next().unwrap().given, Some("18446744073709551615"));
        let truth: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
        assert_eq!(judged(truth, &[(1, 0), (0, 1)]).iter().next().unwrap().suggested, Some("false"));
        let words: DictionaryArray<Int32Type> = ["b", "a"].into_iter().collect();
        assert_eq!(judged(Arc::new(words), &[(0, 1), (1, 0)]).iter().next().unwrap().suggested, Some("a"));
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.5]));
        assert_eq!(said(&judged(floats, &[(0, 1), (1, 0)])), [(None, None, Some(1)), (None, None, Some(0))]);
    }

    #[test]
    fn a_label_that_stands_for_two_classes_is_suggested_for_neither() {
        let labels: ArrayRef = Arc::new(StringArray::from(vec!["pet", "pet", "car", "pet"]));
        let found = judged(labels, &[(0, 2), (1, 2), (2, 1), (0, 1)]);
        let expected = [Some("car"), Some("car"), None, None];
        assert_eq!(found.iter().map(|row| row.suggested).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_worst_come_first_and_those_that_are_level_in_order() {
        let rows = [0.5, 2.0, -1.0, 2.0].into_iter().zip(0..);
        let row = |(suspicion, row)| (Suspicion { position: Position::new(0, row), suspicion, rival: None }, None);
        let found = Suspicions { rows: rows.map(row).collect(), ..Suspicions::default() };
        let order: Vec<u32> = found.worst_first().iter().map(|row| row.position.row).collect();
        assert_eq!((order, found.len(), found.is_empty()), (vec![1, 3, 0, 2], 4, false));
    }
}
