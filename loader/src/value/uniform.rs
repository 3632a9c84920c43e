//! Every kept row once in a data epoch, with weight 1: the plain shuffled epoch.
//!
//! It reads no signal, so plugging it in cannot change a training; the statistics are kept all the same.

use super::policy::Policy;
use crate::{Result, strict};
use serde::Deserialize;

/// The policy `uniform`: v = 1, π = 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uniform;

/// It has none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {}

impl Uniform {
    pub(super) const NAME: &'static str = "uniform";

    /// `place` opens every message.
    pub(super) fn from_options(place: &str, options: &toml::Table) -> Result<Self> {
        let Options {} = strict::from_table(place, options)?;
        Ok(Self)
    }
}

impl Policy for Uniform {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn unbiased(&self) -> bool {
        true
    }

    fn fingerprint(&self) -> String {
        format!("{}/1()", Self::NAME)
    }

    fn reads_signals(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Position, Report, Signal, Target,
        value::{Classes, Table, WindowRows},
    };

    #[test]
    fn targets_are_plain_whatever_was_seen() {
        let rows = [3];
        let mut table = Table::new(&rows);
        let signal = Signal { loss: 9.0, class: None };
        table.apply(&Report::new(0, vec![(Position::new(0, 1), signal)])).unwrap();
        let classes = Classes::new(&rows);
        let positions = [0, 1, 2].map(|row| Position::new(0, row));
        let mut targets = Vec::new();
        let parameters = Uniform.fit(&table, &classes, 5);
        Uniform.targets(&parameters, &WindowRows::new(&positions, &table, &classes), &mut targets);
        assert_eq!(targets, [Target::PLAIN; 3]);
        assert!(parameters.values().is_empty() && Uniform.unbiased() && !Uniform.reads_signals());
    }
}
