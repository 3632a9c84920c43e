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
    /// All columns, in the first shard's order; nullable where any shard's is.
    pub(super) fields: Vec<FieldRef>,
    /// Each shard's own schema.
    pub(super) shards: Vec<SchemaRef>,
}

/// Finds the schema of all shards: by the Arrow types that their writers noted, or, where these differ or are damaged,
/// by Parquet's own.
pub(super) fn agree(paths: &[&str], footers: &[Footer]) -> Result<Agreed> {
    let schemas = |noted: bool| {
        let shards = paths.iter().zip(footers).map(|(path, footer)| {
            let schema = footer::arrow_schema(footer, noted);
            schema.map_err(|what| Error::data(Place::shard(*path), format!("its schema cannot be read: {what}")))
        });
        let shards = shards.collect::<Result<Vec<_>>>()?;
        Ok::<_, Error>(Agreed { fields: schema::agree(paths, &shards)?, shards })
    };
    schemas(true).or_else(|_| schemas(false))
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
