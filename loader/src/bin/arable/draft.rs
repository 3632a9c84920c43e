//! The text of a first recipe: what was seen decides what is set, what is offered, and what is said of it.
//!
//! What changes a training is offered, not set: a line that begins with `#` and no space is a setting that is off.

use super::{
    init::{scope, told},
    look::Look,
};
use arable_loader::report::{ColumnProfile, numbers::percent};
use arrow::{
    array::{Array, AsArray},
    datatypes::DataType,
};
use std::fmt::Write as _;
use toml::Value;

/// Names that a label's column usually has.
const LABELS: [&str; 8] = ["label", "labels", "target", "class", "y", "species", "sentiment", "category"];
/// The most levels that a label has: beyond that it is a number to be predicted, or no label.
const MOST_CLASSES: u64 = 10_000;
/// Texts of at least so many characters in the mean are prose, which rules for prose may judge.
const PROSE: f64 = 200.0;
/// Texts of at least so many are a row's text, and no name or level.
const SENTENCE: f64 = 8.0;
/// Columns that are named one by one, at most,
const MOST_NAMED: usize = 64;
/// and told of.
const MOST_TOLD: usize = 200;
/// How images begin: PNG, JPEG.
const IMAGES: [&[u8]; 2] = [b"\x89PNG", b"\xff\xd8\xff"];

/// One dataset of the recipe.
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) look: Look,
}

/// A name for the dataset at `url`: of its file, or of the last folder before a wildcard.
pub(crate) fn name_of(url: &str) -> String {
    let path = url.split_once("://").map_or(url, |(_, path)| path);
    let path = path.split('?').next().unwrap_or(path);
    let parts = path.split(['/', '\\']).filter(|part| !part.is_empty() && *part != "." && *part != "..");
    let plain: Vec<&str> = parts.take_while(|part| !part.contains(['*', '[', '{'])).collect();
    let last = plain.last().copied().unwrap_or("data");
    last.split('.').find(|part| !part.is_empty()).unwrap_or("data").to_owned()
}

/// A table of cleaning that was found worth offering.
struct Offer {
    why: String,
    lines: Vec<String>,
    /// Whether it is set, and not only offered.
    is_set: bool,
}

/// A recipe for what was `seen`, with a budget of so many GiB.
pub(crate) fn recipe(seen: &[Seen], memory: u32, format: Option<&str>, cache: Option<&str>) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text += line;
        text.push('\n');
    };
    line("# A recipe for `arable stream` and for a training, written by `arable init` from a look at the data.");
    line("# A line that begins with # and no space is a setting that is off: take the # away to switch it on.");
    line("");
    line("seed = 42                       # what all randomness is a function of");
    line("epochs = 1                      # passes over the data");
    let label = label_of(seen);
    for one in seen {
        line("");
        line(&format!("# {}", scope(one)));
        if seen.len() == 1 {
            line("[dataset]");
        } else {
            line("[[domain]]");
            line(&format!("name = {}", quoted(&one.name)));
            let rows = one.look.source.plan().rows();
            line(&format!("share = {rows}.0                  # its number of rows: nothing is preferred"));
        }
        line(&format!("url = {}", quoted(&one.url)));
        if let Some(format) = format {
            line(&format!("format = {}", quoted(format)));
        }
        let columns = one.look.profile.columns();
        if columns.len() <= MOST_NAMED {
            line("# Leave out the columns that training does not need: they are then not read.");
            let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
            line(&format!("columns = [{}]", names.join(", ")));
        } else {
            line(&format!(
                "# All {} columns are carried; to read no more than training needs, name them: columns = [\"…\"]",
                columns.len()
            ));
        }
        for column in columns.iter().take(MOST_TOLD) {
            line(&format!("#   {}: {}", quoted(&column.name), plain(&told(column))));
        }
        match &label {
            Some(label) if columns.iter().any(|column| column.name == *label) => {
                line(&format!("label = {}", quoted(label)));
            }
            _ => line("# No column looks like a label; where there is one: label = \"…\""),
        }
    }
    if seen.len() > 1 {
        line("");
        line("#[mixture]");
        line("#exhausted = \"repeat\"          # go on until every domain has given all of its rows");
    }
    line("");
    line("#[split]                        # parts kept out of training; copies never straddle");
    line("#valid = 0.05");
    line("");
    line("# Cleaning, in this order. Each row gets the first verdict that drops it.");
    let offers = offers(seen, label.as_deref());
    if offers.is_empty() {
        line("# Nothing was seen that calls for any.");
    }
    for offer in offers {
        line(&format!("# {}", offer.why));
        for setting in &offer.lines {
            line(&format!("{}{setting}", if offer.is_set { "" } else { "#" }));
        }
    }
    line("");
    line("[policy]");
    line("name = \"uniform\"                # every row once, and what the loss says is observed");
    if label.is_some() {
        line("#name = \"denoise\"              # instead: rows whose label looks wrong weigh less");
    }
    line("");
    line("[batch]");
    line("size = 64");
    line("#drop_last = true");
    line("");
    line("[stream]");
    line(&format!("memory = \"{memory}GiB\""));
    line("#threads = 4                    # never changes what is emitted; 2 where it is left out");
    if let Some(cache) = cache {
        line(&format!("cache = {}", quoted(cache)));
    }
    let bad_rows: u64 = seen.iter().map(|one| one.look.bad_rows).sum();
    let bad_blocks: usize = seen.iter().map(|one| one.look.faults.len()).sum();
    line(&format!("# {bad_rows} of the rows that were looked at could not be read, and {bad_blocks} blocks."));
    let off = |bad: bool| if bad { "" } else { "#" };
    line(&format!(
        "{}on_bad_row = \"quarantine\"       # set aside and counted; left out: \"stop\"",
        off(bad_rows > 0)
    ));
    line(&format!("{}on_bad_block = \"quarantine\"", off(bad_blocks > 0)));
    text
}

