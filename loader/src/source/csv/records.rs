//! The records of CSV text: where they end, what their fields are, and what type fits the fields of a column. Follows
//! RFC 4180; a record may also end with a bare line feed. Reads no file.

use arrow::{
    compute::kernels::cast_utils::Parser,
    datatypes::{DataType, Float64Type, Int64Type},
};

/// Where the record that begins `text` ends, past its line end; or what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    At(usize),
    /// The text ends before the record does.
    Open,
    /// The same, within quotes.
    Quoted,
}

/// Looks from `from` on, where a record begins.
pub(super) fn end(text: &[u8], from: usize, delimiter: u8) -> End {
    let (mut quoted, mut start) = (false, true);
    let mut at = from;
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'"' if quoted => {
                if text.get(at) == Some(&b'"') {
                    at += 1;
                } else {
                    quoted = false;
                }
            }
            _ if quoted => {}
            b'"' if start => quoted = true,
            b'\n' => return End::At(at),
            _ => {}
        }
        start = !quoted && *byte == delimiter;
    }
    if quoted { End::Quoted } else { End::Open }
}

/// The records of a block. Blank lines are none. A quote that is never closed spoils its line and no other.
pub(super) fn records(block: &[u8], delimiter: u8) -> impl Iterator<Item = &[u8]> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while from < block.len() {
            let end = match end(block, from, delimiter) {
                End::At(end) => end,
                End::Open => block.len(),
                End::Quoted => line_end(block, from),
            };
            let record = without_line_end(&block[from..end]);
            from = end;
            if !record.iter().all(u8::is_ascii_whitespace) || record.contains(&delimiter) {
                return Some(record);
            }
        }
        None
    })
}

/// Past the line feed that ends the line at `from`, or the end of the text.
pub(super) fn line_end(text: &[u8], from: usize) -> usize {
    text[from..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| from + at + 1)
}

fn without_line_end(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

/// The fields of a record, unquoted; or why it is none.
pub(super) fn fields(record: &[u8], delimiter: u8) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(record)
        .map_err(|error| format!("it is not UTF-8: byte {} of the record is wrong", error.valid_up_to()))?;
    let delimiter = char::from(delimiter);
    let (mut fields, mut field) = (Vec::new(), String::new());
    let (mut quoted, mut start) = (false, true);
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' if quoted => {
                if rest.next_if_eq(&'"').is_some() {
                    field.push('"');
                } else {
                    quoted = false;
                }
            }
            _ if quoted => field.push(next),
            '"' if start => quoted = true,
            next if next == delimiter => {
                fields.push(std::mem::take(&mut field));
                start = true;
                continue;
            }
            next => field.push(next),
        }
        start = false;
    }
    if quoted {
        return Err("a quote is opened and never closed".to_owned());
    }
    fields.push(field);
    Ok(fields)
}

/// The same, if they are `count`.
pub(super) fn counted(record: &[u8], delimiter: u8, count: usize) -> Result<Vec<String>, String> {
    let fields = fields(record, delimiter)?;
    if fields.len() == count {
        return Ok(fields);
    }
    Err(format!("it has {} fields, and the header has {count}", fields.len()))
}

/// The narrowest type that all values of a column so far have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// No value but empty ones, which are null.
    #[default]
    Empty,
    Boolean,
    Integer,
    Float,
    Text,
}

impl Kind {
    /// The kind of one value, as the decoder would parse it. A number with a leading zero or a plus sign is text, so
    /// that nothing of it is lost.
    pub(super) fn of(value: &str) -> Self {
        let digits = value.strip_prefix('-').unwrap_or(value);
        let leading_zero = digits.starts_with('0') && digits[1..].starts_with(|next: char| next.is_ascii_digit());
        let plain = !leading_zero && !digits.starts_with('+');
        if value.is_empty() {
            Self::Empty
        } else if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
            Self::Boolean
        } else if plain && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            if Int64Type::parse(value).is_some() { Self::Integer } else { Self::Text }
        } else if plain && !value.contains(char::is_whitespace) && Float64Type::parse(value).is_some() {
            Self::Float
        } else {
            Self::Text
        }
    }

    /// The narrowest kind that holds both.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Empty, kind) | (kind, Self::Empty) => kind,
            (Self::Integer, Self::Float) | (Self::Float, Self::Integer) => Self::Float,
            _ => Self::Text,
        }
    }

    pub(super) const fn data_type(self) -> DataType {
        match self {
            Self::Empty => DataType::Null,
            Self::Boolean => DataType::Boolean,
            Self::Integer => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Text => DataType::Utf8,
        }
    }
}
