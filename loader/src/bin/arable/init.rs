//! `arable init`: a commented recipe from a look at the data.

use super::{
    Output,
    draft::{self, Seen},
    look::{self, Look},
};
use arable_loader::{
    Error, Recipe, Result, Stream,
    report::{
        ColumnProfile,
        numbers::{bytes, count},
    },
    source,
};
use clap::Args;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Memory budgets that are tried, in GiB, until the recipe fits.
const BUDGETS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];

#[derive(Args)]
pub(crate) struct Init {
    /// Path, folder, glob or URL; several make a mixture, a domain each.
    #[arg(required = true)]
    url: Vec<String>,
    /// The file to write, which must not be there yet; "-" for standard output alone.
    #[arg(long, value_name = "FILE", default_value = "arable.toml")]
    out: PathBuf,
    /// Write over a file that is there.
    #[arg(long)]
    force: bool,
    /// The files' format, where their ending does not say it: parquet, arrow, jsonl, csv or tsv.
    #[arg(long)]
    format: Option<String>,
    /// Rows to look at, from blocks spread over the dataset.
    #[arg(long, default_value_t = 20_000)]
    profile: u64,
    /// The folder that keeps unpacked text and what is read of remote objects, or "off"; as `[stream] cache`.
    #[arg(long, value_name = "DIR")]
    cache: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Init {
    pub(crate) fn run(self) -> Result<()> {
        let file = (self.out != Path::new("-")).then_some(self.out.as_path());
        if let Some(path) = file.filter(|_| !self.force) {
            // A shell that leads standard output to the same file has made it by now, empty.
            if fs::metadata(path).is_ok_and(|there| there.len() > 0) {
                return Err(Error::recipe(format!(
                    "`{}` is there already: --force writes over it, --out FILE writes another",
                    path.display()
                )));
            }
        }
        let mut seen: Vec<Seen> = Vec::with_capacity(self.url.len());
        let mut domains = Vec::with_capacity(self.url.len());
        let mut names = BTreeSet::new();
        for url in &self.url {
            let look = Look::at(
                &look::options(url, self.format.as_deref(), self.cache.as_deref())?,
                self.profile,
                self.output.progress(),
            )?;
            if look.source.plan().rows() == 0 {
                return Err(Error::recipe(format!("`{url}` has no row: there is nothing to make a recipe of")));
            }
            let mut name = draft::name_of(url);
            while !names.insert(name.clone()) {
                name = format!("{name}-{}", seen.len() + 1);
            }
            domains.push((name.clone(), Arc::clone(&look.source)));
            seen.push(Seen { name, url: placed(url, file)?, look });
        }
        let source = match &domains[..] {
            [(_, source)] => Arc::clone(source),
            _ => source::mixture(domains)?,
        };
        let text = self.fitting(&seen, &source)?;
        if let Some(path) = file {
            fs::write(path, &text).map_err(Error::io("write", path))?;
        }
        let datasets: Vec<_> = seen.iter().map(described).collect();
        let json = serde_json::json!({ "path": file, "recipe": text, "datasets": datasets });
        self.output.print(&text, &json)?;
        if let Some(path) = file.filter(|_| !self.output.quiet) {
            self.output.say(&format!("wrote {}", path.display()));
        }
        Ok(())
    }

    /// The recipe, with the least of [`BUDGETS`] that it can be opened in.
    fn fitting(&self, seen: &[Seen], source: &Arc<dyn source::Source>) -> Result<String> {
        let mut refused = None;
        for memory in BUDGETS {
            let text = draft::recipe(seen, memory, self.format.as_deref(), self.cache.as_deref());
            let recipe = Recipe::from_toml(&text)?;
            match Stream::builder(recipe).source(Arc::clone(source)).open() {
                Ok(_) => return Ok(text),
                Err(Error::Recipe(what)) if what.contains("memory") => refused = Some(Error::Recipe(what)),
                Err(other) => return Err(other),
            }
        }
        Err(refused.unwrap_or_else(|| Error::recipe("no budget was tried")))
    }
}

/// `url` as a recipe in `file` has to say it: a relative path starts at the recipe's folder.
fn placed(url: &str, file: Option<&Path>) -> Result<String> {
    let folder = file.and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty());
    if url.contains("://") || Path::new(url).is_absolute() || folder.is_none() {
        return Ok(url.to_owned());
    }
    let absolute = std::path::absolute(url).map_err(Error::io("find", url))?;
    Ok(absolute.display().to_string())
}

fn described(seen: &Seen) -> serde_json::Value {
    let plan = seen.look.source.plan();
    serde_json::json!({
        "name": seen.name,
        "url": seen.url,
        "rows": plan.rows(),
        "shards": plan.shards.len(),
        "bytes": plan.bytes(),
        "profiled_rows": seen.look.rows,
        "bad_rows": seen.look.bad_rows,
        "bad_blocks": seen.look.faults,
        "columns": seen.look.profile.columns(),
    })
}

/// What was looked at, in a line.
pub(crate) fn scope(seen: &Seen) -> String {
    let plan = seen.look.source.plan();
    format!(
        "{} rows in {} shards, {} as stored; {} rows were looked at",
        count(plan.rows()),
        count(plan.shards.len() as u64),
        bytes(plan.bytes()),
        count(seen.look.rows),
    )
}

/// What a column holds, in a line.
pub(crate) fn told(column: &ColumnProfile) -> String {
    let mut parts = vec![column.data_type.clone()];
    if column.nulls > 0 {
        parts.push(format!("{} nulls", count(column.nulls)));
    }
    if let Some(blank) = column.blank.filter(|&blank| blank > 0) {
        parts.push(format!("{} blank", count(blank)));
    }
    if let Some(levels) = column.distinct {
        parts.push(format!("{}{} levels", if levels.exact { "" } else { "about " }, count(levels.count)));
    }
    if let Some(length) = &column.length {
        parts.push(format!("{} to {} {}", count(length.min), count(length.max), length.unit));
    }
    parts.join(", ")
}
