//! The lines of a block: which of them are rows, which rows can be read, and what they decode to. Reads no file.

use super::{
    super::{BadRow, shielded},
    shape::NOT_AN_OBJECT,
};
use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    compute::concat_batches,
    datatypes::{DataType, SchemaRef},
    json::ReaderBuilder,
};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// The decoder takes so many rows at once at most,
const STEP: usize = 8192;
/// or so many values,
const CELLS: usize = 1 << 17;
/// for each of which it reserves some bytes.
const CELL: u64 = 32;

/// How deep a row's JSON may nest. Decoders follow it on the stack.
pub(super) const MAX_DEPTH: usize = 64;

/// The lines of `block` that are rows: those that are not blank.
pub(super) fn rows(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    block.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace))
}

/// Decodes a block of which every row was seen to be a well-formed object. `None` where one does not fit the schema
/// after all, so that rows must be looked at one by one.
pub(super) fn decode_clean(block: &[u8], count: usize, schema: &SchemaRef) -> Option<RecordBatch> {
    if schema.fields().is_empty() {
        return empty_rows(schema, count).ok();
    }
    decode(block, schema).ok().filter(|batch| batch.num_rows() == count)
}

/// Decodes a block whose rows may be anything. A bad row is all null.
pub(super) fn decode_any(block: &[u8], schema: &SchemaRef) -> Result<(RecordBatch, Vec<BadRow>), String> {
    let mut bad: BTreeMap<u32, BadRow> = BTreeMap::new();
    let mut spoil = |row: usize, column: Option<String>, what: String| {
        // A block has fewer bytes than a u32 counts.
        if let Ok(row) = u32::try_from(row) {
            bad.insert(row, BadRow { row, column, what });
        }
    };
    let mut lines: Vec<&[u8]> = rows(block).collect();
    for (row, line) in lines.iter_mut().enumerate() {
        if let Err(what) = check(line) {
            spoil(row, None, what);
            *line = b"{}";
        }
    }
    let mut batch = decode_lines(&lines, schema);
    if batch.is_err() {
        let mut misfits = Vec::new();
        find_misfits(&lines, 0, schema, &mut misfits);
        for (row, what) in misfits {
            let (column, what) = misfit_column(&what);
            spoil(row, column, what);
            lines[row] = b"{}";
        }
        batch = decode_lines(&lines, schema);
    }
    Ok((batch?, bad.into_values().collect()))
}

/// Why a line is no row that can be decoded, whatever the schema.
pub(super) fn check(line: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("it is not UTF-8: byte {} of the line is wrong", error.valid_up_to()))?;
    if depth(line) > MAX_DEPTH {
        return Err(format!("its JSON nests more than {MAX_DEPTH} deep"));
    }
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    if value.is_object() { Ok(()) } else { Err(NOT_AN_OBJECT.to_owned()) }
}

/// How deep brackets nest, those in strings left out. Goes no deeper than the line is long, and not on the stack.
pub(super) fn depth(line: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in line {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn decode_lines(lines: &[&[u8]], schema: &SchemaRef) -> Result<RecordBatch, String> {
    let batch =
        if schema.fields().is_empty() { empty_rows(schema, lines.len()) } else { decode(&lines.join(&b'\n'), schema) }?;
    if batch.num_rows() == lines.len() {
        Ok(batch)
    } else {
        Err(format!("{} rows decode to {}", lines.len(), batch.num_rows()))
    }
}

/// The rows, by number, that do not fit the schema, by halving.
fn find_misfits(lines: &[&[u8]], first: usize, schema: &SchemaRef, misfits: &mut Vec<(usize, String)>) {
    let Err(what) = decode_lines(lines, schema) else { return };
    if lines.len() == 1 {
        misfits.push((first, what));
        return;
    }
    let (head, tail) = lines.split_at(lines.len() / 2);
    find_misfits(head, first, schema, misfits);
    find_misfits(tail, first + head.len(), schema, misfits);
}

/// The column that arrow-json's message names, and the message without it.
fn misfit_column(message: &str) -> (Option<String>, String) {
    const BEFORE: &str = "whilst decoding field '";
    let named = message.split_once(BEFORE).and_then(|(_, rest)| rest.split_once("': "));
    let (column, what) = named.map_or((None, message), |(column, what)| (Some(column.to_owned()), what));
    (column, shortened(what).into_owned())
}

/// A message that may hold a whole value, cut to a length that a person reads.
fn shortened(text: &str) -> Cow<'_, str> {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

/// Decodes JSON objects, in steps whose working memory does not grow with the block.
fn decode(text: &[u8], schema: &SchemaRef) -> Result<RecordBatch, String> {
    shielded(|| {
        let step = (CELLS / leaves(schema)).clamp(1, STEP);
        let mut decoder = ReaderBuilder::new(Arc::clone(schema))
            .with_coerce_primitive(true)
            .with_batch_size(step)
            .build_decoder()
            .map_err(|error| error.to_string())?;
        let mut batches = Vec::new();
        let mut rest = text;
        loop {
            let read = decoder.decode(rest).map_err(|error| error.to_string())?;
            rest = &rest[read..];
            match decoder.flush().map_err(|error| error.to_string())? {
                Some(batch) => batches.push(batch),
                None if rest.is_empty() => break,
                None => return Err("the decoder does not go on".to_owned()),
            }
        }
        concat_batches(schema, &batches).map_err(|error| error.to_string())
    })
}

/// What decoding `rows` rows in steps takes beside their text and what they decode to, in bytes.
pub(super) fn steps_bytes(rows: u32, schema: &SchemaRef) -> u64 {
    let cells = (rows as usize).min(STEP).saturating_mul(leaves(schema)).min(CELLS);
    cells as u64 * CELL
}

fn leaves(schema: &SchemaRef) -> usize {
    fn count(data_type: &DataType) -> usize {
        match data_type {
            DataType::Struct(fields) => 1 + fields.iter().map(|field| count(field.data_type())).sum::<usize>(),
            DataType::List(item) => 1 + count(item.data_type()),
            _ => 1,
        }
    }
    schema.fields().iter().map(|field| count(field.data_type())).sum::<usize>().max(1)
}

/// `count` rows of no column.
fn empty_rows(schema: &SchemaRef, count: usize) -> Result<RecordBatch, String> {
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(Arc::clone(schema), Vec::new(), &options).map_err(|error| error.to_string())
}
