//! Whose reading of Gopher's rules is taken: the peers agree on the names and on little else.

use serde::Deserialize;

/// A peer whose rules are followed to the letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// datatrove 0.10.1.
    #[default]
    Datatrove,
    /// NeMo Curator 1.4.0.
    Nemo,
    /// Dolma's toolkit 1.2.1, tagger `gopher_v1`, with Gopher's thresholds: the tagger itself has none.
    Dolma,
    /// datamap-rs, with the thresholds of its DCLM recipe.
    Datamap,
}

#[cfg(test)]
mod tests;
