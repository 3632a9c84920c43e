//! A quick profile of the dirt: what a column holds, what it lacks, what comes suspiciously often.
//!
//! One pass over batches in bounded memory: counts and extremes are exact, levels and frequent values are sketches
//! that say when they are not. It describes; it decides nothing of any row.

mod column;

use super::{
    Align, Table,
    numbers::{bytes, count, number, percent},
    text::one_line,
};
use arrow::{array::RecordBatch, datatypes::Schema};
use column::Column;
use serde::Serialize;

/// How many hashes all columns together may keep to count their levels, and one alone: 16 bytes each.
const HASHES: (usize, usize) = (1 << 22, 1 << 16);

/// How many frequent values all columns together may keep, and one alone: about 200 bytes each.
const VALUES: (usize, usize) = (1 << 16, 1 << 10);

/// What one column holds, as far as it was seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Its Arrow type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// How many rows were seen.
    pub rows: u64,
    /// How many of them hold nothing.
    pub nulls: u64,
    /// Texts that are empty or all white space, nulls not among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blank: Option<u64>,
    /// Numbers that are NaN or infinite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_finite: Option<u64>,
    /// The least finite number, or the earliest time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Extreme>,
    /// The greatest finite number, or the latest time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Extreme>,
    /// How long texts, binaries and lists are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<Lengths>,
    /// How many different values there are; absent for types that cannot be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinct: Option<Distinct>,
    /// The share of the values (nulls not among them) that equal an earlier one, in [0, 1]; as exact as `distinct`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeated: Option<f64>,
    /// The values that come most often, ten at most, of texts, numbers, times and booleans.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<TopValue>,
}

/// An end of a column's range.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Extreme {
    /// Of whole numbers.
    Int(i128),
    /// Of other numbers.
    Float(f64),
    /// Of dates and times, as Arrow writes them.
    Time(String),
}

/// How long a column's values are, nulls not among them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lengths {
    /// What is counted: "characters", "bytes" or "items".
    pub unit: &'static str,
    /// The shortest.
    pub min: u64,
    /// The mean.
    pub mean: f64,
    /// The longest.
    pub max: u64,
}

/// How many different values there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Distinct {
    /// Their number.
    pub count: u64,
    /// Whether it is exact; else it is estimated, with a standard error of half a percent for up to 64 columns.
    pub exact: bool,
}

/// A value that comes often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopValue {
    /// What is shown of it.
    pub value: String,
    /// How often it came.
    pub count: u64,
    /// Whether that is exact; else it came at least so often.
    pub exact: bool,
}

/// The profile of a dataset, made from batches pushed one after another.
#[derive(Debug)]
pub struct Profile {
    columns: Vec<Column>,
}

impl Profile {
    /// The profile of nothing yet, for batches of `schema`.
    #[must_use]
    pub fn new(schema: &Schema) -> Self {
        let share = |(all, one): (usize, usize)| (all / schema.fields().len().max(1)).clamp(16, one);
        let (hashes, values) = (share(HASHES), share(VALUES));
        let columns = schema.fields().iter();
        let columns = columns.map(|field| Column::new(field.name(), field.data_type(), hashes, values)).collect();
        Self { columns }
    }

    /// Takes in the rows of a batch, whose columns are those of the schema, in order.
    pub fn push(&mut self, batch: &RecordBatch) {
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            column.push(array);
        }
    }

    /// What the columns hold, in the order of the schema.
    #[must_use]
    pub fn columns(&self) -> Vec<ColumnProfile> {
        self.columns.iter().map(Column::profile).collect()
    }
}

impl ColumnProfile {
    /// Profiles as a table, one column a line.
    #[must_use]
    pub fn table(profiles: &[Self]) -> Table {
        let heads = ["column", "type", "nulls", "levels", "repeated", "values", "most frequent"];
        let right = [2, 3, 4];
        let align = |index| if right.contains(&index) { Align::Right } else { Align::Left };
        let mut table = Table::new(heads.into_iter().enumerate().map(|(index, head)| (head, align(index))));
        for profile in profiles {
            table.row([
                one_line(&profile.name, 32),
                one_line(&profile.data_type, 24),
                if profile.nulls == 0 { "0".to_owned() } else { percent(profile.nulls, profile.rows) },
                profile.show_levels(),
                profile.show_repeated(),
                profile.show_values(),
                profile.show_top(3),
            ]);
        }
        table
    }

