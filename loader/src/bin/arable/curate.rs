//! `arable curate`: a recipe's cleaning over a whole dataset, into Parquet.

use super::{Output, allocator};
use arable_loader::{
    Error, Recipe, Result,
    recipe::ByteSize,
    report::{
        Align, Progress, Table, accounting, false_positives,
        numbers::{count, duration},
    },
    stream::{Curated, Curation, RuleReport},
};
use clap::Args;
use std::{path::PathBuf, time::Instant};

#[derive(Args)]
pub(crate) struct Curate {
    /// The recipe, a TOML file.
    recipe: PathBuf,
    /// The folder to write to: Parquet files of the kept rows, `_verdicts.jsonl`, `_curated.json`.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Write one JSON line for every row read to this file, in place of DIR/_verdicts.jsonl.
    #[arg(long, value_name = "FILE")]
    verdicts: Option<PathBuf>,
    /// Keep verdicts for later runs in this folder, in place of DIR/_verdict_cache.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// The most bytes that this folder keeps; what was used longest ago is thrown away.
    #[arg(long, value_name = "SIZE", default_value = "4GiB")]
    cache_limit: ByteSize,
    /// Threads that read and clean, in place of the recipe's. Never changes what is written.
    #[arg(long, value_name = "N")]
    threads: Option<u32>,
    /// What runs it: local.
    #[arg(long, value_name = "NAME", default_value = "local")]
    engine: String,
    /// Where the engine's scheduler is; `local` has none.
    #[arg(long, value_name = "URL")]
    scheduler: Option<String>,
    #[command(flatten)]
    pub(super) output: Output,
}

impl Curate {
    pub(crate) fn run(self) -> Result<()> {
        match self.engine.as_str() {
            engine @ ("datafusion" | "ballista") => {
                return Err(Error::recipe(format!(
                    "--engine {engine} is not built in this version; `--engine local` runs on this machine"
                )));
            }
            "local" if self.scheduler.is_some() => {
                return Err(Error::recipe(
                    "--scheduler is for `--engine ballista`, which is not built in this version",
                ));
            }
            "local" => {}
            other => return Err(Error::recipe(format!("there is no engine `{other}`; this version has `local`"))),
        }
        let mut recipe = Recipe::from_toml_file(&self.recipe)?;
        allocator::keep_within(recipe.stream.memory);
        if let Some(threads) = self.threads {
            recipe = recipe.threads(threads);
        }
        let mut curation = Curation::new(recipe, self.out).cache_limit(self.cache_limit.0);
        if let Some(verdicts) = self.verdicts {
            curation = curation.verdicts(verdicts);
        }
        if let Some(cache) = self.cache {
            curation = curation.cache(cache);
        }
        let start = Instant::now();
        let progress = Progress::new(self.output.progress(), "curate", None, "rows");
        let curated = curation.run(|rows| progress.advance(rows))?;
        progress.finish();
        let mut json = serde_json::to_value(&curated)
            .map_err(|error| Error::recipe(format!("the summary cannot be written as JSON: {error}")))?;
        json["seconds"] = start.elapsed().as_secs_f64().into();
        let text = summary(&curated) + &format!("\nin {}\n", duration(start.elapsed()));
        self.output.print(&text, &json)
    }
}

fn summary(curated: &Curated) -> String {
    let mut text = accounting(&curated.rows, None).to_string();
    for (what, counts) in
        [("annotated", &curated.annotated), ("weighed down", &curated.weighed), ("repaired by", &curated.repaired)]
    {
        for (name, rows) in counts {
            text += &format!("{what} {name}: {}\n", count(*rows));
        }
    }
    text += &false_positives(curated.false_positives.iter().map(|estimate| (estimate.op.as_str(), estimate.chance)));
    text += &format!(
        "\n{} blocks judged, {} known from an earlier run\n{} files, verdicts in {}\n",
        count(curated.judged_blocks),
        count(curated.reused_blocks),
        count(curated.files.len() as u64),
        curated.verdicts.display()
    );
    for fault in &curated.faults {
        text += &format!("quarantined: {fault}\n");
    }
    for rule in curated.rules.iter().filter(|rule| !rule.caught.is_empty() || !rule.passed.is_empty()) {
        text += &borders(rule);
    }
    text
}

/// The rows nearest to a rule's threshold, on both sides.
fn borders(rule: &RuleReport) -> String {
    let mut table = Table::new([
        ("", Align::Left),
        ("measured", Align::Right),
        ("threshold", Align::Right),
        ("row", Align::Left),
        ("", Align::Left),
    ]);
    let number = |number: Option<f64>| number.map_or_else(String::new, |number| format!("{number:.4}"));
    for (side, cases) in [("caught", &rule.caught), ("passed", &rule.passed)] {
        for case in cases {
            table.row([
                side.to_owned(),
                number(case.measured),
                number(case.threshold),
                format!("{}:{}", case.block, case.row),
                case.excerpt.clone(),
            ]);
        }
    }
    format!("\nnearest to the border of {} ({}):\n{table}", rule.reason, rule.op)
}
