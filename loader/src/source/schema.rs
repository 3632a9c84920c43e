//! One schema for all shards of a dataset whose files say their own: the narrowest that holds the values of all of them
//! without loss. Reads nothing and knows no format; `conform` makes columns of it.

use super::project;
use crate::{Error, Place, Result};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The columns that are `wanted` (all, where that is `None`) of the shards at `paths`: in the order asked for, else in
/// that of their first appearance.
///
/// A column that a shard lacks is null there, so it is nullable, as is one that any shard says may be null. Types that
/// differ become the narrowest that holds both, see [`joined`]. Columns that are not wanted may differ as they like.
pub(super) fn agree(paths: &[&str], shards: &[SchemaRef], wanted: Option<&[String]>) -> Result<Vec<FieldRef>> {
    if shards.is_empty() {
        return Err(Error::recipe("a dataset has at least one shard"));
    }
    let mut names: Vec<&str> = Vec::new();
    for (path, schema) in paths.iter().zip(shards) {
        let mut own: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let new: Vec<&str> = own.iter().filter(|name| !names.contains(name)).copied().collect();
        if !names.is_empty() && !own.is_empty() && new.len() == own.len() {
            let what = format!(
                "the shard has no column in common with `{}`; take it out of the dataset, or narrow the pattern",
                paths[0]
            );
            return Err(Error::data(Place::shard(*path), what));
        }
        names.extend(new);
        own.sort_unstable();
        if let Some(pair) = own.windows(2).find(|pair| pair[0] == pair[1]) {
            let what = "the shard has two columns of this name; rename one";
            return Err(Error::data(Place::shard(*path).column(pair[0]), what));
        }
    }
    let picked = project(wanted, names.iter().copied())?;
    picked.into_iter().map(|index| column(names[index], paths, shards)).collect()
}

/// The column `name` over all shards; at least one has it.
fn column(name: &str, paths: &[&str], shards: &[SchemaRef]) -> Result<FieldRef> {
    let mut agreed: Option<(Field, &str)> = None;
    let mut missing = Vec::new();
    for (path, schema) in paths.iter().zip(shards) {
        let Ok(field) = schema.field_with_name(name) else {
            missing.push(*path);
            continue;
        };
        let field = plain(field);
        agreed = Some(match agreed {
            None => (field, *path),
            Some((known, first)) => match joined_fields(&known, &field) {
                Ok(joined) => (joined, first),
                Err(conflict) => return Err(conflict.refused(path, first)),
            },
        });
    }
    say_lacking(name, missing.iter().copied());
    let (field, _) = agreed.ok_or_else(|| Error::recipe(format!("no shard has a column `{name}`")))?;
    let nullable = field.is_nullable() || !missing.is_empty();
    Ok(Arc::new(field.with_nullable(nullable)))
}

/// Warns once of a column that the shards at `paths` lack.
pub(super) fn say_lacking<'a>(name: &str, mut paths: impl Iterator<Item = &'a str>) {
    let Some(first) = paths.next() else { return };
    match paths.count() {
        0 => tracing::warn!("shard `{first}` lacks column `{name}`, which others have: its rows are null there"),
        more => tracing::warn!(
            "shard `{first}` and {more} more lack column `{name}`, which others have: their rows are null there"
        ),
    }
}

/// Two types of one column that no type holds both.
struct Conflict {
    /// The column, with the names of those that it lies in.
    column: String,
    before: DataType,
    here: DataType,
}

impl Conflict {
    fn within(mut self, outer: &str) -> Self {
        self.column = if self.column.is_empty() { outer.to_owned() } else { format!("{outer}.{}", self.column) };
        self
    }

    fn refused(self, path: &str, first: &str) -> Error {
        let what = format!(
            "its type is {}, and shards from `{first}` on have {}: no type holds the values of both without loss; write \
             one of them anew, or leave the column out of [dataset] columns",
            self.here, self.before
        );
        Error::data(Place::shard(path).column(self.column), what)
    }
}

/// One field of both, with the name and the metadata of the first.
fn joined_fields(a: &Field, b: &Field) -> Result<Field, Conflict> {
    let data_type = joined(a.data_type(), b.data_type()).map_err(|conflict| conflict.within(a.name()))?;
    let null = |field: &Field| field.is_nullable() || field.data_type().is_null();
    Ok(a.clone().with_data_type(data_type).with_nullable(null(a) || null(b)))
}

