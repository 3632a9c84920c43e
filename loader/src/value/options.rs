//! A policy's options as a recipe writes them: each is asked for by name, and none may be left over.
//!
//! It knows nothing of what an option means.

use crate::{Error, Result};
use std::ops::RangeInclusive;

/// The options of one policy, and which of them it has asked for.
#[derive(Debug)]
pub(super) struct Options<'a> {
    policy: &'a str,
    table: &'a toml::Table,
    asked: Vec<&'static str>,
}

impl<'a> Options<'a> {
    pub(super) const fn new(policy: &'a str, table: &'a toml::Table) -> Self {
        Self { policy, table, asked: Vec::new() }
    }

    /// A number within `range`; a whole number will do.
    pub(super) fn number(&mut self, name: &'static str, default: f64, range: RangeInclusive<f64>) -> Result<f64> {
        self.asked.push(name);
        let Some(value) = self.table.get(name) else {
            return Ok(default);
        };
        let number = value.as_float().or_else(|| value.as_integer().map(|integer| integer as f64));
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (low, high) = range.into_inner();
            self.wrong(name, &format!("a number from {low} to {high}"), value)
        })
    }

    /// A whole number within `range`.
    pub(super) fn count(&mut self, name: &'static str, default: u32, range: RangeInclusive<u32>) -> Result<u32> {
        self.asked.push(name);
        let Some(value) = self.table.get(name) else {
            return Ok(default);
        };
        let count = value.as_integer().and_then(|integer| u32::try_from(integer).ok());
        count.filter(|count| range.contains(count)).ok_or_else(|| {
            let (low, high) = range.into_inner();
            self.wrong(name, &format!("a whole number from {low} to {high}"), value)
        })
    }

    fn wrong(&self, name: &str, wanted: &str, value: &toml::Value) -> Error {
        Error::recipe(format!("policy `{}`: `{name}` is {wanted}, not {value}", self.policy))
    }

    /// Refuses an option that the policy has not asked for.
    pub(super) fn finish(self) -> Result<()> {
        let Some(name) = self.table.keys().find(|name| !self.asked.contains(&name.as_str())) else {
            return Ok(());
        };
        let what = if self.asked.is_empty() {
            format!("policy `{}` takes no options, so `{name}` means nothing; remove it", self.policy)
        } else {
            let hint = nearest(name, self.asked.iter().copied())
                .map(|name| format!("; did you mean `{name}`?"))
                .unwrap_or_else(|| format!("; it has `{}`", self.asked.join("`, `")));
            format!("policy `{}` has no option `{name}`{hint}", self.policy)
        };
        Err(Error::recipe(what))
    }
}

/// The one of `known` that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this similarity (Jaro–Winkler, 0 to 1) a hint would mislead more often than help.
    const SIMILAR: f64 = 0.75;
    let rated = known.into_iter().map(|name| (strsim::jaro_winkler(word, name), name));
    let best = rated.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= SIMILAR).then_some(best.1)
}
