//! What observing costs a step, and that it changes nothing: one training with losses sent back and one without, in turn.

use crate::{
    Result,
    data::Rows,
    training::{Plan, train},
};
use burn::tensor::Device;
use std::path::Path;

/// A perceptron of 1.2 million parameters, batches of 32.
pub(crate) fn run(mnist: &Path, pairs: u32, steps: u64) -> Result<()> {
    let device = Device::flex().autodiff();
    let rows = Rows::images(&mnist.join("train.parquet"), 32 * steps as usize)?;
    let folder = tempfile::tempdir()?;
    rows.write(folder.path())?;
    let plan = |observe, seed| Plan { observe, most_steps: steps, ..Plan::uniform(&[512; 4], 1, 32, seed) };
    for pair in 0..pairs {
        // Who goes first changes from pair to pair.
        let order = [pair % 2 == 0, pair % 2 != 0];
        let mut results = [(0.0, String::new()), (0.0, String::new())];
        for observe in order {
            let trained = train(folder.path(), &rows, &plan(observe, u64::from(pair)), None, &device)?;
            results[usize::from(observe)] =
                (1e6 * trained.spent.cpu / trained.spent.steps as f64, trained.model.name()?);
        }
        let [(without, plain), (with, observed)] = results;
        println!(
            "{}",
            serde_json::json!({
                "pair": pair, "steps": steps, "cpu_us_a_step_without": without, "cpu_us_a_step_with": with,
                "ratio": with / without, "identical": plain == observed,
            })
        );
    }
    Ok(())
}
