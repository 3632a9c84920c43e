//! Several datasets as the domains of one recipe.

use crate::{Data, Format};
use std::{fmt::Write, path::PathBuf};

/// What is carried of every domain: the columns that all formats store alike.
const COLUMNS: &str = "columns = [\"id\", \"text\", \"label\"]";

/// Domains on disk, and what is known of them.
#[derive(Debug)]
pub struct Mixed {
    /// The domains' data; ids are counted anew in each.
    pub domains: Vec<Data>,
    /// The domains' shares, as the recipe says them.
    pub shares: Vec<f64>,
}

impl Mixed {
    /// Domains of `rows` rows in two shards each, by turns in every format, the first one in `first`.
    #[must_use]
    pub fn new(first: Format, domains: &[(usize, f64)], group: usize) -> Self {
        let formats = Format::ALL.iter().cycle().skip_while(|format| **format != first);
        let data =
            formats.zip(domains).map(|(format, &(rows, _))| Data::new(*format, 2, rows.div_ceil(2).max(1), group));
        Self { domains: data.collect(), shares: domains.iter().map(|domain| domain.1).collect() }
    }

    /// Writes a recipe beside the first domain; `rest` follows its `[[domain]]` tables.
    ///
    /// # Panics
    ///
    /// Where it cannot be written.
    #[must_use]
    pub fn recipe(&self, top: &str, rest: &str) -> PathBuf {
        let mut text = format!("{top}\n");
        for (index, (data, share)) in self.domains.iter().zip(&self.shares).enumerate() {
            let url = data.url();
            write!(text, "[[domain]]\nname = \"d{index}\"\nshare = {share:?}\nurl = '{url}'\n{COLUMNS}\n").unwrap();
        }
        let path = self.domains[0].folder.path().join("mixed.toml");
        std::fs::write(&path, text + rest).unwrap();
        path
    }
}