    fn show_levels(&self) -> String {
        match self.distinct {
            Some(Distinct { count: levels, exact: true }) => count(levels),
            Some(Distinct { count: levels, exact: false }) => format!("≈{}", count(levels)),
            None => String::new(),
        }
    }

    fn show_repeated(&self) -> String {
        let values = self.rows - self.nulls;
        match self.distinct {
            Some(distinct) if values > 0 => {
                let about = if distinct.exact { "" } else { "≈" };
                format!("{about}{}", percent(values - distinct.count, values))
            }
            _ => String::new(),
        }
    }

    /// The range, the lengths, and what is wrong with some.
    fn show_values(&self) -> String {
        let mut parts = Vec::new();
        if let (Some(min), Some(max)) = (&self.min, &self.max) {
            parts.push(format!("{} … {}", min.show(), max.show()));
        }
        if let Some(length) = &self.length {
            let show = |value: u64| if length.unit == "bytes" { bytes(value) } else { count(value) };
            let unit = if length.unit == "bytes" { String::new() } else { format!(" {}", length.unit) };
            parts.push(match length.min == length.max {
                true => format!("{}{unit}", show(length.min)),
                false => format!(
                    "{} … {}{unit}, mean {}",
                    show(length.min),
                    show(length.max),
                    show(length.mean.round() as u64)
                ),
            });
        }
        for (rows, what) in [(self.blank, "blank"), (self.non_finite, "not finite")] {
            if let Some(rows) = rows.filter(|&rows| rows > 0) {
                parts.push(format!("{} {what}", percent(rows, self.rows)));
            }
        }
        parts.join("; ")
    }

    fn show_top(&self, most: usize) -> String {
        // Half a percent: below it a value is of no interest unless there are few.
        let is_frequent = |top: &&TopValue| top.count >= self.rows / 200;
        let top = self.top.iter().take(most).filter(is_frequent).map(|top| {
            let value = one_line(&top.value, 16);
            let value = if value.trim().is_empty() { format!("\"{value}\"") } else { value };
            format!("{value} ({}{})", if top.exact { "" } else { "≥" }, percent(top.count, self.rows))
        });
        top.collect::<Vec<_>>().join(", ")
    }
}

