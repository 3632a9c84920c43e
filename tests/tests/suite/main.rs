//! Properties of the whole, from outside: over the public API and over the command line.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod accounting;
mod command_line;
mod compressed;
mod curate;
mod detection;
mod determinism;
mod every_policy;
mod faults;
mod feedback;
mod golden;
#[cfg(unix)]
mod hostile;
mod init;
mod layouts;
mod memory;
mod mixtures;
mod odd_data;
mod plain_epoch;
mod ranks;
mod remote;
mod resume;
mod shuffle;
mod split;
mod stores;
mod unbiased;
mod values;

use arable_loader::{Recipe, Result, Stream};
use arable_tests::{Data, Format};
use std::path::Path;

/// The command line, as built from the sources at hand.
const ARABLE: &str = env!("CARGO_BIN_EXE_arable-under-test");

/// A policy that never waits for the trainer.
const UNIFORM: &str = "name = \"uniform\"";

/// A policy that acts on what the trainer says, from the second data epoch on.
const DENOISE: &str = "name = \"denoise\"\nwarmup = 1\nwarmup_batches = 0";

/// Another, with all that it can do.
const INFOBATCH: &str = "name = \"infobatch\"\ndelta = 1.0\nclass_quota = 0.6\nmax_staleness = 4";

/// The policies that act on what the trainer says.
const ACTING: [&str; 2] = [DENOISE, INFOBATCH];

/// All policies.
const POLICIES: [&str; 3] = [UNIFORM, DENOISE, INFOBATCH];

/// Those of them that pick by what training said of earlier batches too; the threshold is about where τ is.
const REMEMBERING: [&str; 2] = [
    "name = \"importance\"\ncandidates = 24\nfloor = 0.2\nthreshold = 1.4\nmemory = 0.5",
    "name = \"selective_backprop\"\ncandidates = 24\nmemory = 200",
];

/// The policies that pick inside the step, over the columns of the suite's data.
const SELECTING: [&str; 8] = [
    "name = \"alignment\"\ncandidates = 24",
    "name = \"alignment\"\ncandidates = 24\nmethod = \"greats\"",
    "name = \"rho_loss\"\ncandidates = 24\nreference_column = \"score\"",
    "name = \"jest\"\ncandidates = 24\nreference_column = \"score\"\ngain = 2",
    "name = \"importance\"\ncandidates = 24\nthreshold = 0\nmemory = 0",
    REMEMBERING[0],
    REMEMBERING[1],
    "name = \"progressive_dropout\"\ncandidates = 24\nthreshold = 0.9\nepochs = 2",
];

/// All formats, with the same rows in several shards and blocks.
fn datasets() -> [Data; 4] {
    Format::ALL
        .map(|format| if format.is_text() { Data::new(format, 5, 150, 0) } else { Data::new(format, 3, 250, 40) })
}

fn open(recipe: &Path) -> Result<Stream> {
    Recipe::from_toml_file(recipe)?.open()
}
