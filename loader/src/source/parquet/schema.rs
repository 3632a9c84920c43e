//! One schema for all shards of a Parquet dataset, and the Arrow types that its columns are decoded as. Reads nothing.

use super::footer::{self, Footer};
use crate::{Error, Place, Result};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use std::sync::Arc;

/// What all shards of a dataset agree on.
#[derive(Debug)]
pub(super) struct Agreed {
    /// All columns, in the first shard's order; nullable where any shard's is.
    pub(super) fields: Vec<FieldRef>,
    /// Each shard's own schema.
    pub(super) shards: Vec<SchemaRef>,
}

/// Finds the schema of all shards: by the Arrow types that their writers noted, or, where these differ or are damaged,
/// by Parquet's own. Columns must be the same by name and type; their order may differ.
pub(super) fn agree(paths: &[&str], footers: &[Footer]) -> Result<Agreed> {
    let schemas = |noted: bool| {
        let shards = paths.iter().zip(footers).map(|(path, footer)| {
            let schema = footer::arrow_schema(footer, noted);
            schema.map_err(|what| Error::data(Place::shard(*path), format!("its schema cannot be read: {what}")))
        });
        let shards = shards.collect::<Result<Vec<_>>>()?;
        compare(paths, &shards)?;
        Ok::<_, Error>(shards)
    };
    let shards = schemas(true).or_else(|_| schemas(false))?;
    let Some(first) = shards.first() else {
        return Err(Error::recipe("a dataset has at least one shard"));
    };
    let fields = first.fields().iter().map(|field| {
        let nullable = shards.iter().any(|shard| shard.field_with_name(field.name()).is_ok_and(Field::is_nullable));
        Arc::new(plain(field).with_nullable(nullable))
    });
    Ok(Agreed { fields: fields.collect(), shards })
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

/// The schema that a shard is decoded with: text and binary as views, which refer to a dictionary's values instead of
/// repeating them. So decoding takes no more than pages hold, and what the repetition takes is known before it is made.
pub(super) fn with_views(schema: &Schema) -> SchemaRef {
    let fields: Fields = schema.fields().iter().map(viewed).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn viewed(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        data_type => nested(data_type, &viewed),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

/// `data_type` with `change` made to the fields that it consists of.
fn nested(data_type: &DataType, change: &dyn Fn(&FieldRef) -> FieldRef) -> DataType {
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