impl Extreme {
    fn show(&self) -> String {
        match self {
            Self::Int(value) => value.to_string(),
            Self::Float(value) => number(*value),
            Self::Time(text) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{
            ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
            Int8Array, Int64Array, ListArray, StringArray, StringViewArray, TimestampMillisecondArray, UInt64Array,
            types::Int32Type,
        },
        datatypes::{DataType, Field},
    };
    use proptest::prelude::*;
    use std::{collections::BTreeSet, sync::Arc};

    fn profile_of(arrays: &[ArrayRef]) -> ColumnProfile {
        let schema = Schema::new(vec![Field::new("c", arrays[0].data_type().clone(), true)]);
        let mut profile = Profile::new(&schema);
        for array in arrays {
            profile.push(&RecordBatch::try_from_iter_with_nullable([("c", Arc::clone(array), true)]).unwrap());
        }
        profile.columns().remove(0)
    }

    fn top(profile: &ColumnProfile) -> Vec<(&str, u64)> {
        profile.top.iter().map(|top| (top.value.as_str(), top.count)).collect()
    }

    #[test]
    fn texts_show_blanks_lengths_and_levels_whatever_array_holds_them() {
        let texts = [Some("cat"), Some(""), None, Some(" \t"), Some("größe"), Some("cat"), Some("cat")];
        let arrays: [ArrayRef; 3] = [
            Arc::new(StringArray::from_iter(texts)),
            Arc::new(StringViewArray::from_iter(texts)),
            Arc::new(texts.into_iter().collect::<DictionaryArray<Int32Type>>()),
        ];
        for array in arrays {
            // Pushed whole, and in two slices: the same.
            let whole = profile_of(&[Arc::clone(&array)]);
            assert_eq!(profile_of(&[array.slice(0, 3), array.slice(3, 4)]), whole);
            assert_eq!((whole.rows, whole.nulls, whole.blank, whole.non_finite), (7, 1, Some(2), None));
            assert_eq!(whole.length, Some(Lengths { unit: "characters", min: 0, mean: 16.0 / 6.0, max: 5 }));
            assert_eq!(whole.distinct, Some(Distinct { count: 4, exact: true }));
            assert_eq!(whole.repeated, Some(2.0 / 6.0));
            assert_eq!(top(&whole), [("cat", 3), ("", 1), (" \\t", 1), ("größe", 1)]);
        }
    }

    #[test]
    fn numbers_show_their_range_and_what_is_not_finite() {
        let floats = Float32Array::from(vec![Some(0.5), Some(f32::NAN), None, Some(f32::INFINITY), Some(-2.0)]);
        let floats = profile_of(&[Arc::new(floats)]);
        assert_eq!((floats.non_finite, floats.blank, floats.nulls), (Some(2), None, 1));
        assert_eq!((floats.min, floats.max), (Some(Extreme::Float(-2.0)), Some(Extreme::Float(0.5))));

        let ints = profile_of(&[Arc::new(Int8Array::from(vec![3, -128, 3]))]);
        assert_eq!((ints.min, ints.max), (Some(Extreme::Int(-128)), Some(Extreme::Int(3))));
        assert_eq!((ints.non_finite, ints.distinct), (None, Some(Distinct { count: 2, exact: true })));

        let large = profile_of(&[Arc::new(UInt64Array::from(vec![u64::MAX, 1]))]);
        assert_eq!(serde_json::to_value(large).unwrap()["max"].as_u64(), Some(u64::MAX));

        let decimal = Decimal128Array::from(vec![150, -25]).with_precision_and_scale(5, 2).unwrap();
        let decimal = profile_of(&[Arc::new(decimal)]);
        assert_eq!((decimal.min, decimal.max), (Some(Extreme::Float(-0.25)), Some(Extreme::Float(1.5))));

        let not_a_number = profile_of(&[Arc::new(Float32Array::from(vec![f32::NAN]))]);
        assert_eq!((not_a_number.min, not_a_number.non_finite), (None, Some(1)));
    }

    #[test]
    fn times_lists_binaries_and_booleans_show_what_they_have() {
        let date = profile_of(&[Arc::new(Date32Array::from(vec![1, 0, 365]))]);
        assert_eq!(date.min, Some(Extreme::Time("1970-01-01".into())));
        assert_eq!(date.max, Some(Extreme::Time("1971-01-01".into())));
        let time = profile_of(&[Arc::new(TimestampMillisecondArray::from(vec![Some(1), None]).with_timezone("UTC"))]);
        assert_eq!(time.min, Some(Extreme::Time("1970-01-01T00:00:00.001Z".into())));

        let item = |values: &[i32]| Some(values.iter().copied().map(Some).collect::<Vec<_>>());
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([item(&[1, 2]), item(&[]), None, item(&[1, 2])]);
        let lists = profile_of(&[Arc::new(lists)]);
        assert_eq!(lists.length, Some(Lengths { unit: "items", min: 0, mean: 4.0 / 3.0, max: 2 }));
        assert_eq!(lists.distinct, Some(Distinct { count: 2, exact: true }));
        assert!(lists.top.is_empty() && lists.min.is_none());

        let binary = profile_of(&[Arc::new(BinaryArray::from(vec![&b"abc"[..], b"abc", b"d"]))]);
        assert_eq!(binary.length, Some(Lengths { unit: "bytes", min: 1, mean: 7.0 / 3.0, max: 3 }));
        assert_eq!(binary.repeated, Some(1.0 / 3.0));
        assert!(binary.top.is_empty());

        let flags = profile_of(&[Arc::new(BooleanArray::from(vec![true, false, true]))]);
        assert_eq!(top(&flags), [("true", 2), ("false", 1)]);
    }

    #[test]
    fn what_is_empty_or_all_null_has_no_share_and_no_range() {
        let empty: DictionaryArray<Int32Type> = vec![None::<&str>; 3].into_iter().collect();
        for array in [
            Arc::new(StringArray::from(Vec::<&str>::new())) as ArrayRef,
            Arc::new(StringArray::from(vec![None::<&str>; 3])),
            Arc::new(empty),
            Arc::new(arrow::array::NullArray::new(3)),
        ] {
            let profile = profile_of(&[array]);
            assert_eq!(profile.nulls, profile.rows);
            assert!(profile.repeated.is_none() && profile.length.is_none() && profile.top.is_empty());
            let _ = ColumnProfile::table(&[profile]).to_string();
        }
        assert!(Profile::new(&Schema::empty()).columns().is_empty());
    }

    #[test]
    fn a_value_that_comes_often_is_found_among_a_hundred_thousand_others() {
        let mut profile = Profile::new(&Schema::new(vec![Field::new("c", DataType::Utf8, false)]));
        for batch in 0..20 {
            let texts = StringArray::from_iter_values((0..10_000).map(|row| match row % 10 {
                0 => "N/A".to_owned(),
                _ => format!("{batch} {row} {}", "x".repeat(100)),
            }));
            profile.push(&RecordBatch::try_from_iter([("c", Arc::new(texts) as ArrayRef)]).unwrap());
        }
        let column = profile.columns().remove(0);
        assert_eq!(column.top.len(), 1, "{:?}", column.top);
        let found = &column.top[0];
        assert!(
            found.value == "N/A" && !found.exact && found.count <= 20_000 && found.count >= 20_000 - 200_000 / 1025
        );
        let distinct = column.distinct.unwrap();
        assert!(!distinct.exact && (distinct.count as f64 / 180_001.0 - 1.0).abs() < 0.025, "{distinct:?}");
        assert!(column.repeated.unwrap() > 0.07 && column.repeated.unwrap() < 0.13);
    }

    #[test]
    fn memory_is_shared_among_many_columns() {
        let fields: Vec<Field> =
            (0..10_000).map(|index| Field::new(index.to_string(), DataType::Int64, true)).collect();
        let mut profile = Profile::new(&Schema::new(fields));
        let column = &mut profile.columns[0];
        let array: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100_000));
        column.push(&array);
        let distinct = column.profile().distinct.unwrap();
        assert!(!distinct.exact && distinct.count > 70_000 && distinct.count <= 100_000, "{distinct:?}");
    }

    proptest! {
        #[test]
        fn counts_are_those_of_the_values_however_they_are_cut(
            values in prop::collection::vec(prop::option::of(-5_i64..5), 0..60),
            cut in 0_usize..60,
        ) {
            let array: ArrayRef = Arc::new(Int64Array::from(values.clone()));
            let cut = cut.min(values.len());
            let profile = profile_of(&[array.slice(0, cut), array.slice(cut, values.len() - cut)]);
            let held: Vec<i64> = values.iter().flatten().copied().collect();
            prop_assert_eq!(profile.rows, values.len() as u64);
            prop_assert_eq!(profile.nulls, (values.len() - held.len()) as u64);
            prop_assert_eq!(profile.min, held.iter().min().map(|&min| Extreme::Int(min.into())));
            prop_assert_eq!(profile.max, held.iter().max().map(|&max| Extreme::Int(max.into())));
            let levels = held.iter().collect::<BTreeSet<_>>().len() as u64;
            prop_assert_eq!(profile.distinct, Some(Distinct { count: levels, exact: true }));
            prop_assert_eq!(profile.top.iter().map(|top| top.count).sum::<u64>(), if levels == 0 { 0 } else { held.len() as u64 });
        }
    }
}