/// The column that looks like a label: of the usual names the first, else one that ends in such a name.
fn label_of(seen: &[Seen]) -> Option<String> {
    let columns: Vec<ColumnProfile> = seen.iter().flat_map(|one| one.look.profile.columns()).collect();
    let is_class = |column: &&ColumnProfile| {
        let is_scalar = ["Int", "UInt", "Utf8", "LargeUtf8", "Boolean", "Dictionary"];
        column.distinct.is_some_and(|levels| levels.count <= MOST_CLASSES)
            && is_scalar.iter().any(|kind| column.data_type.starts_with(kind))
    };
    let named = |fits: &dyn Fn(&str, &str) -> bool| {
        LABELS
            .iter()
            .find_map(|label| columns.iter().filter(is_class).find(|column| fits(&column.name.to_lowercase(), label)))
    };
    let found = named(&|name, label| name == label);
    let found = found.or_else(|| named(&|name, label| label.len() > 1 && name.ends_with(&format!("_{label}"))));
    found.map(|column| column.name.clone())
}

/// The column that holds a row's text, if one does: the one with the longest, most of which come once.
fn text_of(columns: &[ColumnProfile]) -> Option<&str> {
    let mean = |column: &ColumnProfile| match &column.length {
        Some(length) if length.unit == "characters" => length.mean,
        _ => 0.0,
    };
    let texts =
        columns.iter().filter(|column| mean(column) >= SENTENCE && column.repeated.is_some_and(|part| part < 0.5));
    texts.max_by(|a, b| mean(a).total_cmp(&mean(b))).map(|column| column.name.as_str())
}

fn offers(seen: &[Seen], label: Option<&str>) -> Vec<Offer> {
    let mut offers: Vec<Offer> = Vec::new();
    for one in seen {
        let of = if seen.len() > 1 { format!(" of {}", quoted(&one.name)) } else { String::new() };
        let columns = one.look.profile.columns();
        let text = text_of(&columns);
        for (index, column) in columns.iter().enumerate() {
            for offer in column_offers(one, index, column, (label, text), &of) {
                // One table speaks for all domains.
                if offers.iter().all(|other| other.lines != offer.lines) {
                    offers.push(offer);
                }
            }
        }
    }
    offers
}

