//! `regex`: a text in which a pattern is found, or with `require` one in which it is not.
//!
//! Patterns are those of the `regex` crate: linear time, so without backreferences and looking around.

use super::{
    filter::{Filter, Row, on_column},
    words::Word,
};
use crate::clean::{
    Rule,
    spec::{Built, Settings},
};
use regex::Regex;
use serde::Deserialize;

pub(in crate::clean) const NAME: &str = "regex";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    pattern: String,
    #[serde(default)]
    require: bool,
}

struct Pattern {
    pattern: Regex,
    require: bool,
}

pub(in crate::clean) fn build(settings: Settings<'_>) -> Result<Built, String> {
    let Options { pattern, require } = settings.read()?;
    let pattern = Regex::new(&pattern).map_err(|error| format!("`pattern`: {error}"))?;
    on_column(settings, Pattern { pattern, require })
}

impl Filter for Pattern {
    const NAME: &'static str = NAME;
    type Scratch = ();

    fn options(&self) -> String {
        format!("pattern = {:?}, require = {}", self.pattern.as_str(), self.require)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::plain(if self.require { "regex_not_found" } else { "regex_found" })]
    }

    fn judge(&self, text: &str, _: &[Word], (): &mut (), row: &mut Row<'_>) {
        if self.pattern.is_match(text) != self.require {
            row.add(0);
        }
    }
}
