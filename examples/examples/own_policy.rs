//! A policy of one's own: the rows of the highest losses are trained on no more (as Shen and Sanghavi 2019).
//!
//! `cargo run --release -p arable-examples --example own_policy`

use arable_examples::{Result, arguments::Common, digits, outcome, seeds};
use arable_loader::{
    Target,
    value::{Classes, Parameters, Policy, Table, WindowRows},
};
use std::sync::Arc;

/// From the tenth pass on, this share of the rows counts nothing; half of them are drawn, so that they can come back.
#[derive(Debug)]
struct Trimmed(f64);

impl Policy for Trimmed {
    fn name(&self) -> &str {
        "trimmed"
    }

    fn unbiased(&self) -> bool {
        true // for the risk over the rows that are left
    }

    fn fingerprint(&self) -> String {
        format!("trimmed/1({})", self.0)
    }

    fn reads_signals(&self) -> bool {
        true
    }

    fn fit(&self, table: &Table, _: &Classes, epoch: u32) -> Parameters {
        let seen = table.iter().filter(|(_, row)| row.is_seen());
        let mut losses: Vec<_> = seen.map(|(_, row)| f64::from(row.mean_loss())).collect();
        losses.sort_by(f64::total_cmp);
        let border = losses.get(((1.0 - self.0) * losses.len() as f64) as usize).filter(|_| epoch >= 10);
        Parameters::new(border.into_iter().copied().collect())
    }

    fn targets(&self, border: &Parameters, rows: &WindowRows<'_>, out: &mut Vec<Target>) {
        let border = border.values().first().copied().unwrap_or(f64::INFINITY);
        out.extend(rows.iter().map(|(row, _)| match row.is_seen() && f64::from(row.mean_loss()) >= border {
            true => Target { weight: 0.0, inclusion: 0.5 },
            false => Target::PLAIN,
        }));
    }
}

pub(crate) fn run(common: &Common) -> Result<outcome::Outcome> {
    let folder = common.folder("own_policy")?;
    let digits = digits::planted(0.2, common).comparison(&folder)?;
    digits.against_own("Arable, trimming", |stream| stream.policy(Arc::new(Trimmed(0.2)))).run(&folder, &common.bars())
}

fn main() -> std::process::ExitCode {
    let common = Common::parse("Trains on digits with 20 % wrong labels: burn's loader, Arable observing, trimming");
    outcome::finish(seeds::run(&common, run))
}
