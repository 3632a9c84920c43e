//! What the library has to say while it works, on standard error: warnings, unless the environment asks for more or less.

use arable_loader::{Error, Result, source::is_shielded};
use std::{io, panic};
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The variables that say what is shown, the first that is set counting: a level (`error`, `warn`, `info`, `debug`,
/// `trace`, `off`), or levels of modules as `RUST_LOG` has them (`arable_loader=debug,object_store=info`).
const VARIABLES: [&str; 2] = ["ARABLE_LOG", "RUST_LOG"];

/// Shows events on standard error from now on: those that the environment asks for; else warnings, or errors alone where
/// the call is `quiet`.
///
/// # Errors
///
/// [`Error::Recipe`] where `ARABLE_LOG` asks for what is no level. What `RUST_LOG` holds may be meant for other
/// programs, so there it is left alone.
pub(crate) fn start(quiet: bool) -> Result<()> {
    let default = if quiet { "error" } else { "warn" };
    let asked = VARIABLES.iter().find_map(|name| Some((*name, std::env::var(name).ok()?)));
    let targets = match asked {
        None => default.parse(),
        Some(("RUST_LOG", text)) => text.parse().or_else(|_| default.parse()),
        Some((name, text)) => Ok(text.parse::<Targets>().map_err(|error| {
            Error::recipe(format!("{name} = \"{text}\": {error}; write a level, or module=level, with commas between"))
        })?),
    };
    let targets = targets.unwrap_or_default();
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false).without_time().with_target(false);
    // A decoder's panic comes back as an error with its place, which is said once and in its own words.
    let loud = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if is_shielded() {
            tracing::debug!("a decoder gave up: {info}");
        } else {
            loud(info);
        }
    }));
    // A second start in one process keeps the first.
    drop(tracing_subscriber::registry().with(lines).with(targets).try_init());
    Ok(())
}
