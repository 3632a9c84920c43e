//! A value of an Arrow column as a few characters: what a person can recognise a row by.
//!
//! Only what is shown is formatted: a list of a million numbers, or a text of a gigabyte, costs what its first few do.

use super::{Align, Table, text::one_line};
use arrow::{
    array::{Array, ArrayRef, AsArray as _, RecordBatch},
    compute::cast,
    datatypes::DataType,
    util::display::{ArrayFormatter, FormatOptions},
};
use std::sync::Arc;

/// How deep lists and structs are looked into.
const DEEPEST: usize = 4;

/// The narrowest that a grid's columns are cut to, in characters; where that is still too wide, each row has lines of
/// its own.
const NARROWEST: usize = 12;

/// The widest line that is read as one.
const WIDEST: usize = 1000;

/// The first `n` rows of `batch` as text, in lines of at most `width` characters: a grid where the columns have room
/// beside one another, else a line for every value.
#[must_use]
pub fn sample_rows(batch: &RecordBatch, n: usize, width: usize) -> String {
    let width = width.min(WIDEST);
    let (rows, columns) = (batch.num_rows().min(n), batch.num_columns());
    if columns == 0 || rows == 0 {
        return String::new();
    }
    let schema = batch.schema_ref();
    if let Some(table) = grid(batch, rows, width) {
        return table.to_string();
    }
    let names: Vec<String> = schema.fields().iter().map(|field| one_line(field.name(), width / 3)).collect();
    let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in 0..rows {
        text.push_str(&format!("row {row}\n"));
        for (name, column) in names.iter().zip(batch.columns()) {
            let value = cell(column, row, width.saturating_sub(widest + 4));
            text.push_str(format!("  {name:<widest$}  {value}").trim_end());
            text.push('\n');
        }
    }
    text
}

/// The grid, if it fits: columns that need little leave their room to the others.
fn grid(batch: &RecordBatch, rows: usize, width: usize) -> Option<Table> {
    let columns = batch.num_columns();
    let room = width.checked_sub(2 * (columns - 1))?;
    let fields = batch.schema_ref().fields();
    let cells: Vec<Vec<String>> =
        batch.columns().iter().map(|column| (0..rows).map(|row| cell(column, row, room)).collect()).collect();
    let natural: Vec<usize> = cells
        .iter()
        .zip(fields)
        .map(|(cells, field)| cells.iter().map(|cell| cell.chars().count()).chain([field.name().chars().count()]).max())
        .map(|widest| widest.unwrap_or(0))
        .collect();
    // The widest that all may be, so that together they fit: raised while there is room.
    let total = |limit: usize| natural.iter().map(|&natural| natural.min(limit)).sum::<usize>();
    let limit = (NARROWEST..=room).rev().find(|&limit| total(limit) <= room)?;
    let aligned = fields.iter().map(|field| {
        let align = if field.data_type().is_numeric() { Align::Right } else { Align::Left };
        (one_line(field.name(), limit), align)
    });
    let mut table = Table::new(aligned);
    for row in 0..rows {
        table.row(batch.columns().iter().map(|column| cell(column, row, limit)));
    }
    Some(table)
}

/// What stands at `row` of `array`, in at most `width` characters.
pub(super) fn cell(array: &ArrayRef, row: usize, width: usize) -> String {
    one_line(&plain(array, row, width, DEEPEST), width)
}

