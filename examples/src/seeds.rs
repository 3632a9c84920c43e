//! An example for several seeds: each outcome, and what they come to together.

use crate::{Result, arguments::Common};
use arable_loader::report::{Align, Table};

/// What the text of an outcome of one seed ends with.
pub(crate) const ONE_SEED: &str = "One seed says little: --seeds 5 tells how far they differ by chance.\n";

/// What an example came to, as far as seeds are compared by it.
pub trait Told {
    /// What is measured, with its unit.
    const MEASURED: &'static str;
    /// Digits behind the point.
    const DIGITS: usize;

    /// The outcome for people, and as JSON.
    fn told(&self) -> (String, serde_json::Value);

    /// Each training by its name with its number, plain burn first.
    fn numbers(&self) -> Vec<(String, f64)>;
}

/// Runs an example for the seeds that `common` asks for, and prints each outcome; of several, means and deviations last.
///
/// # Errors
///
/// Whatever keeps one of them from ending.
#[expect(clippy::print_stdout, reason = "this is what the examples are for")]
pub fn run<O: Told>(common: &Common, example: impl Fn(&Common) -> Result<O>) -> Result<()> {
    let mut all = Vec::new();
    for number in 0..u64::from(common.seeds) {
        let seed = common.seed.wrapping_add(number);
        let outcome = example(&Common { seed, ..common.clone() })?;
        let (text, json) = outcome.told();
        print!("{text}");
        if common.json {
            println!("{json}");
        }
        all.push(outcome.numbers());
    }
    if all.len() > 1 {
        println!("\nThe seeds from {} on, {} of them: {}.\n", common.seed, all.len(), O::MEASURED);
        println!("{}", table(&all, O::DIGITS));
    }
    Ok(())
}

/// Mean ± standard deviation of each training over the seeds, and of its difference from plain burn with the same seed.
fn table(all: &[Vec<(String, f64)>], digits: usize) -> Table {
    let mut table =
        Table::new([("training", Align::Left), ("mean ± sd", Align::Right), ("against plain, by seed", Align::Right)]);
    let names = all.first().map_or(&[][..], Vec::as_slice);
    for (at, (name, _)) in names.iter().enumerate() {
        let numbers: Vec<f64> = all.iter().map(|numbers| numbers[at].1).collect();
        let gains: Vec<f64> = all.iter().map(|numbers| numbers[at].1 - numbers[0].1).collect();
        let ((mean, deviation), (gain, spread)) = (moments(&numbers), moments(&gains));
        let against = if at == 0 { String::new() } else { format!("{gain:+.digits$} ± {spread:.digits$}") };
        table.row([name.clone(), format!("{mean:.digits$} ± {deviation:.digits$}"), against]);
    }
    table
}

/// Mean and standard deviation (of a sample, n − 1) of two numbers or more.
fn moments(numbers: &[f64]) -> (f64, f64) {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_deviations_and_differences_are_paired_by_seed() {
        let seed = |plain, own| vec![("plain burn".to_owned(), plain), ("own".to_owned(), own)];
        let text = table(&[seed(80.0, 82.0), seed(90.0, 92.0), seed(85.0, 90.0)], 1).to_string();
        assert!(text.contains("85.0 ± 5.0"), "{text}");
        assert!(text.contains("88.0 ± 5.3") && text.contains("+3.0 ± 1.7"), "{text}");
    }
}
