//! `predicate`: rows for which a condition over their columns does not hold.
//!
//! The condition is written as SQL writes it, with SQL's logic of three values: a comparison with a null is neither true
//! nor false, and only rows for which the whole is true are kept. It knows how a condition is judged; how it is read is
//! the parser's.

mod parse;
#[cfg(test)]
mod tests;

use super::{
    Findings, Operator, Rows, Rule,
    spec::{Built, Settings},
    table::{Cells, has_cells},
};
use crate::{Error, Place, Result, spelling::advice};
use arrow::{
    array::{Array, AsArray, BooleanArray, Float64Array, Int64Array, UInt64Array},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type, Schema, UInt64Type},
};
use parse::{Condition, Operand, Test};
use serde::Deserialize;
use std::cmp::Ordering;

pub(super) const NAME: &str = "predicate";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    keep: String,
}

struct Predicate {
    /// As the recipe writes it.
    keep: String,
    condition: Condition,
    /// The columns named, by their number in the condition.
    columns: Vec<Named>,
}

#[derive(Clone, Debug)]
struct Named {
    index: usize,
    kind: Kind,
}

/// What a value is, for comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Boolean,
    Integer,
    Float,
    /// Texts, and whatever else is printed for comparing: dates and times come out in ISO 8601, whose order is that of
    /// time.
    Text,
    Null,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Integer | Self::Float => "a number",
            Self::Text => "text",
            Self::Null => "null",
        }
    }

    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Null => Self::Null,
            _ if data_type.is_integer() => Self::Integer,
            _ if data_type.is_floating() || data_type.is_decimal() => Self::Float,
            _ if has_cells(data_type) => Self::Text,
            _ => return None,
        })
    }

    /// Whether values of the two can be held against one another.
    fn compares(self, other: Self) -> bool {
        self == other
            || self == Self::Null
            || other == Self::Null
            || matches!((self, other), (Self::Integer, Self::Float) | (Self::Float, Self::Integer))
    }
}

pub(super) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let Options { keep } = settings.read()?;
    if settings.named_columns().is_some() {
        return Err("`keep` names its columns itself; leave `column` and `columns` out".to_owned());
    }
    let (condition, names) = parse::parse(&keep).map_err(|what| format!("`keep`: {what}"))?;
    let columns = names.iter().map(|name| named(name, settings.schema)).collect::<Result<Vec<_>, _>>()?;
    let kinds: Vec<Kind> = columns.iter().map(|column| column.kind).collect();
    check(&condition, &kinds, &names).map_err(|what| format!("`keep`: {what}"))?;
    Ok(Built::Pure(Box::new(Predicate { keep, condition, columns })))
}

fn named(name: &str, schema: &Schema) -> Result<Named, String> {
    let Some((index, field)) = schema.column_with_name(name) else {
        let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        return Err(format!("`keep`: there is no column `{name}`{}", advice(name, &known, "the columns are")));
    };
    match Kind::of(field.data_type()) {
        Some(kind) => Ok(Named { index, kind }),
        None => Err(format!("`keep`: column `{name}` holds {}, which cannot be compared", field.data_type())),
    }
}

