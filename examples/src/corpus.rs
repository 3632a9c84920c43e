//! Texts as domains of documents: a book that comes with cargo, this project's own pages and code, or texts by path.

use crate::{Result, reading::exists};
use arable_loader::recipe::Domain;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::HashSet,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes that a document has at least, where the text goes on: about a slot, so that a batch holds many documents.
const LEAST: usize = 100;
/// Documents of a row group: few, so that the blocks that are open together are of many places of a text. Neighbouring
/// documents are alike, and steps on documents of three places at a time teach less.
const GROUP: usize = 4;
/// Documents between two licences, where those are planted.
const BOOK: usize = 100;
/// Bytes of each built-in domain at most, so that no download and no long reading is needed.
const MOST: usize = 160_000;

/// Domains, and what was planted in them.
#[derive(Debug)]
pub struct Corpus {
    /// In the order of their names on the command line.
    pub domains: Vec<Domain>,
    /// The documents that were planted, which nothing is measured on.
    pub planted: HashSet<String>,
}

/// `text` cut at blank lines into documents of at least 100 bytes.
#[must_use]
pub fn documents(text: &str) -> Vec<String> {
    let mut documents: Vec<String> = Vec::new();
    let text = text.replace("\r\n", "\n");
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        match documents.last_mut() {
            Some(last) if last.len() < LEAST => {
                last.push_str("\n\n");
                last.push_str(paragraph);
            }
            _ => documents.push(paragraph.to_owned()),
        }
    }
    documents
}

/// The domain `name` of the texts at `url`, one of `count` with equal shares. A `.txt` file is cut into documents, written
/// to `folder`; anything else is a data set with a column `text`.
///
/// # Errors
///
/// A path that is not there, a file that is no text.
pub fn by_path(name: &str, url: &str, count: usize, folder: &Path) -> Result<Domain> {
    exists(url)?;
    let share = 1.0 / count as f64;
    if !url.ends_with(".txt") || url.contains("://") {
        return Ok(Domain::new(name, share, url));
    }
    let text = std::fs::read_to_string(url).map_err(|error| format!("cannot read `{url}`: {error}"))?;
    write(folder, name, share, documents(&text))
}

/// Three domains that need no path: the first book of Cicero's De finibus (from the crate `lipsum`), and this project's
/// pages and code, where its sources are. Whole licences are PLANTED between every hundred documents, from `seed`.
///
/// # Errors
///
/// Sources that are not there any more: a program that was moved away from them needs texts by path.
pub fn built_in(folder: &Path, seed: u64) -> Result<Corpus> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &Path| {
        let cannot = |error| format!("cannot read `{}`: {error}; give texts with --text NAME=PATH", path.display());
        std::fs::read_to_string(path).map_err(cannot)
    };
    let all = |folder: &str, ending: &str| -> Result<String> {
        let mut paths = Vec::new();
        find(&root.join(folder), ending, &mut paths)?;
        paths.sort();
        let texts = paths.iter().map(|path| read(path)).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(texts.join("\n\n"))
    };
    let licence = ["LICENSE-MIT", "LICENSE-APACHE"].map(|name| read(&root.join(name)));
    let licence = licence.into_iter().collect::<std::result::Result<Vec<_>, _>>()?.join("\n\n");
    let texts = [
        ("cicero", lipsum::LIBER_PRIMUS.to_owned()),
        ("pages", all("docs", ".md")? + "\n\n" + &read(&root.join("ARCHITECTURE.md"))?),
        ("code", all("trainer/src", ".rs")?),
    ];
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x6c69_6365);
    let mut planted = HashSet::new();
    let domains = texts.into_iter().map(|(name, mut text)| {
        text.truncate(text.floor_char_boundary(MOST));
        // Cicero comes without blank lines between paragraphs of a readable length.
        let text = if name == "cicero" { text.replace(".\n", ".\n\n") } else { text };
        let mut all = Vec::new();
        for book in documents(&text).chunks(BOOK) {
            // Every copy is cut elsewhere, so that no two are exact duplicates.
            let from = licence.ceil_char_boundary(random.random_range(0..200));
            let copy = documents(&format!("{name}, another book\n\n{}", &licence[from..]));
            planted.extend(copy.iter().cloned());
            all.extend(copy);
            all.extend_from_slice(book);
        }
        write(folder, name, 1.0 / 3.0, all)
    });
    let domains = domains.collect::<Result<_>>()?;
    Ok(Corpus { domains, planted })
}

fn find(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    let cannot = |error| format!("cannot list `{}`: {error}; give texts with --text NAME=PATH", folder.display());
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, ending, found)?;
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    Ok(())
}

/// Writes documents to a Parquet file in `folder`, as the domain `name`.
fn write(folder: &Path, name: &str, share: f64, documents: Vec<String>) -> Result<Domain> {
    if documents.is_empty() {
        return Err(format!("domain `{name}` has no text").into());
    }
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{name}.parquet"));
    let texts = Arc::new(StringArray::from(documents)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("text", texts)])?;
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(GROUP)).build();
    let mut writer = ArrowWriter::try_new(File::create(&path)?, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(Domain::new(name, share, path.display().to_string()))
}
