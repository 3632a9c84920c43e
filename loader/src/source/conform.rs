//! Columns as the types of the plan's schema. Reads nothing and knows no format.

use super::Failure;
use arrow::{
    array::{
        Array, ArrayData, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait,
        PrimitiveArray, RecordBatch, RecordBatchOptions, StructArray, make_array, new_null_array,
    },
    compute::{CastOptions, cast_with_options},
    datatypes::{ArrowPrimitiveType, DataType, FieldRef, Fields, Int64Type, SchemaRef, UInt64Type},
};
use std::sync::Arc;

/// The plan's columns, in its order, as its types; those that `batch` lacks are null. What dictionaries repeat is written
/// out in at most `text_limit` bytes.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef, text_limit: u64) -> Result<RecordBatch, Failure> {
    let mut room = text_limit;
    let columns = schema.fields().iter().map(|field| {
        let misfit = |what: String| Failure { column: Some(field.name().clone()), what };
        let Some(column) = batch.column_by_name(field.name()) else {
            return Ok(new_null_array(field.data_type(), batch.num_rows()));
        };
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        let written = written_out(column, field.data_type());
        room = room.checked_sub(written).ok_or_else(|| {
            misfit(format!(
                "its dictionary stands for {written} bytes of text, and twice the block limit is {text_limit}; give the \
                 stream more memory, or write the file with smaller blocks"
            ))
        })?;
        as_type(column, field.data_type()).map_err(misfit)
    });
    let columns = columns.collect::<Result<Vec<_>, Failure>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|error| {
        let nulls = schema.fields().iter().find(|field| {
            !field.is_nullable() && batch.column_by_name(field.name()).is_some_and(|column| column.null_count() > 0)
        });
        Failure { column: nulls.map(|field| field.name().clone()), what: error.to_string() }
    })
}

/// `array` as `to`, which holds its values without loss or says which it cannot.
fn as_type(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    let failed = |error: arrow::error::ArrowError| error.to_string();
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    match (from, to) {
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (DataType::Struct(_), DataType::Struct(fields)) => members(array.as_struct(), fields),
        (DataType::List(_), DataType::List(item) | DataType::LargeList(item)) => {
            as_kind(items(array.as_list::<i32>(), item)?, to)
        }
        (DataType::LargeList(_), DataType::LargeList(item)) => items(array.as_list::<i64>(), item),
        (
            DataType::FixedSizeList(_, length),
            DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item),
        ) => {
            let list = array.as_fixed_size_list();
            let values = as_type(list.values(), item.data_type())?;
            let list = FixedSizeListArray::try_new(Arc::clone(item), *length, values, list.nulls().cloned());
            as_kind(Arc::new(list.map_err(failed)?), to)
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let DataType::Struct(fields) = entries.data_type() else {
                return Err(format!("{to} is no map of keys and values"));
            };
            let columns = [(map.keys(), &fields[0]), (map.values(), &fields[1])];
            let columns = columns.map(|(column, field)| as_type(column, field.data_type()));
            let columns = columns.into_iter().collect::<Result<Vec<_>, _>>()?;
            let pairs = StructArray::try_new(fields.clone(), columns, None).map_err(failed)?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            let map = MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *sorted).map_err(failed)?;
            Ok(Arc::new(map))
        }
        (DataType::Int64, DataType::Float64) => {
            exact(array.as_primitive::<Int64Type>())?;
            as_kind(Arc::clone(array), to)
        }
        (DataType::UInt64, DataType::Float64) => {
            exact(array.as_primitive::<UInt64Type>())?;
            as_kind(Arc::clone(array), to)
        }
        _ => as_kind(Arc::clone(array), to),
    }
}

/// What arrow itself can cast without loss, or refuses.
fn as_kind(array: ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    if array.data_type() == to {
        return Ok(array);
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&array, to, &strict).map_err(|error| error.to_string())
}

fn items<O: OffsetSizeTrait>(list: &GenericListArray<O>, item: &FieldRef) -> Result<ArrayRef, String> {
    let values = as_type(list.values(), item.data_type())?;
    let list = GenericListArray::<O>::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned());
    Ok(Arc::new(list.map_err(|error| error.to_string())?))
}

