//! What formats there are, by their contract names and the endings of files.

use super::unpack;
use crate::{
    Error, Result,
    spelling::{advice, cut},
};
use std::{fmt, str::FromStr};

/// How the shards of a dataset are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Apache Parquet, `.parquet`.
    Parquet,
    /// Arrow IPC, as files and as streams, `.arrow`, `.arrows`, `.ipc` or `.feather`.
    Arrow,
    /// One JSON object a line, `.jsonl` or `.ndjson`.
    Jsonl,
    /// Comma-separated values with a header, `.csv`.
    Csv,
    /// The same, separated by tabs, `.tsv`.
    Tsv,
}

impl Format {
    /// Every format, by its contract name.
    const NAMED: [(&'static str, Self); 5] = [
        ("parquet", Self::Parquet),
        ("arrow", Self::Arrow),
        ("jsonl", Self::Jsonl),
        ("csv", Self::Csv),
        ("tsv", Self::Tsv),
    ];

    /// The format of a file, from the ending of its name.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        let unpacked = unpack::Compression::of_name(name).map(|(name, _)| name);
        let (_, ending) = unpacked.unwrap_or(name).rsplit_once('.')?;
        let format = match ending.to_ascii_lowercase().as_str() {
            "parquet" => Some(Self::Parquet),
            "arrow" | "arrows" | "ipc" | "feather" => Some(Self::Arrow),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            _ => None,
        };
        // The binary formats compress within, where blocks stay apart.
        format.filter(|format| unpacked.is_none() || format.is_text())
    }

    /// Whether it is text, which may be compressed as a whole.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Jsonl | Self::Csv | Self::Tsv)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
        })
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::NAMED.iter().find(|(name, _)| *name == text).map(|(_, format)| *format).ok_or_else(|| {
            let names = Self::NAMED.map(|(name, _)| name);
            Error::recipe(format!("unknown format `{}`{}", cut(text), advice(text, &names, "the known formats are")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_name_and_by_ending() {
        for (name, format) in Format::NAMED {
            assert_eq!(name.parse::<Format>().unwrap(), format);
            assert_eq!(format.to_string(), name);
        }
        assert_eq!(Format::from_file_name("a.b.PARQUET"), Some(Format::Parquet));
        assert_eq!(Format::from_file_name("a.ndjson"), Some(Format::Jsonl));
        assert_eq!(Format::from_file_name("a.feather"), Some(Format::Arrow));
        assert_eq!(Format::from_file_name("a.txt"), None);
        assert_eq!(Format::from_file_name("parquet"), None);
        assert!("parket".parse::<Format>().unwrap_err().to_string().contains("did you mean `parquet`"));
    }
}
