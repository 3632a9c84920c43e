//! A cleaning operator of one's own: orders whose total is not price times amount are dropped.
//!
//! `cargo run --release -p arable-examples --example own_operator`

use arable_examples::{Result, arguments::Common, outcome, seeds, tabular};
use arable_loader::clean::{Action, Findings, Operator, Rows, Rule};
use arrow::array::Array;

/// Speaks against orders that do not add up.
struct AddsUp;

impl Operator for AddsUp {
    fn name(&self) -> &str {
        "adds_up"
    }

    fn version(&self) -> u32 {
        1
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::at_most("does_not_add_up")]
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> arable_loader::Result<()> {
        let numbers = |name| rows.numbers(rows.index_of(name)?);
        let (price, amount, total) = (numbers("price")?, numbers("amount")?, numbers("total")?);
        for row in rows.iter() {
            // What is no number cannot be checked.
            if [&price, &amount, &total].iter().all(|column| column.is_valid(row)) {
                let off = (price.value(row) * amount.value(row) - total.value(row)).abs();
                findings.hold(off > 0.01, row, 0, off, 0.01);
            }
        }
        Ok(())
    }
}

pub(crate) fn run(common: &Common) -> Result<outcome::Outcome> {
    let folder = common.folder("own_operator")?;
    let comparison = tabular::generated("own_operator", &folder, 4_000, 0.0, common)?;
    let own = comparison.against_own("Arable, with adds_up", |stream| stream.operator(Box::new(AddsUp), Action::Drop));
    own.run(&folder, &common.bars())
}

fn main() -> std::process::ExitCode {
    let common = Common::parse(
        "Trains one perceptron on a GENERATED dirty table: with burn's own loader, and with Arable without and with an \
         operator of one's own",
    );
    outcome::finish(seeds::run(&common, run))
}