/// Refuses what can never be compared: it would be a mistake, not a condition.
fn check(condition: &Condition, kinds: &[Kind], names: &[String]) -> Result<(), String> {
    let kind = |operand: &Operand| match operand {
        Operand::Column(column) => kinds.get(*column).copied().unwrap_or(Kind::Null),
        Operand::Length(_) => Kind::Integer,
        Operand::Value(value) => value.kind(),
    };
    let said = |operand: &Operand| match operand {
        Operand::Column(column) => format!("column `{}`", names.get(*column).map_or("", String::as_str)),
        Operand::Length(_) => "a length".to_owned(),
        Operand::Value(_) => "a value".to_owned(),
    };
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().try_for_each(|part| check(part, kinds, names)),
        Condition::Not(part) => check(part, kinds, names),
        Condition::Is(operand, test) => {
            let own = kind(operand);
            let fits = |other: &Operand| match own.compares(kind(other)) {
                true => Ok(()),
                false => Err(format!(
                    "{} holds {} and {} is {}; they cannot be compared",
                    said(operand),
                    own.name(),
                    said(other),
                    kind(other).name()
                )),
            };
            let length = match operand {
                Operand::Length(column) => kinds.get(*column).copied(),
                Operand::Column(_) | Operand::Value(_) => None,
            };
            if length.is_some_and(|kind| kind != Kind::Text) {
                return Err("`length` is of texts".to_owned());
            }
            match test {
                Test::Compared(_, other) => fits(other),
                Test::In(values) => values.iter().try_for_each(fits),
                Test::Like(_) if own != Kind::Text => {
                    Err(format!("{} holds {}; `like` and `matches` are for text", said(operand), own.name()))
                }
                Test::True if own != Kind::Boolean => Err(format!(
                    "{} holds {}, which is no condition; compare it with something",
                    said(operand),
                    own.name()
                )),
                Test::Like(_) | Test::Null | Test::True => Ok(()),
            }
        }
    }
}

/// A value of a row or of the condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<T> {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(T),
}

impl<T: AsRef<str>> Value<T> {
    const fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Boolean(_) => Kind::Boolean,
            Self::Integer(_) => Kind::Integer,
            Self::Float(_) => Kind::Float,
            Self::Text(_) => Kind::Text,
        }
    }

    fn borrowed(&self) -> Value<&str> {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(is) => Value::Boolean(*is),
            Self::Integer(number) => Value::Integer(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Text(text) => Value::Text(text.as_ref()),
        }
    }
}

