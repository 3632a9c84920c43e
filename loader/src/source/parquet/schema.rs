//! What Arrow types the columns of a Parquet dataset have and are decoded as. Reads nothing.

use super::{
    super::schema::{self, nested},
    footer::{self, Footer},
};
use crate::{Error, Place, Result};
use arrow::datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef};
use std::sync::Arc;

/// What all shards of a dataset agree on.
#[derive(Debug)]
pub(super) struct Agreed {
    /// The columns that are wanted, in order, as the types that hold those of all shards.
    pub(super) fields: Vec<FieldRef>,
    /// Each shard's own schema.
    pub(super) shards: Vec<SchemaRef>,
}

/// Finds the schema of all shards: by the Arrow types that their writers noted, or, where these differ or are damaged,
/// by Parquet's own.
pub(super) fn agree(paths: &[&str], footers: &[Footer], wanted: Option<&[String]>) -> Result<Agreed> {
    let schemas = |noted: bool| {
        let shards = paths.iter().zip(footers).map(|(path, footer)| {
            let schema = footer::arrow_schema(footer, noted);
            schema.map_err(|what| Error::data(Place::shard(*path), format!("its schema cannot be read: {what}")))
        });
        let shards = shards.collect::<Result<Vec<_>>>()?;
        Ok::<_, Error>(Agreed { fields: schema::agree(paths, &shards, wanted)?, shards })
    };
    schemas(true).or_else(|_| schemas(false))
}

/// The schema that a shard is decoded with: text and binary as views, which refer to a dictionary's values instead of
/// repeating them. So decoding takes no more than pages hold, and what the repetition takes is known before it is made.
/// Dictionaries that the plan does not have are decoded in the same way.
pub(super) fn with_views(schema: &Schema, plan: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match plan.field_with_name(field.name()) {
        Ok(planned) if planned.data_type() != field.data_type() => viewed(&written_out(field)),
        _ => viewed(field),
    });
    let fields: Fields = fields.collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// `schema` with those of its columns as views that are text or binary themselves.
pub(super) fn outer_views(schema: &Schema) -> SchemaRef {
    let view = |field: &FieldRef| if field.data_type().is_nested() { Arc::clone(field) } else { viewed(field) };
    Arc::new(Schema::new(schema.fields().iter().map(view).collect::<Fields>()))
}

/// `field` with the values of its dictionaries in their place.
fn written_out(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        data_type => nested(data_type, &written_out),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

fn viewed(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        data_type => nested(data_type, &viewed),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}