/// As [`cell`], not yet cut: a little more than `width` characters at most, unless a leaf is long by nature.
fn plain(array: &ArrayRef, row: usize, width: usize, depth: usize) -> String {
    if array.logical_nulls().is_some_and(|nulls| nulls.is_null(row)) {
        return "null".to_owned();
    }
    match array.data_type() {
        DataType::Utf8 => head(array.as_string::<i32>().value(row), width),
        DataType::LargeUtf8 => head(array.as_string::<i64>().value(row), width),
        DataType::Utf8View => head(array.as_string_view().value(row), width),
        DataType::Binary => binary(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => binary(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => binary(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => binary(array.as_fixed_size_binary().value(row)),
        DataType::List(_) => list(&array.as_list::<i32>().value(row), width, depth),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(row), width, depth),
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(row), width, depth),
        DataType::ListView(_) => list(&array.as_list_view::<i32>().value(row), width, depth),
        DataType::LargeListView(_) => list(&array.as_list_view::<i64>().value(row), width, depth),
        DataType::Map(..) => {
            let entries: ArrayRef = Arc::new(array.as_map().value(row));
            list(&entries, width, depth)
        }
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let parts = fields.iter().zip(array.columns());
            within('{', '}', "", width, depth, parts, |(field, column), depth| {
                format!("{}: {}", head(field.name(), width), plain(column, row, width, depth))
            })
        }
        DataType::Dictionary(..) => match array.as_any_dictionary_opt() {
            Some(dictionary) => match dictionary.normalized_keys().get(row) {
                Some(&key) => plain(dictionary.values(), key, width, depth),
                None => String::new(),
            },
            None => String::new(),
        },
        _ => leaf(array, row),
    }
}

/// As Arrow writes it; times of a zone that only a name stands for are written in UTC, which is how they are held.
fn leaf(array: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::default().with_display_error(true);
    if let Ok(formatter) = ArrayFormatter::try_new(array.as_ref(), &options) {
        return formatter.value(row).to_string();
    }
    if let DataType::Timestamp(unit, Some(_)) = array.data_type()
        && let Ok(time) = cast(&array.slice(row, 1), &DataType::Timestamp(*unit, Some("+00:00".into())))
        && let Ok(formatter) = ArrayFormatter::try_new(time.as_ref(), &options)
    {
        return formatter.value(0).to_string();
    }
    array.data_type().to_string()
}

fn head(text: &str, width: usize) -> String {
    // One more than fits, so that who cuts it sees that something follows.
    text.chars().take(width + 1).collect()
}

fn list(items: &ArrayRef, width: usize, depth: usize) -> String {
    let count = format!("{} items", items.len());
    let show = |item, depth| plain(items, item, width, depth);
    let text = within('[', ']', &format!(" {count}"), width, depth, 0..items.len(), show);
    // Where not even one has room, only how many they are.
    if text.starts_with("[…]") { count } else { text }
}

/// Parts between brackets, as many as `width` has room for; `tail` follows where there are more.
fn within<P>(
    open: char,
    close: char,
    tail: &str,
    width: usize,
    depth: usize,
    parts: impl Iterator<Item = P>,
    show: impl Fn(P, usize) -> String,
) -> String {
    // ", …" and the bracket.
    let more = 4 + tail.chars().count();
    let mut text = String::from(open);
    let mut length = 1;
    // How far it may be kept where not all has room.
    let mut keep = text.len();
    for (index, part) in parts.enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let part = if depth == 0 { None } else { Some(show(part, depth - 1)) };
        let longer = |part: &String| length + separator.len() + part.chars().count();
        let Some(part) = part.filter(|part| longer(part) < width) else {
            text.truncate(keep);
            let separator = if keep == 1 { "" } else { ", " };
            return format!("{text}{separator}…{close}{tail}");
        };
        length = longer(&part);
        text.push_str(separator);
        text.push_str(&part);
        if length + more <= width {
            keep = text.len();
        }
    }
    text.push(close);
    text
}

