//! One schema for all shards of a dataset whose files say their own, and columns as the types of that schema. Reads
//! nothing and knows no format.

use crate::{Error, Place, Result};
use arrow::{
    array::{ArrayData, RecordBatch, RecordBatchOptions},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, FieldRef, SchemaRef},
};
use std::sync::Arc;

/// All columns of the shards at `paths`, in the first shard's order; nullable where any shard's is. Columns must be the
/// same by name and type; their order may differ.
pub(super) fn agree(paths: &[&str], shards: &[SchemaRef]) -> Result<Vec<FieldRef>> {
    compare(paths, shards)?;
    let Some(first) = shards.first() else {
        return Err(Error::recipe("a dataset has at least one shard"));
    };
    let fields = first.fields().iter().map(|field| {
        let nullable = shards.iter().any(|shard| shard.field_with_name(field.name()).is_ok_and(Field::is_nullable));
        Arc::new(plain(field).with_nullable(nullable))
    });
    Ok(fields.collect())
}

fn compare(paths: &[&str], shards: &[SchemaRef]) -> Result<()> {
    let Some((first, first_path)) = shards.first().zip(paths.first()) else { return Ok(()) };
    for (schema, path) in shards.iter().zip(paths) {
        let refused = |column: &str, what: String| Err(Error::data(Place::shard(*path).column(column), what));
        let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return refused(pair[0], "the shard has two columns of this name; rename one".to_owned());
        }
        for field in first.fields() {
            match schema.field_with_name(field.name()) {
                Err(_) => {
                    return refused(field.name(), format!("the shard lacks this column, which `{first_path}` has"));
                }
                Ok(other) if !alike(other.data_type(), field.data_type()) => {
                    let (here, there) = (other.data_type(), field.data_type());
                    let what = format!(
                        "its type is {here}, in `{first_path}` it is {there}; all shards of a dataset have one schema"
                    );
                    return refused(field.name(), what);
                }
                Ok(_) => {}
            }
        }
        if let Some(extra) = names.iter().find(|name| first.field_with_name(name).is_err()) {
            return refused(extra, format!("the shard has this column, which `{first_path}` lacks"));
        }
    }
    Ok(())
}

/// Whether two types are the same but for metadata and for what their writers call the elements of a list.
fn alike(a: &DataType, b: &DataType) -> bool {
    let elements = |a: &Field, b: &Field| a.is_nullable() == b.is_nullable() && alike(a.data_type(), b.data_type());
    match (a, b) {
        (DataType::List(a), DataType::List(b)) | (DataType::LargeList(a), DataType::LargeList(b)) => elements(a, b),
        (DataType::FixedSizeList(a, m), DataType::FixedSizeList(b, n)) => m == n && elements(a, b),
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && elements(a, b))
        }
        (DataType::Map(a, _), DataType::Map(b, _)) => match (a.data_type(), b.data_type()) {
            (DataType::Struct(a), DataType::Struct(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| elements(a, b))
            }
            _ => false,
        },
        _ => a == b,
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

/// The plan's columns, in its order, as its types.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = schema.fields().iter().map(|field| {
        let column = batch.column_by_name(field.name()).ok_or_else(|| format!("it lacks column `{}`", field.name()))?;
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        cast_with_options(column, field.data_type(), &strict).map_err(|error| error.to_string())
    });
    let columns = columns.collect::<Result<Vec<_>, String>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|error| error.to_string())
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
