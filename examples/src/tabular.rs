//! The command line of the example `tabular`.

use crate::{
    Result,
    arguments::{Common, share},
    comparison::{Comparison, Hyper},
    orders::{self, OrderDirt},
    outcome::Outcome,
    reading::exists,
    table::{self, Entries, Source, TableModel},
};
use arable_loader::Recipe;
use clap::Parser;
use std::path::{Path, PathBuf};

/// Trains one perceptron on a dirty table, to tell one column from the others: with burn's own loader, and with Arable
/// cleaning (by default: rows without a target, misspelt levels, exact duplicates), observing, and acting on the losses.
///
/// Without --table it runs on a GENERATED table of orders with planted dirt. With it, on a Parquet, Arrow, JSON lines,
/// CSV or TSV file, by path, pattern or URL:
///
/// --table dirty.csv --truth clean.csv --target type --ignore index
#[derive(Clone, Debug, Parser)]
#[command(name = "tabular", verbatim_doc_comment)]
pub struct Arguments {
    /// The table: a path, a pattern or a URL. A tenth of its contents is kept out for validation, a fifth for the test.
    #[arg(long, requires = "target")]
    table: Option<String>,
    /// Column to tell from the others; it names classes.
    #[arg(long, requires = "table")]
    target: Option<String>,
    /// The table as it should be, row by row and column by column the same: accuracy is then measured on its rows.
    #[arg(long, requires = "table")]
    truth: Option<String>,
    /// Columns that the model does not see, separated by commas.
    #[arg(long, value_delimiter = ',', requires = "table")]
    ignore: Vec<String>,
    /// A recipe whose [[clean]] tables clean the table, in place of the default cleaning.
    #[arg(long, requires = "table")]
    clean: Option<PathBuf>,
    /// Without --table: share of wrong carriers to plant, 0 to 0.9.
    #[arg(long, default_value_t = 0.2, value_parser = share, conflicts_with = "table")]
    noise: f64,
    /// Without --table: how many orders to generate, 200 to 1,000,000.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(200..=1_000_000), conflicts_with = "table")]
    rows: u32,
    /// What every example takes.
    #[command(flatten)]
    pub common: Common,
}

/// What plain burn does best with on the generated orders, of what was tried on the validation split.
pub const HYPER: Hyper = Hyper { epochs: 40, batch: 32, warmup: 8, learning_rate: 1e-3 };

impl Arguments {
    /// The same with another seed, say.
    #[must_use]
    pub fn with(&self, common: &Common) -> Self {
        Self { common: common.clone(), ..self.clone() }
    }

    /// What the example does, but for printing.
    ///
    /// # Errors
    ///
    /// A path or column that is not there, a target that names no classes, whatever keeps a training from ending.
    pub fn run(&self) -> Result<Outcome> {
        for url in [&self.table, &self.truth].into_iter().flatten() {
            exists(url)?;
        }
        let rules = self.clean.as_ref().map(Recipe::from_toml_file).transpose()?.map(|recipe| recipe.clean);
        let folder = self.common.folder("tabular")?;
        let comparison = match (&self.table, &self.target) {
            (Some(table), Some(target)) => {
                let (own, ignored) = (target.clone(), self.ignore.clone());
                let source = Source {
                    task: "tabular",
                    table: table.clone(),
                    truth: self.truth.clone(),
                    target: target.clone(),
                    ignored,
                    clean: Box::new(move |recipe, text| match &rules {
                        Some(rules) => Recipe { clean: rules.clone(), ..recipe },
                        None => cleaning(recipe, text, &own),
                    }),
                    dirt: "No dirt was planted: what is wrong here came with the data.".to_owned(),
                    planted: serde_json::Value::Null,
                };
                table::comparison(&source, HYPER, &self.common)?
            }
            _ => generated("tabular", &folder, self.rows as usize, self.noise, &self.common)?,
        };
        comparison.run(&folder, &self.common.bars())
    }
}

/// What can be said of any table: rows without a target, misspelt levels of the columns `text`, exact duplicates.
fn cleaning(recipe: Recipe, text: &[String], target: &str) -> Recipe {
    let recipe =
        recipe.clean("missing", [("column", target.into()), ("blank", true.into()), ("disguised", true.into())]);
    let recipe = match text {
        [] => recipe,
        text => {
            recipe.clean("category", [("columns", text.to_vec().into()), ("rare", 0.into()), ("repair", true.into())])
        }
    };
    recipe.clean("exact_duplicate", [])
}

/// The comparison on `rows` GENERATED orders with a share `noise` of wrong carriers, written to `folder`.
///
/// # Errors
///
/// Whatever keeps the tables from being written and read.
pub fn generated(
    task: &'static str,
    folder: &Path,
    rows: usize,
    noise: f64,
    common: &Common,
) -> Result<Comparison<Entries, TableModel>> {
    let dirt = OrderDirt::with_noise(noise);
    let (clean, dirty) = orders::soil(&orders::generate(rows, common.seed), dirt, common.seed);
    let (table, truth) = (folder.join("dirty.csv"), folder.join("clean.csv"));
    orders::write(&table, &dirty)?;
    orders::write(&truth, &clean)?;
    let source = Source {
        task,
        table: table.display().to_string(),
        truth: Some(truth.display().to_string()),
        target: orders::TARGET.to_owned(),
        ignored: vec!["number".to_owned()],
        clean: Box::new(|recipe, _| {
            let words = || vec!["city", "region", "category", "channel", "carrier"];
            recipe
                .clean("missing", [("column", "carrier".into()), ("blank", true.into()), ("disguised", true.into())])
                .clean(
                    "schema",
                    [
                        ("column", "price".into()),
                        ("type", "float".into()),
                        ("coerce", true.into()),
                        ("action", "annotate".into()),
                    ],
                )
                .clean("category", [("columns", words().into()), ("rare", 0.into()), ("repair", true.into())])
                .clean(
                    "dependency",
                    [("by", vec!["city"].into()), ("column", "region".into()), ("repair", true.into())],
                )
                .clean("outlier", [("columns", vec!["price", "total"].into()), ("threshold", 50.into())])
                .clean("exact_duplicate", [])
        }),
        dirt: dirt.said(common.seed),
        planted: serde_json::to_value(dirt)?,
    };
    table::comparison(&source, HYPER, common)
}
