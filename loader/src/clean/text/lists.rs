//! Lists of words, domains and addresses that a recipe gives inline, in a file of one entry a line, or both.

use std::{collections::BTreeSet, path::Path};

/// The longest list file that is read, in bytes.
const LARGEST: u64 = 256 << 20;

/// The entries given inline and those of the file at `path`: stripped, without empty lines and lines that begin with
/// "#", each once and sorted.
pub(super) fn entries(name: &str, inline: &[String], path: Option<&Path>) -> Result<BTreeSet<String>, String> {
    let mut all: BTreeSet<String> = inline.iter().map(|entry| entry.trim().to_owned()).collect();
    if let Some(path) = path {
        let wrong = |what: &dyn std::fmt::Display| format!("`{name}` = \"{}\": {what}", path.display());
        let bytes = std::fs::metadata(path).map_err(|error| wrong(&error))?.len();
        if bytes > LARGEST {
            return Err(wrong(&format_args!("{bytes} bytes; a list has at most {LARGEST}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
        all.extend(text.lines().filter(|line| !line.starts_with('#')).map(|line| line.trim().to_owned()));
    }
    all.remove("");
    Ok(all)
}

/// What a list comes to in an operator's fingerprint: its content, not where it lies.
pub(super) fn fingerprint<'e>(entries: impl IntoIterator<Item = &'e String>) -> String {
    let mut hasher = blake3::Hasher::new();
    for entry in entries {
        hasher.update(&(entry.len() as u64).to_le_bytes());
        hasher.update(entry.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
