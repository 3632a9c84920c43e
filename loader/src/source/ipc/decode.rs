//! From the bytes of messages to a record batch. Everything that a third party's decoder may do to us is held off here:
//! its panics are errors, and what it may allocate is bounded before it runs.

use super::{
    super::{Failure, conform, schema},
    message,
};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array},
    buffer::Buffer,
    compute::take_record_batch,
    datatypes::{DataType, FieldRef, Schema, SchemaRef},
    ipc::{
        self, CompressionType, Message,
        reader::{read_dictionary, read_record_batch},
    },
};
use std::{collections::HashMap, ops::Range, sync::Arc};

/// A shard's dictionaries, by their numbers.
pub(super) type Dictionaries = HashMap<i64, ArrayRef>;

/// What is decoded of a record batch, and as what.
pub(super) struct Wanted<'a> {
    /// The shard's schema, from [`unvalidated`].
    pub(super) own: &'a SchemaRef,
    /// The wanted columns among those of the shard.
    pub(super) columns: &'a [usize],
    /// The plan's columns, in its order.
    pub(super) schema: &'a SchemaRef,
    pub(super) rows: u32,
    /// The rows of the batch that the block is, where it is not all of them.
    pub(super) part: Option<Range<u32>>,
    /// How many bytes decoding may take.
    pub(super) most: u64,
    /// How many bytes of text and binary the views of the rows may refer to.
    pub(super) text_limit: u64,
}

/// `own` with text views as binary ones. Views may all refer to the same bytes, and checking that they are text would
/// take as long as all of them together; so their lengths are looked at first.
pub(super) fn unvalidated(own: &Schema) -> SchemaRef {
    fn of_field(field: &FieldRef) -> FieldRef {
        Arc::new(field.as_ref().clone().with_data_type(of_type(field.data_type())))
    }
    fn of_type(data_type: &DataType) -> DataType {
        match data_type {
            DataType::Utf8View => DataType::BinaryView,
            DataType::Dictionary(keys, values) => DataType::Dictionary(keys.clone(), Box::new(of_type(values))),
            data_type => schema::nested(data_type, &of_field),
        }
    }
    let fields: Vec<FieldRef> = own.fields().iter().map(of_field).collect();
    Arc::new(Schema::new_with_metadata(fields, own.metadata().clone()))
}

/// Decodes the dictionary batch `bytes` into `dictionaries`. It may take `most` bytes.
pub(super) fn dictionary(
    bytes: Vec<u8>,
    own: &Schema,
    most: u64,
    dictionaries: &mut Dictionaries,
) -> Result<(), String> {
    with_body(bytes, |message, body| {
        let batch = message.header_as_dictionary_batch().ok_or("it is no dictionary")?;
        check(batch.data().ok_or("it has no values")?, body, most)?;
        read_dictionary(body, batch, own, dictionaries, &message.version()).map_err(|error| error.to_string())
    })
}

/// Decodes the record batch `bytes`.
pub(super) fn batch(bytes: Vec<u8>, dictionaries: &Dictionaries, wanted: &Wanted<'_>) -> Result<RecordBatch, Failure> {
    let batch = with_body(bytes, |message, body| {
        let batch = message.header_as_record_batch().ok_or("it is no record batch")?;
        let rows = check(batch, body, wanted.most)?;
        if rows != wanted.rows {
            return Err(format!("it holds {rows} rows where the plan has {}", wanted.rows));
        }
        let own = Arc::clone(wanted.own);
        let columns = Some(wanted.columns);
        let batch = read_record_batch(body, batch, own, dictionaries, columns, &message.version());
        let mut batch = batch.map_err(|error| error.to_string())?;
        if let Some(part) = &wanted.part {
            batch = copied(&batch, part.clone())?;
        }
        let text: u64 = batch.columns().iter().map(|column| conform::view_bytes(&column.to_data())).sum();
        if text > wanted.text_limit {
            return Err(format!(
                "its text takes {text} bytes, and twice the block limit is {}; give the stream more memory, or write \
                 the file with smaller batches",
                wanted.text_limit
            ));
        }
        Ok(batch)
    })?;
    conform::conform(&batch, wanted.schema, wanted.text_limit)
}

/// The rows `part` of `batch`, without what the others take.
fn copied(batch: &RecordBatch, part: Range<u32>) -> Result<RecordBatch, String> {
    let rows = take_record_batch(batch, &UInt32Array::from_iter_values(part)).map_err(|error| error.to_string())?;
    // Rows that are taken out of views still refer to all of their texts.
    let compacted = rows.columns().iter().map(|column| match column.data_type() {
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()) as ArrayRef,
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        _ => Arc::clone(column),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(rows.schema(), compacted.collect(), &options).map_err(|error| error.to_string())
}

fn with_body<T>(bytes: Vec<u8>, decode: impl FnOnce(Message<'_>, &Buffer) -> Result<T, String>) -> Result<T, String> {
    let bytes = Buffer::from_vec(bytes);
    let (metadata, end) = message::split(&bytes)?;
    let body = bytes.slice(end);
    message::parsed(metadata, |message| decode(message, &body))
}

/// Checks the claims of a record batch whose body is at hand; how many rows it has.
fn check(batch: ipc::RecordBatch<'_>, body: &Buffer, most: u64) -> Result<u32, String> {
    let number = |offset| {
        let bytes = usize::try_from(offset).ok().and_then(|offset| body.get(offset..)?.first_chunk());
        bytes.copied().map(i64::from_le_bytes).ok_or_else(|| "a buffer has no length".to_owned())
    };
    let claims = message::check(batch, body.len() as u64, number)?;
    if claims.decoded > most {
        return Err(format!("it claims {} bytes decoded where the plan has {most}", claims.decoded));
    }
    if batch.compression().is_some_and(|by| by.codec() == CompressionType::LZ4_FRAME) {
        for buffer in batch.buffers().into_iter().flatten() {
            let (offset, length) = (buffer.offset().unsigned_abs(), buffer.length().unsigned_abs());
            let Ok(claimed) = number(offset).and_then(|claimed| u64::try_from(claimed).map_err(|e| e.to_string()))
            else {
                continue;
            };
            // It was just seen to lie within the body.
            let frame = body.get((offset + 8) as usize..(offset + length) as usize);
            if length > 0 && claimed > 0 && frame.and_then(message::lz4_length) != Some(claimed) {
                return Err(format!("a buffer compressed with LZ4 does not hold the {claimed} bytes that it claims"));
            }
        }
    }
    Ok(claims.rows)
}
