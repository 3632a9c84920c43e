//! What a recipe may ask for: sizes within their ranges and settings that fit one another.
//!
//! It judges the recipe alone. Whether a column exists or an operator is known is for others to say.

use super::{ByteSize, Dataset, MixtureSettings, Recipe, Split};
use crate::{Error, Result, spelling::cut};
use std::collections::{BTreeMap, BTreeSet};

/// The least memory that a stream works in: a block of text is about 4 MiB, and a block may take a quarter of it.
const LEAST_MEMORY: ByteSize = ByteSize::mib(16);

/// The most threads, so that a slip of the pen does not start a million.
const MOST_THREADS: u32 = 1024;

/// The most rows of a batch: what is gathered at once has to fit a budget whatever the rows hold.
const MOST_ROWS: u32 = 1 << 24;

/// The most repetitions of a request: with the longest wait between them some 25 minutes.
const MOST_RETRIES: u32 = 100;

/// The most batches made ahead.
const MOST_PREFETCH: u32 = 1 << 16;

/// The most domains that are mixed: each has a block open, and every row asks each of them for its turn.
const MOST_DOMAINS: usize = 1024;

/// The least part of all shares that a domain may have: shares are counted in units of this.
const LEAST_SHARE: f64 = 1.0 / (1_u64 << 32) as f64;

impl Recipe {
    /// Checks that every setting is within its range and fits the others, rank and world included.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] with the setting, its value and what it may be.
    pub fn validate(&self) -> Result<()> {
        self.validate_at("recipe")
    }

    /// As [`validate`](Self::validate), with messages that begin with `path`.
    pub(super) fn validate_at(&self, path: &str) -> Result<()> {
        self.faults().map_err(|what| Error::recipe(format!("{path}: {what}")))
    }

    fn faults(&self) -> Result<(), String> {
        let (batch, stream) = (&self.batch, &self.stream);
        if self.seed > i64::MAX as u64 {
            return Err(format!("`seed` = {}: must be at most 2^63 - 1, the most that TOML holds", self.seed));
        }
        within("", "epochs", self.epochs, 1, u32::MAX)?;
        self.check_data()?;
        self.check_split()?;
        self.check_operators()?;
        within("in [batch]: ", "size", batch.size, 1, MOST_ROWS)?;
        if batch.epoch_batches == Some(0) {
            return Err(
                "in [batch]: `epoch_batches` = 0: must be at least 1; leave it out for the whole epoch".to_owned()
            );
        }
        if stream.memory < LEAST_MEMORY {
            return Err(format!(
                "in [stream]: `memory` = \"{}\": must be at least {LEAST_MEMORY}, four blocks of text of 4 MiB",
                stream.memory
            ));
        }
        within("in [stream]: ", "threads", stream.threads, 1, MOST_THREADS)?;
        within("in [stream]: ", "window", stream.window.unwrap_or(1), 1, u32::MAX)?;
        within("in [stream]: ", "prefetch", stream.prefetch, 1, MOST_PREFETCH)?;
        within("in [stream]: ", "retries", stream.retries, 0, MOST_RETRIES)?;
        within("in [stream]: ", "timeout", stream.timeout.unwrap_or(1), 1, u32::MAX)?;
        if stream.cache.as_deref() == Some("") {
            return Err("in [stream]: `cache` is empty: give a folder, or \"off\", or leave it out".to_owned());
        }
        if self.rank >= self.world {
            return Err(format!(
                "rank {} of {}: ranks are counted from 0, so the rank must be less than the world",
                self.rank, self.world
            ));
        }
        let least = u64::from(stream.prefetch) + u64::from(self.world);
        if u64::from(stream.feedback_lag) < least {
            return Err(format!(
                "in [stream]: `feedback_lag` = {} is less than prefetch + world = {} + {} = {least}: a draw would wait \
                 for signals of batches that are not trained yet; set `feedback_lag` to at least {least}, or lower \
                 `prefetch`",
                stream.feedback_lag, stream.prefetch, self.world
            ));
        }
        Ok(())
    }

