//! The arguments that every example takes.

use crate::Result;
use arable_loader::report::{Bars, ProgressMode};
use burn::tensor::Device;
use clap::{Args, Command, FromArgMatches, ValueEnum};
use std::path::{Path, PathBuf};

/// The arguments that every example takes.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Seed of what is planted or generated, of the weights and of every order.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// How many seeds, from --seed on: one after another, with means and standard deviations at the end.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub seeds: u32,
    /// Rows to measure on; hyper-parameters are chosen on `valid`.
    #[arg(long, value_enum, default_value_t = On::Test)]
    pub on: On,
    /// Passes of plain burn over its rows, from 1; the example's own number where it is left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub epochs: Option<u32>,
    /// Rows of a batch, from 1; the example's own number where it is left out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch: Option<u32>,
    /// Adam's learning rate; the example's own number where it is left out.
    #[arg(long, value_parser = rate)]
    pub learning_rate: Option<f64>,
    /// What to train on; others than flex need the cargo feature of their name.
    #[arg(long, value_enum, default_value_t = Backend::Flex)]
    pub device: Backend,
    /// Folder for the run's files.
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
    /// Print each outcome as one JSON object too, on a line of its own below it.
    #[arg(long)]
    pub json: bool,
    /// Show no progress.
    #[arg(long)]
    pub quiet: bool,
}

/// Which rows are measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum On {
    /// Those of the last test.
    Test,
    /// Those that hyper-parameters are chosen on.
    Valid,
}

/// What is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The processor.
    Flex,
    /// The first device that wgpu finds: Vulkan, Metal, DirectX.
    #[cfg(feature = "wgpu")]
    Wgpu,
    /// The first CUDA device.
    #[cfg(feature = "cuda")]
    Cuda,
}

impl Common {
    /// The arguments of an example that takes no others; `about` says what it does.
    #[must_use]
    pub fn parse(about: &'static str) -> Self {
        let command = Self::augment_args(Command::new(env!("CARGO_PKG_NAME")).about(about));
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// The progress bars that these arguments ask for.
    #[must_use]
    pub fn bars(&self) -> Bars {
        Bars::new(if self.quiet { ProgressMode::Quiet } else { ProgressMode::Auto })
    }

    /// `epochs` and `batch`, or an example's own numbers in their place.
    #[must_use]
    pub fn sizes(&self, epochs: usize, batch: usize) -> (usize, usize) {
        let or = |given: Option<u32>, own: usize| given.map_or(own, |given| given as usize);
        (or(self.epochs, epochs), or(self.batch, batch))
    }

    /// The device, outside of autodiff.
    #[must_use]
    pub fn device(&self) -> Device {
        match self.device {
            Backend::Flex => Device::flex(),
            #[cfg(feature = "wgpu")]
            Backend::Wgpu => Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
            #[cfg(feature = "cuda")]
            Backend::Cuda => Device::cuda(0),
        }
    }

    /// A folder of its own for this run of `task`: the first of `task-1`, `task-2`, … that does not exist yet, since a
    /// ledger is never overwritten.
    ///
    /// # Errors
    ///
    /// A folder that cannot be made.
    pub fn folder(&self, task: &str) -> Result<PathBuf> {
        fresh_folder(&self.runs, task)
    }
}

/// The first of `task-1`, `task-2`, … below `runs` that does not exist yet.
///
/// # Errors
///
/// A folder that cannot be made.
pub fn fresh_folder(runs: &Path, task: &str) -> Result<PathBuf> {
    let cannot = |error| format!("cannot make a folder below `{}`: {error}", runs.display());
    std::fs::create_dir_all(runs).map_err(cannot)?;
    for number in 1..100_000 {
        let folder = runs.join(format!("{task}-{number}"));
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            result => return Ok(result.map(|()| folder).map_err(cannot)?),
        }
    }
    Err(format!("`{}` holds 100,000 runs of {task}", runs.display()).into())
}

fn rate(text: &str) -> std::result::Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if rate > 0.0 && rate <= 1.0 { Ok(rate) } else { Err("must be above 0, and 1 at most".into()) }
}

/// A share of wrong labels, as the command line takes it.
///
/// # Errors
///
/// What is no number from 0 to 0.9.
pub fn share(text: &str) -> std::result::Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.0..=0.9).contains(&share) { Ok(share) } else { Err("must be a share from 0 to 0.9".into()) }
}