/// How two values stand to one another; `None` where one of them is null, not a number, or of another kind.
fn compare(one: &Value<&str>, other: &Value<&str>) -> Option<Ordering> {
    match (one, other) {
        (Value::Boolean(one), Value::Boolean(other)) => Some(one.cmp(other)),
        (Value::Integer(one), Value::Integer(other)) => Some(one.cmp(other)),
        (Value::Float(one), Value::Float(other)) => one.partial_cmp(other),
        (Value::Integer(one), Value::Float(other)) => against(*one, *other),
        (Value::Float(one), Value::Integer(other)) => against(*other, *one).map(Ordering::reverse),
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

/// An integer against a float, exactly: integers here fit 65 bits, and beyond those a float is larger than any.
fn against(integer: i128, float: f64) -> Option<Ordering> {
    const BEYOND: f64 = 1e30;
    if float.is_nan() {
        return None;
    }
    if float.abs() > BEYOND {
        return Some(if float > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let whole = float.trunc();
    Some(integer.cmp(&(whole as i128)).then(0.0_f64.total_cmp(&(float - whole + 0.0))))
}

/// A column as it is read, row by row.
enum Reader<'a> {
    Boolean(BooleanArray),
    Signed(Int64Array),
    Unsigned(UInt64Array),
    Float(Float64Array),
    Texts(Cells<'a>),
    Nulls,
}

impl<'a> Reader<'a> {
    fn of(rows: &Rows<'a>, column: &Named) -> Result<Self> {
        let Some(array) = rows.data().columns().get(column.index) else {
            return Err(Error::data(Place::default(), format!("column {} is missing", column.index)));
        };
        let wrong = |what: String| {
            Error::data(Place::default().column(rows.data().schema_ref().field(column.index).name()), what)
        };
        let to = |data_type: &DataType| cast(array, data_type).map_err(|error| wrong(error.to_string()));
        let typed = match column.kind {
            Kind::Null => Some(Self::Nulls),
            Kind::Text => Some(Self::Texts(Cells::of(rows, column.index)?)),
            Kind::Boolean => array.as_boolean_opt().cloned().map(Self::Boolean),
            Kind::Integer if *array.data_type() == DataType::UInt64 => {
                array.as_primitive_opt::<UInt64Type>().cloned().map(Self::Unsigned)
            }
            Kind::Integer => to(&DataType::Int64)?.as_primitive_opt::<Int64Type>().cloned().map(Self::Signed),
            Kind::Float => to(&DataType::Float64)?.as_primitive_opt::<Float64Type>().cloned().map(Self::Float),
        };
        typed.ok_or_else(|| wrong(format!("a condition was made for another type than {}", array.data_type())))
    }

    fn value(&self, row: usize) -> Value<&str> {
        fn present<V>(array: &dyn Array, row: usize, value: impl FnOnce() -> V) -> Option<V> {
            (row < array.len() && array.is_valid(row)).then(value)
        }
        let value = match self {
            Self::Boolean(array) => present(array, row, || Value::Boolean(array.value(row))),
            Self::Signed(array) => present(array, row, || Value::Integer(array.value(row).into())),
            Self::Unsigned(array) => present(array, row, || Value::Integer(array.value(row).into())),
            Self::Float(array) => present(array, row, || Value::Float(array.value(row))),
            Self::Texts(cells) => cells.get(row).map(Value::Text),
            Self::Nulls => None,
        };
        value.unwrap_or(Value::Null)
    }
}

/// Whether the condition holds for a row; `None` where that cannot be said.
fn holds(condition: &Condition, columns: &[Reader<'_>], row: usize) -> Option<bool> {
    let value = |operand: &Operand| -> Value<&str> {
        let of = |column: &usize| columns.get(*column).map_or(Value::Null, |column| column.value(row));
        match operand {
            Operand::Value(_) => Value::Null,
            Operand::Column(column) => of(column),
            Operand::Length(column) => match of(column) {
                Value::Text(text) => Value::Integer(text.chars().count() as i128),
                _ => Value::Null,
            },
        }
    };
    match condition {
        Condition::All(parts) => settle(parts, columns, row, false),
        Condition::Any(parts) => settle(parts, columns, row, true),
        Condition::Not(part) => holds(part, columns, row).map(|holds| !holds),
        Condition::Is(operand, test) => {
            let own = match operand {
                Operand::Value(value) => value.borrowed(),
                Operand::Column(_) | Operand::Length(_) => value(operand),
            };
            let against = |other: &Operand| match other {
                Operand::Value(value) => compare(&own, &value.borrowed()),
                Operand::Column(_) | Operand::Length(_) => compare(&own, &value(other)),
            };
            match test {
                Test::Null => Some(own == Value::Null),
                Test::True => match own {
                    Value::Boolean(is) => Some(is),
                    _ => None,
                },
                Test::Compared(comparison, other) => against(other).map(|order| comparison.holds(order)),
                Test::In(values) => {
                    let mut unknown = false;
                    for value in values {
                        match against(value) {
                            Some(Ordering::Equal) => return Some(true),
                            Some(_) => {}
                            None => unknown = true,
                        }
                    }
                    (!unknown).then_some(false)
                }
                Test::Like(pattern) => match own {
                    Value::Text(text) => Some(pattern.is_match(text)),
                    _ => None,
                },
            }
        }
    }
}

/// The parts of an `and` or an `or`: one that is `decides` decides; else one that cannot be told leaves it open.
fn settle(parts: &[Condition], columns: &[Reader<'_>], row: usize, decides: bool) -> Option<bool> {
    let mut unknown = false;
    for part in parts {
        match holds(part, columns, row) {
            Some(held) if held == decides => return Some(decides),
            Some(_) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(!decides)
}

impl Operator for Predicate {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        format!("keep = {:?}", self.keep)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::plain("predicate_false"), Rule::plain("predicate_null")]
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        let columns = self.columns.iter().map(|column| Reader::of(rows, column)).collect::<Result<Vec<_>>>()?;
        for row in rows.iter() {
            match holds(&self.condition, &columns, row) {
                Some(true) => {}
                Some(false) => findings.add(row, 0),
                None => findings.add(row, 1),
            }
        }
        Ok(())
    }
}