    fn check_data(&self) -> Result<(), String> {
        if self.domain.is_empty() {
            if self.mixture != MixtureSettings::default() {
                return Err(
                    "[mixture] is given and no [[domain]]: it says how domains are mixed, so leave it out".to_owned()
                );
            }
            return match &self.dataset {
                Some(dataset) => check_dataset("in [dataset]", dataset),
                None => Err("there is no [dataset] and no [[domain]]: say where samples come from".to_owned()),
            };
        }
        if self.dataset.is_some() {
            return Err(
                "[dataset] and [[domain]] are both given: a mixture is of domains alone, so make the dataset one \
                        of them"
                    .to_owned(),
            );
        }
        if self.domain.len() > MOST_DOMAINS {
            return Err(format!("{} [[domain]] tables: at most {MOST_DOMAINS} are mixed", self.domain.len()));
        }
        let sum: f64 = self.domain.iter().map(|domain| domain.share).sum();
        let mut names = BTreeMap::new();
        for (number, domain) in (1..).zip(&self.domain) {
            let place = format!("in [[domain]] {number} (`{}`)", cut(&domain.name));
            if domain.name.trim().is_empty() {
                return Err(format!("{place}: `name` is empty: name the domain"));
            }
            if let Some(other) = names.insert(domain.name.as_str(), number) {
                return Err(format!("{place}: `name`: domain {other} has this name too; give each its own"));
            }
            let share = domain.share;
            if !(share.is_finite() && share > 0.0) {
                return Err(format!(
                    "{place}: `share` = {share}: must be a number above 0; leave out a domain that is not to be drawn"
                ));
            }
            if share / sum < LEAST_SHARE {
                return Err(format!(
                    "{place}: `share` = {share}: is less than 2^-32 of all shares, which add up to {sum}"
                ));
            }
            check_dataset(&place, &domain.dataset)?;
        }
        Ok(())
    }

    fn check_split(&self) -> Result<(), String> {
        let Split { valid, holdout, .. } = self.split;
        for (part, share) in [("valid", valid), ("holdout", holdout)] {
            if !(0.0..1.0).contains(&share) {
                return Err(format!("in [split]: `{part}` = {share}: must be at least 0 and less than 1"));
            }
        }
        let both = valid + holdout;
        if both >= 1.0 {
            return Err(format!(
                "in [split]: `valid` + `holdout` = {both}: must be less than 1, or nothing is trained on"
            ));
        }
        Ok(())
    }

    fn check_operators(&self) -> Result<(), String> {
        // Both can only come from the builder: a TOML table has each key once.
        for (number, operator) in (1..).zip(&self.clean) {
            if operator.op.is_empty() {
                return Err(format!("in [[clean]] {number}: `op` is empty: name an operator"));
            }
            if operator.options.contains_key("op") {
                return Err(format!("in [[clean]] {number}: `op` is given twice, as the name and as an option"));
            }
        }
        if self.policy.name.is_empty() {
            return Err("in [policy]: `name` is empty: name a policy, like \"uniform\"".to_owned());
        }
        if self.policy.options.contains_key("name") {
            return Err("in [policy]: `name` is given twice, as the name and as an option".to_owned());
        }
        Ok(())
    }
}

