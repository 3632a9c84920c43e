//! A GENERATED table of orders, clean and dirty, row by row the same: what `tabular` runs on without a path.
//!
//! The carrier of an order follows from its other cells by a rule, so that a model can learn it; the dirt hides the rule.

use crate::Result;
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    csv::Writer,
};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::{fs::File, path::Path, sync::Arc};

/// The columns of the table.
pub const COLUMNS: [&str; 10] =
    ["number", "city", "region", "category", "channel", "price", "amount", "total", "weight", "carrier"];
/// What a model is to tell.
pub const TARGET: &str = "carrier";

const CITIES: [(&str, &str); 10] = [
    ("Aberdeen", "north"),
    ("Inverness", "north"),
    ("Lerwick", "isles"),
    ("Stornoway", "isles"),
    ("Glasgow", "middle"),
    ("Edinburgh", "middle"),
    ("Dundee", "middle"),
    ("Carlisle", "south"),
    ("Newcastle", "south"),
    ("Manchester", "south"),
];
/// Each with its typical price and weight.
const CATEGORIES: [(&str, f64, f64); 8] = [
    ("books", 14.0, 0.6),
    ("games", 35.0, 0.5),
    ("kitchen", 60.0, 2.0),
    ("garden", 45.0, 6.0),
    ("furniture", 180.0, 18.0),
    ("clothing", 40.0, 0.4),
    ("shoes", 75.0, 1.2),
    ("tools", 90.0, 4.0),
];
const CHANNELS: [&str; 3] = ["web", "phone", "shop"];
const CARRIERS: [&str; 5] = ["letter", "parcel", "insured", "air", "freight"];

/// Rows of cells; the carrier is the last one.
pub type Cells = Vec<[String; 10]>;

/// How much dirt to plant, as shares of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OrderDirt {
    /// Rows with another carrier than the right one, every other alike.
    pub noise: f64,
    /// Rows whose price, amount and weight are another row's, so that the total is no longer price times amount.
    pub mixed_up: f64,
    /// Cells of city, region and category that are misspelt.
    pub misspelt: f64,
    /// Prices that are `n/a`, `?` or blank.
    pub disguised: f64,
    /// Prices written with blanks around them, as ` 12.50 `.
    pub formatted: f64,
    /// Prices that are a thousand times too high, their totals too.
    pub outliers: f64,
    /// Rows without a carrier, or with one that there is not.
    pub broken: f64,
    /// Rows that come twice.
    pub duplicates: f64,
}

impl OrderDirt {
    /// The usual dirt, with a share `noise` of wrong carriers.
    #[must_use]
    pub const fn with_noise(noise: f64) -> Self {
        Self {
            noise,
            mixed_up: 0.08,
            misspelt: 0.05,
            disguised: 0.05,
            formatted: 0.05,
            outliers: 0.02,
            broken: 0.02,
            duplicates: 0.1,
        }
    }

    /// What was planted, in a sentence.
    #[must_use]
    pub fn said(&self, seed: u64) -> String {
        let share = |share: f64| format!("{:.0} %", 100.0 * share);
        format!(
            "The table is GENERATED and the dirt PLANTED, from seed {seed}: {} wrong carriers, {} of rows with another \
             row's numbers, {} misspelt cells, {} disguised and {} oddly written prices, {} outliers, {} without a \
             carrier, {} duplicates.",
            share(self.noise),
            share(self.mixed_up),
            share(self.misspelt),
            share(self.disguised),
            share(self.formatted),
            share(self.outliers),
            share(self.broken),
            share(self.duplicates),
        )
    }
}

/// `count` orders as they should be, from a seed.
#[must_use]
pub fn generate(count: usize, seed: u64) -> Cells {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x6f72_6465);
    (0..count)
        .map(|number| {
            let (city, region) = CITIES[random.random_range(0..CITIES.len())];
            let (category, price, weight) = CATEGORIES[random.random_range(0..CATEGORIES.len())];
            let mut spread = |typical: f64| typical * 2_f64.powf(random.random_range(-1.5..1.5));
            let (price, weight) = (spread(price), spread(weight));
            let price = (price * 100.0).round() / 100.0;
            let amount = random.random_range(1..7);
            let total = price * f64::from(amount);
            let weight = weight * f64::from(amount);
            let carrier = match () {
                () if weight > 20.0 => "freight",
                () if total > 300.0 => "insured",
                () if region == "isles" => "air",
                () if weight < 1.0 => "letter",
                () => "parcel",
            };
            let channel = CHANNELS[random.random_range(0..CHANNELS.len())];
            [
                format!("{number:06}"),
                city.to_owned(),
                region.to_owned(),
                category.to_owned(),
                channel.to_owned(),
                format!("{price:.2}"),
                amount.to_string(),
                format!("{total:.2}"),
                format!("{weight:.2}"),
                carrier.to_owned(),
            ]
        })
        .collect()
}

/// The rows of `clean` in another order, some twice: as they should be, and with `dirt`, row by row the same.
#[must_use]
pub fn soil(clean: &Cells, dirt: OrderDirt, seed: u64) -> (Cells, Cells) {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x736f_696c);
    let mut pairs: Vec<_> = clean.iter().map(|row| (row.clone(), row.clone())).collect();
    let one = |choices: &[&str], random: &mut ChaCha8Rng| choices[random.random_range(0..choices.len())].to_owned();
    for (_, row) in &mut pairs {
        let mut chance = |share: f64| random.random_bool(share);
        let (mixed_up, noise, disguised, formatted, outlier, broken) = (
            chance(dirt.mixed_up),
            chance(dirt.noise),
            chance(dirt.disguised),
            chance(dirt.formatted),
            chance(dirt.outliers),
            chance(dirt.broken),
        );
        let other = clean[random.random_range(0..clean.len())].clone();
        if mixed_up {
            for column in [5, 6, 8] {
                row[column].clone_from(&other[column]);
            }
        }
        if noise {
            let others: Vec<&str> = CARRIERS.into_iter().filter(|carrier| *carrier != row[9]).collect();
            row[9] = one(&others, &mut random);
        }
        if outlier {
            for column in [5, 7] {
                row[column] = row[column].replace('.', "") + "0.00";
            }
        } else if disguised {
            row[5] = one(&["n/a", "?", ""], &mut random);
        } else if formatted {
            row[5] = format!(" {} ", row[5]);
        }
        for cell in &mut row[1..4] {
            if random.random_bool(dirt.misspelt) {
                let letters: Vec<char> = cell.chars().collect();
                let at = random.random_range(1..letters.len());
                let letters = letters.iter().enumerate().filter(|(place, _)| *place != at);
                *cell = letters.map(|(_, letter)| letter).collect();
            }
        }
        if broken {
            row[9] = one(&["", "tbd", "none"], &mut random);
        }
    }
    for place in 0..clean.len() {
        if random.random_bool(dirt.duplicates) {
            pairs.push(pairs[place].clone());
        }
    }
    pairs.shuffle(&mut random);
    pairs.into_iter().unzip()
}

/// Writes rows as CSV.
///
/// # Errors
///
/// Whatever keeps the file from being written.
pub fn write(path: &Path, rows: &Cells) -> Result<()> {
    let columns = COLUMNS.iter().enumerate().map(|(column, name)| {
        let cells = rows.iter().map(|row| row[column].as_str());
        (*name, Arc::new(StringArray::from_iter_values(cells)) as ArrayRef)
    });
    let mut writer = Writer::new(File::create(path)?);
    writer.write(&RecordBatch::try_from_iter(columns)?)?;
    Ok(())
}