fn column_offers(
    one: &Seen,
    index: usize,
    column: &ColumnProfile,
    (label, text): (Option<&str>, Option<&str>),
    of: &str,
) -> Vec<Offer> {
    let name = quoted(&column.name);
    let table = |op: &str, rest: &[&str]| {
        let mut lines = vec!["[[clean]]".to_owned(), format!("op = \"{op}\""), format!("column = {name}")];
        lines.extend(rest.iter().map(ToString::to_string));
        lines
    };
    let share = |rows: u64| percent(rows, column.rows);
    let is_label = label == Some(column.name.as_str());
    let mut offers = Vec::new();
    let mut offer = |is_set: bool, why: String, lines: Vec<String>| offers.push(Offer { why, lines, is_set });
    if is_label && column.nulls > 0 {
        offer(true, format!("{} of the rows{of} have no {name}.", share(column.nulls)), table("missing", &[]));
    }
    if let Some(blank) = column.blank.filter(|&blank| blank > 0) {
        let why = format!("{} of the rows{of} have nothing but white space in {name}.", share(blank));
        offer(false, why, table("missing", &["blank = true"]));
    }
    if let Some(bad) = column.non_finite.filter(|&bad| bad > 0) {
        let why = format!(
            "{} of the rows{of} are NaN or infinite in {name}; this keeps the range that was seen.",
            share(bad)
        );
        let ends = [("min", &column.min), ("max", &column.max)];
        let ends: Vec<String> =
            ends.into_iter().filter_map(|(key, end)| Some(format!("{key} = {}", number(end.as_ref()?)?))).collect();
        if !ends.is_empty() {
            offer(false, why, table("range", &ends.iter().map(String::as_str).collect::<Vec<_>>()));
        }
    }
    let is_text = column.length.as_ref().is_some_and(|length| length.unit == "characters");
    let mean = column.length.as_ref().map_or(0.0, |length| length.mean);
    let repeated = column.repeated.unwrap_or(0.0);
    if text == Some(column.name.as_str()) && !is_label && repeated > 0.0 {
        let why = format!("{:.1} % of the texts{of} in {name} equal an earlier one.", 100.0 * repeated);
        let lines = vec!["[[clean]]".to_owned(), "op = \"exact_duplicate\"".to_owned(), format!("columns = [{name}]")];
        offer(false, why, lines);
    }
    if is_text && mean >= PROSE {
        let why = format!("{name} holds prose{of}: {mean:.0} characters in the mean.");
        offer(false, why, table("gopher_quality", &[]));
    }
    if holds_images(one, index) {
        let why = format!("{name} holds images{of}: those that cannot be decoded are dropped.");
        offer(false, why, table("decodable", &[]));
    }
    offers
}

/// Whether the column's first value, where there is one, begins as an image does.
fn holds_images(one: &Seen, index: usize) -> bool {
    let Some(column) = one.look.first.as_ref().and_then(|first| first.columns().get(index)) else { return false };
    let first = (0..column.len()).find(|&row| column.is_valid(row));
    let bytes = first.and_then(|row| match column.data_type() {
        DataType::Binary => Some(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(column.as_binary_view().value(row)),
        _ => None,
    });
    bytes.is_some_and(|bytes| IMAGES.iter().any(|image| bytes.starts_with(image)))
}

/// An end of a range as TOML; `None` for times.
fn number(end: &arable_loader::report::Extreme) -> Option<String> {
    use arable_loader::report::Extreme;
    match end {
        Extreme::Int(value) => i64::try_from(*value).ok().map(|value| value.to_string()),
        Extreme::Float(value) => value.is_finite().then(|| Value::Float(*value).to_string()),
        Extreme::Time(_) => None,
    }
}

/// `text` as TOML says it, in one line.
fn quoted(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    if !quoted.contains(['\n', '\r']) {
        return quoted;
    }
    // TOML would write it over several lines.
    let mut line = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => line += "\\\"",
            '\\' => line += "\\\\",
            character if character.is_control() => {
                let _ = write!(line, "\\u{:04X}", character as u32);
            }
            character => line.push(character),
        }
    }
    line.push('"');
    line
}

/// `text` without what would end a comment.
fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