fn check_dataset(place: &str, dataset: &Dataset) -> Result<(), String> {
    if dataset.url.trim().is_empty() {
        return Err(format!("{place}: `url` is empty: give a path, a glob or a URL, like \"data/*.parquet\""));
    }
    let Some(columns) = &dataset.columns else { return Ok(()) };
    if columns.is_empty() {
        return Err(format!("{place}: `columns` is empty: name the columns, or leave it out for all"));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = columns.iter().find(|column| !seen.insert(column.as_str())) {
        return Err(format!("{place}: `columns` names `{twice}` twice"));
    }
    if let Some(label) = dataset.label.as_deref().filter(|label| !seen.contains(label)) {
        return Err(format!("{place}: `label` = \"{label}\" is not among `columns`: add it there"));
    }
    Ok(())
}

fn within(place: &str, key: &str, value: u32, least: u32, most: u32) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let most = if most == u32::MAX { String::new() } else { format!(" and at most {most}") };
    Err(format!("{place}`{key}` = {value}: must be at least {least}{most}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::Value;

    fn refused(recipe: &Recipe) -> String {
        recipe.validate().unwrap_err().to_string()
    }

    fn recipe() -> Recipe {
        Recipe::new("data/*.parquet")
    }

    #[test]
    fn the_defaults_are_valid_on_up_to_twelve_ranks() {
        // feedback_lag 16 − prefetch 4.
        assert!(recipe().rank(11, 12).validate().is_ok());
        assert!(recipe().rank(0, 13).validate().is_err());
    }

    #[test]
    fn a_lag_below_prefetch_and_world_is_refused_with_the_arithmetic() {
        assert_eq!(
            refused(&recipe().prefetch(6).rank(1, 2).feedback_lag(7)),
            "recipe: in [stream]: `feedback_lag` = 7 is less than prefetch + world = 6 + 2 = 8: a draw would wait for \
             signals of batches that are not trained yet; set `feedback_lag` to at least 8, or lower `prefetch`"
        );
        assert!(recipe().prefetch(6).rank(1, 2).feedback_lag(8).validate().is_ok());
        assert!(recipe().rank(0, u32::MAX).feedback_lag(u32::MAX).validate().is_err());
    }

    #[test]
    fn sizes_are_at_least_one_and_no_slip_of_the_pen() {
        for (recipe, expected) in [
            (recipe().epochs(0), "`epochs` = 0: must be at least 1"),
            (
                recipe().seed(1 << 63),
                "`seed` = 9223372036854775808: must be at most 2^63 - 1, the most that TOML holds",
            ),
            (recipe().batch_size(0), "in [batch]: `size` = 0: must be at least 1 and at most 16777216"),
            (recipe().batch_size(u32::MAX), "in [batch]: `size` = 4294967295: must be at least 1 and at most 16777216"),
            (
                recipe().epoch_batches(0),
                "in [batch]: `epoch_batches` = 0: must be at least 1; leave it out for the whole epoch",
            ),
            (recipe().threads(0), "in [stream]: `threads` = 0: must be at least 1 and at most 1024"),
            (recipe().threads(1025), "in [stream]: `threads` = 1025: must be at least 1 and at most 1024"),
            (recipe().window(0), "in [stream]: `window` = 0: must be at least 1"),
            (recipe().prefetch(0), "in [stream]: `prefetch` = 0: must be at least 1 and at most 65536"),
            (recipe().retries(101), "in [stream]: `retries` = 101: must be at least 0 and at most 100"),
            (recipe().timeout(0), "in [stream]: `timeout` = 0: must be at least 1"),
            (recipe().cache(""), "in [stream]: `cache` is empty: give a folder, or \"off\", or leave it out"),
            (
                recipe().memory(ByteSize((16 << 20) - 1)),
                "in [stream]: `memory` = \"16777215B\": must be at least 16MiB, four blocks of text of 4 MiB",
            ),
            (recipe().rank(0, 0), "rank 0 of 0: ranks are counted from 0, so the rank must be less than the world"),
            (recipe().rank(2, 2), "rank 2 of 2: ranks are counted from 0, so the rank must be less than the world"),
        ] {
            assert_eq!(refused(&recipe), format!("recipe: {expected}"));
        }
    }

    #[test]
    fn names_are_given_once() {
        for (recipe, expected) in [
            (Recipe::new(" "), "in [dataset]: `url` is empty: give a path, a glob or a URL, like \"data/*.parquet\""),
            (
                recipe().columns(Vec::<String>::new()),
                "in [dataset]: `columns` is empty: name the columns, or leave it out for all",
            ),
            (recipe().columns(["a", "b", "a"]), "in [dataset]: `columns` names `a` twice"),
            (recipe().columns(["a"]).label("y"), "in [dataset]: `label` = \"y\" is not among `columns`: add it there"),
            (recipe().clean("", []), "in [[clean]] 1: `op` is empty: name an operator"),
            (
                recipe().clean("a", []).clean("b", [("op", Value::from("c"))]),
                "in [[clean]] 2: `op` is given twice, as the name and as an option",
            ),
            (recipe().policy(""), "in [policy]: `name` is empty: name a policy, like \"uniform\""),
            (
                recipe().policy("a").policy_option("name", "b"),
                "in [policy]: `name` is given twice, as the name and as an option",
            ),
        ] {
            assert_eq!(refused(&recipe), format!("recipe: {expected}"));
        }
    }
}