fn binary(bytes: &[u8]) -> String {
    let length = match bytes.len() {
        1 => "1 byte".to_owned(),
        length => format!("{length} bytes"),
    };
    match image::guess_format(bytes) {
        Ok(format) => {
            let name = format.extensions_str().first().copied().unwrap_or_default();
            let name = if name == "jpg" { "JPEG".to_owned() } else { name.to_uppercase() };
            format!("{name} image, {length}")
        }
        Err(_) => format!("binary, {length}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{
            BinaryArray, DictionaryArray, Float32Array, Int64Array, ListArray, NullArray, StringArray, StructArray,
            TimestampMicrosecondArray, types::Int32Type,
        },
        datatypes::{Field, Schema},
    };

    fn png() -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        png.resize(234, 0);
        png
    }

    fn batch() -> RecordBatch {
        let list = |values: Vec<i64>| Some(values.into_iter().map(Some));
        let file = Field::new("bytes", DataType::Binary, true);
        let path = Field::new("path", DataType::Utf8, true);
        let image = StructArray::from(vec![
            (Arc::new(file), Arc::new(BinaryArray::from_opt_vec(vec![Some(&png()), None, Some(b"x")])) as ArrayRef),
            (Arc::new(path), Arc::new(StringArray::from(vec!["a.png", "b\n.png", ""])) as ArrayRef),
        ]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![1, 20, 300]))),
            ("text", Arc::new(StringArray::from(vec![Some("one\tline"), None, Some(&"long ".repeat(1000))]))),
            ("score", Arc::new(Float32Array::from(vec![0.5, f32::NAN, -1.25]))),
            (
                "pixels",
                Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([
                    list(vec![1, 2, 3]),
                    list((0..784).collect()),
                    None,
                ])),
            ),
            ("image", Arc::new(image)),
            (
                "kind",
                Arc::new(vec![Some("cat"), None, Some("dog")].into_iter().collect::<DictionaryArray<Int32Type>>()),
            ),
            ("when", Arc::new(TimestampMicrosecondArray::from(vec![0, 1, 2]))),
            ("nothing", Arc::new(NullArray::new(3))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
    }

    #[test]
    fn every_kind_of_value_can_be_recognised() {
        let batch = batch();
        let cells = |name: &str, width| {
            let column = batch.column_by_name(name).unwrap();
            [0, 1, 2].map(|row| cell(column, row, width))
        };
        assert_eq!(cells("id", 10), ["1", "20", "300"]);
        assert_eq!(cells("text", 12), ["one\\tline", "null", "long long l…"]);
        assert_eq!(cells("score", 10), ["0.5", "NaN", "-1.25"]);
        assert_eq!(cells("pixels", 40), ["[1, 2, 3]", "[0, 1, 2, 3, 4, 5, 6, 7, 8, …] 784 items", "null"]);
        assert_eq!(cells("pixels", 12), ["[1, 2, 3]", "784 items", "null"]);
        assert_eq!(
            cells("image", 60),
            [
                "{bytes: PNG image, 234 bytes, path: a.png}",
                "{bytes: null, path: b\\n.png}",
                "{bytes: binary, 1 byte, path: }"
            ]
        );
        assert_eq!(cells("kind", 10), ["cat", "null", "dog"]);
        assert_eq!(cells("when", 30)[0], "1970-01-01T00:00:00");
        assert_eq!(cells("nothing", 10), ["null", "null", "null"]);
    }

    #[test]
    fn few_columns_make_a_grid_and_many_make_lines() {
        let batch = batch();
        let few = batch.project(&[0, 1, 2]).unwrap();
        let expected = " id  text                     score
───────────────────────────────────
  1  one\\tline                  0.5
 20  null                       NaN
300  long long long long lo…  -1.25
";
        assert_eq!(sample_rows(&few, 5, 35), expected);
        let many = sample_rows(&batch, 2, 60);
        assert!(many.starts_with("row 0\n  id       1\n  text     one\\tline\n"), "{many}");
        for width in [1, 10, 40, 60, 100, 200] {
            for columns in [vec![0], vec![0, 1, 2], (0..8).collect()] {
                let text = sample_rows(&batch.project(&columns).unwrap(), 3, width);
                // A line for every value needs its indent and a name.
                assert!(text.lines().all(|line| line.chars().count() <= width.max(12)), "{width}: {text}");
            }
        }
    }

    #[test]
    fn nothing_to_show_is_shown_as_nothing() {
        let empty = RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)])));
        assert_eq!(sample_rows(&empty, 5, 80), "");
        assert_eq!(sample_rows(&batch(), 0, 80), "");
        let null_dictionary: DictionaryArray<Int32Type> = vec![None::<&str>; 3].into_iter().collect();
        assert_eq!(cell(&(Arc::new(null_dictionary) as ArrayRef), 1, 10), "null");
    }

    #[test]
    fn deep_values_are_not_followed_to_their_end() {
        let mut array: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        for _ in 0..50 {
            array =
                Arc::new(StructArray::from(vec![(Arc::new(Field::new("a", array.data_type().clone(), true)), array)]));
        }
        assert_eq!(cell(&array, 0, 80), "{a: {a: {a: {a: {…}}}}}");
    }
}