/// The narrowest type that holds the values of `a` and of `b` without loss.
///
/// Numbers widen (unsigned to signed where there is a wider one, and integers to floating-point numbers; integers of
/// more than 32 bits are then looked at one by one when they are read), decimals gain digits, times the finer unit. Text
/// and binary take the form that holds more: views before large before plain, any of them before a dictionary. Lists
/// and structures are joined element by element; a member that one lacks is null there.
fn joined(a: &DataType, b: &DataType) -> Result<DataType, Conflict> {
    use DataType::{
        Binary, Date32, Date64, Dictionary, Duration, FixedSizeBinary, FixedSizeList, LargeList, List, Map, Null,
        Struct, Time32, Time64, Timestamp,
    };
    let conflict = || Conflict { column: String::new(), before: a.clone(), here: b.clone() };
    if a == b {
        return Ok(a.clone());
    }
    Ok(match (a, b) {
        (Null, other) | (other, Null) => other.clone(),
        (Dictionary(_, a), Dictionary(_, b)) => joined(a, b)?,
        (Dictionary(_, values), other) | (other, Dictionary(_, values)) => joined(values, other)?,
        (a, b) if a.is_numeric() && b.is_numeric() => number(a, b).ok_or_else(conflict)?,
        (a, b) if form(a, &TEXTS).is_some() && form(b, &TEXTS).is_some() => ampler(a, b, &TEXTS),
        (FixedSizeBinary(_), FixedSizeBinary(_)) => Binary,
        (FixedSizeBinary(_), other) | (other, FixedSizeBinary(_)) if form(other, &BINARIES).is_some() => other.clone(),
        (a, b) if form(a, &BINARIES).is_some() && form(b, &BINARIES).is_some() => ampler(a, b, &BINARIES),
        (Date32, Date64) | (Date64, Date32) => Date64,
        (Timestamp(a, zone), Timestamp(b, other)) if zone == other => Timestamp((*a).max(*b), zone.clone()),
        (Duration(a), Duration(b)) => Duration((*a).max(*b)),
        (Time32(a) | Time64(a), Time32(b) | Time64(b)) => match (*a).max(*b) {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => Time32(unit),
            unit => Time64(unit),
        },
        (FixedSizeList(a, m), FixedSizeList(b, n)) if m == n => FixedSizeList(Arc::new(joined_fields(a, b)?), *m),
        (LargeList(a), List(b) | LargeList(b) | FixedSizeList(b, _))
        | (List(a) | FixedSizeList(a, _), LargeList(b)) => LargeList(Arc::new(joined_fields(a, b)?)),
        (List(a) | FixedSizeList(a, _), List(b) | FixedSizeList(b, _)) => List(Arc::new(joined_fields(a, b)?)),
        (Struct(a), Struct(b)) => Struct(joined_members(a, b)?),
        (Map(a, sorted), Map(b, also)) => match (a.data_type(), b.data_type()) {
            (Struct(x), Struct(y)) if x.len() == 2 && y.len() == 2 => {
                let entries = [joined_fields(&x[0], &y[0])?, joined_fields(&x[1], &y[1])?];
                let entries = Struct(entries.into_iter().map(Arc::new).collect());
                Map(Arc::new(a.as_ref().clone().with_data_type(entries)), *sorted && *also)
            }
            _ => return Err(conflict()),
        },
        _ => return Err(conflict()),
    })
}

/// The forms of text, the one that holds more last.
const TEXTS: [DataType; 3] = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View];
/// The forms of binary values, the one that holds more last.
const BINARIES: [DataType; 3] = [DataType::Binary, DataType::LargeBinary, DataType::BinaryView];

fn form(data_type: &DataType, forms: &[DataType]) -> Option<usize> {
    forms.iter().position(|form| form == data_type)
}

fn ampler(a: &DataType, b: &DataType, forms: &[DataType]) -> DataType {
    if form(a, forms) >= form(b, forms) { a.clone() } else { b.clone() }
}

/// The members of both structures, those of the first first; nullable where one lacks them.
fn joined_members(a: &Fields, b: &Fields) -> Result<Fields, Conflict> {
    let find = |fields: &Fields, name: &str| fields.iter().find(|field| field.name() == name).cloned();
    let mut members = Vec::with_capacity(a.len());
    for field in a {
        members.push(match find(b, field.name()) {
            Some(other) => joined_fields(field, &other)?,
            None => field.as_ref().clone().with_nullable(true),
        });
    }
    let new = b.iter().filter(|field| find(a, field.name()).is_none());
    members.extend(new.map(|field| field.as_ref().clone().with_nullable(true)));
    Ok(members.into())
}