fn members(from: &StructArray, fields: &Fields) -> Result<ArrayRef, String> {
    let columns = fields.iter().map(|field| match from.column_by_name(field.name()) {
        Some(column) => as_type(column, field.data_type()).map_err(|what| format!("member `{}`: {what}", field.name())),
        None => Ok(new_null_array(field.data_type(), from.len())),
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let made = StructArray::try_new_with_length(fields.clone(), columns, from.nulls().cloned(), from.len());
    Ok(Arc::new(made.map_err(|error| error.to_string())?))
}

/// Whether a double holds every integer of `array`.
fn exact<T: ArrowPrimitiveType<Native: Copy + Into<i128>>>(array: &PrimitiveArray<T>) -> Result<(), String> {
    let held = |value: i128| (value as f64) as i128 == value;
    match array.iter().enumerate().find_map(|(row, value)| Some((row, value?.into())).filter(|of| !held(of.1))) {
        None => Ok(()),
        Some((row, value)) => Err(format!(
            "row {row} of those read holds {value}, which the Float64 that other shards have for this column cannot hold \
             exactly; write these shards anew, or leave the column out of [dataset] columns"
        )),
    }
}

/// How many bytes of text and binary values the dictionaries of `array` are written out to where `to` has none.
fn written_out(array: &ArrayRef, to: &DataType) -> u64 {
    match (array.data_type(), to) {
        (DataType::Dictionary(..), DataType::Dictionary(..)) => 0,
        (DataType::Dictionary(..), _) => {
            let dictionary = array.as_any_dictionary();
            let lengths = lengths(dictionary.values());
            if lengths.is_empty() {
                return 0;
            }
            let keys = dictionary.normalized_keys();
            let valid = |row: &usize| dictionary.is_valid(*row);
            (0..array.len()).filter(valid).filter_map(|row| lengths.get(*keys.get(row)?)).sum()
        }
        _ => {
            let (own, data) = (array.data_type(), array.to_data());
            let children = data.child_data().iter().zip(types_within(own)).map(|(data, from)| {
                let to = types_within(to).find(|(name, _)| *name == from.0);
                to.map_or(0, |(_, to)| written_out(&make_array(data.clone()), to))
            });
            children.sum()
        }
    }
}

/// The types that `data_type` consists of, in the order of an array's children, by name where there are names.
fn types_within(data_type: &DataType) -> impl Iterator<Item = (&str, &DataType)> {
    let (fields, named): (&[FieldRef], bool) = match data_type {
        DataType::Struct(fields) => (fields, true),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => (std::slice::from_ref(item), false),
        _ => (&[], false),
    };
    fields.iter().map(move |field| (if named { field.name().as_str() } else { "" }, field.data_type()))
}

/// The lengths of text or binary values; none for other types, whose width is known.
fn lengths(values: &ArrayRef) -> Vec<u64> {
    let each = |length: &dyn Fn(usize) -> usize| (0..values.len()).map(|row| length(row) as u64).collect();
    match values.data_type() {
        DataType::Utf8 => each(&|row| values.as_string::<i32>().value(row).len()),
        DataType::LargeUtf8 => each(&|row| values.as_string::<i64>().value(row).len()),
        DataType::Utf8View => each(&|row| values.as_string_view().value(row).len()),
        DataType::Binary => each(&|row| values.as_binary::<i32>().value(row).len()),
        DataType::LargeBinary => each(&|row| values.as_binary::<i64>().value(row).len()),
        DataType::BinaryView => each(&|row| values.as_binary_view().value(row).len()),
        _ => Vec::new(),
    }
}

/// How many bytes the values of all views take when they are written out.
pub(super) fn view_bytes(data: &ArrayData) -> u64 {
    let own = match data.data_type() {
        // The low 32 bits of a view are its length.
        DataType::Utf8View | DataType::BinaryView => {
            data.buffer::<u128>(0).iter().take(data.len()).map(|view| view & u128::from(u32::MAX)).sum::<u128>()
        }
        _ => 0,
    };
    let nested: u64 = data.child_data().iter().map(view_bytes).sum();
    u64::try_from(own).unwrap_or(u64::MAX).saturating_add(nested)
}

#[cfg(test)]
mod tests;
