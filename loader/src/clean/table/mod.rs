//! Operators over the cells of tables: what type they are of, which levels, which numbers are far out, which cells
//! determine which.
//!
//! They judge cells column by column, and flag the row of a cell with the column in the reason. Those that compare a
//! cell with the rest of its column learn about it in a survey.

mod broken;
pub(super) mod category;
mod cells;
pub(super) mod dependency;
mod digest;
mod levels;
pub(super) mod outlier;
pub(super) mod schema;
mod typed;
pub(super) mod unique;

pub(super) use cells::{Cells, has_cells};

use crate::byte_size::ByteSize;

/// What a survey may remember of a column, unless the recipe says otherwise.
const BUDGET: ByteSize = ByteSize::mib(64);

/// Bytes that a map's entry takes beside its key and value, about.
const ENTRY: u64 = 48;

/// What an operator finds, learning from `data` in two blocks and judging it in one: rows, reasons and measures, and
/// the data as they are then.
#[cfg(test)]
fn found(
    recipe: &str,
    data: &arrow::record_batch::RecordBatch,
) -> (Vec<(u32, String, Option<f64>)>, arrow::record_batch::RecordBatch) {
    use super::{Findings, Rows, rows::Shared, spec};
    let spec = spec::specs(recipe).remove(0);
    let stands = spec::build(1, &spec, data.schema_ref(), &spec::NoDatasets).expect("a recipe");
    let spec::Built::Pure(mut operator) = stands.built else { panic!("{} needs no earlier rows", spec.op) };
    if let Some(mut survey) = operator.survey() {
        let half = data.num_rows() / 2;
        for block in [data.slice(0, half), data.slice(half, data.num_rows() - half)] {
            let (alive, shared) = (vec![true; block.num_rows()], Shared::default());
            let part = survey.look(&Rows::new(&block, &alive, &shared)).expect("a look");
            survey.add(part).expect("room");
        }
        operator.fit(&survey.fit().expect("a fit")).expect("its own fit");
    }
    let (alive, shared) = (vec![true; data.num_rows()], Shared::default());
    let mut findings = Findings::new(&alive, operator.rules().len(), operator.scores().len());
    operator.judge(&Rows::new(data, &alive, &shared), &mut findings).expect("a judgement");
    let (found, data) = findings.finish(operator.name(), data.clone()).expect("findings");
    let reasons: Vec<String> = operator.rules().into_iter().map(|rule| rule.reason).collect();
    let flags = found.flags.into_iter().map(|flag| (flag.row, reasons[flag.rule as usize].clone(), flag.measured));
    (flags.collect(), data)
}