/// The narrowest type of number that holds both; `None` where there is none.
fn number(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{
        Decimal32, Decimal64, Decimal128, Decimal256, Float16, Float32, Float64, Int8, Int16, Int32, Int64, UInt8,
        UInt16, UInt32, UInt64,
    };
    /// Bits of an integer's magnitude, and whether it has a sign.
    fn integer(of: &DataType) -> Option<(u32, bool)> {
        Some(match of {
            UInt8 => (8, false),
            UInt16 => (16, false),
            UInt32 => (32, false),
            UInt64 => (64, false),
            Int8 => (7, true),
            Int16 => (15, true),
            Int32 => (31, true),
            Int64 => (63, true),
            _ => return None,
        })
    }
    /// Bits of a floating-point number's significand.
    fn float(of: &DataType) -> Option<u32> {
        Some(match of {
            Float16 => 11,
            Float32 => 24,
            Float64 => 53,
            _ => return None,
        })
    }
    fn decimal(of: &DataType) -> Option<(u8, i8)> {
        match of {
            Decimal32(digits, scale)
            | Decimal64(digits, scale)
            | Decimal128(digits, scale)
            | Decimal256(digits, scale) => Some((*digits, *scale)),
            _ => None,
        }
    }
    let narrowest = |bits: u32, among: &[(u32, DataType)]| {
        among.iter().find(|(holds, _)| bits <= *holds).map(|(_, data_type)| data_type.clone())
    };
    let floats = [(11, Float16), (24, Float32), (53, Float64)];
    match (integer(a), integer(b), float(a), float(b)) {
        (Some((m, a)), Some((n, b)), ..) if a || b => {
            narrowest(m.max(n), &[(7, Int8), (15, Int16), (31, Int32), (63, Int64)])
        }
        (Some((m, _)), Some((n, _)), ..) => {
            narrowest(m.max(n), &[(8, UInt8), (16, UInt16), (32, UInt32), (64, UInt64)])
        }
        (_, _, Some(m), Some(n)) => narrowest(m.max(n), &floats),
        // Wider integers may still be whole numbers that a double holds: reading finds out.
        (Some((bits, _)), _, _, Some(float)) | (_, Some((bits, _)), Some(float), _) => {
            Some(narrowest(bits.max(float), &floats).unwrap_or(Float64))
        }
        _ => {
            let ((m, s), (n, t)) = decimal(a).zip(decimal(b))?;
            let scale = s.max(t);
            let whole = (i16::from(m) - i16::from(s)).max(i16::from(n) - i16::from(t));
            let digits = u8::try_from(whole + i16::from(scale)).ok()?;
            match digits {
                0..=38 => Some(Decimal128(digits, scale)),
                39..=76 => Some(Decimal256(digits, scale)),
                _ => None,
            }
        }
    }
}

/// `field` without its writer's metadata, all the way down, but for the names of extension types.
fn plain(field: &Field) -> Field {
    let kept = field.metadata().iter().filter(|(key, _)| key.starts_with("ARROW:extension:"));
    let metadata = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    let data_type = nested(field.data_type(), &|field| Arc::new(plain(field)));
    field.clone().with_data_type(data_type).with_metadata(metadata)
}

/// `data_type` with `change` made to the fields that it consists of.
pub(super) fn nested(data_type: &DataType, change: &dyn Fn(&FieldRef) -> FieldRef) -> DataType {
    match data_type {
        DataType::List(item) => DataType::List(change(item)),
        DataType::LargeList(item) => DataType::LargeList(change(item)),
        DataType::ListView(item) => DataType::ListView(change(item)),
        DataType::LargeListView(item) => DataType::LargeListView(change(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(change(item), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(change).collect()),
        // The field of a map's entries is itself a structure of key and value.
        DataType::Map(entries, sorted) => DataType::Map(change(entries), *sorted),
        data_type => data_type.clone(),
    }
}

/// What a row takes in the parts of `data_type` that have a fixed width, in bytes: numbers, offsets, views, validity.
/// Text and the items of lists come on top.
pub(super) fn fixed_width(data_type: &DataType) -> u64 {
    let width = match data_type {
        DataType::Null => 0,
        DataType::Boolean => 1,
        DataType::Utf8 | DataType::Binary | DataType::List(_) | DataType::Map(..) => 4,
        DataType::LargeUtf8 | DataType::LargeBinary | DataType::LargeList(_) => 8,
        DataType::Utf8View | DataType::BinaryView | DataType::ListView(_) | DataType::LargeListView(_) => 16,
        DataType::FixedSizeBinary(length) => u64::from(length.unsigned_abs()),
        DataType::FixedSizeList(item, length) => {
            fixed_width(item.data_type()).saturating_mul(u64::from(length.unsigned_abs()))
        }
        DataType::Struct(fields) => fields.iter().map(|field| fixed_width(field.data_type())).sum(),
        DataType::Dictionary(keys, _) => fixed_width(keys),
        other => other.primitive_width().unwrap_or(16) as u64,
    };
    // A bit of validity, counted as a byte.
    width + 1
}

/// What a row of a shard takes more in the plan's types than in the shard's own, in bytes, text left out.
pub(super) fn widening(own: &[FieldRef], plan: &[FieldRef]) -> u64 {
    let of = |field: &FieldRef| {
        let own = own.iter().find(|own| own.name() == field.name());
        let own = own.map_or(0, |own| fixed_width(own.data_type()));
        fixed_width(field.data_type()).saturating_sub(own)
    };
    plan.iter().map(of).sum()
}

#[cfg(test)]
mod tests;
