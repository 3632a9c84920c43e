//! Every row accounted for: how many were read, and what became of them.

use super::{
    Align, Table,
    numbers::{count, number, percent},
};
use crate::ledger::Account;

/// The counts of a run, most frequent reason first, with shares of the rows read. `trained`, where anything could be,
/// counts presentations, the others each row once.
#[must_use]
pub fn accounting(account: &Account, trained: impl Into<Option<u64>>) -> Table {
    let mut table = Table::new([("", Align::Left), ("", Align::Right), ("", Align::Right)]);
    let mut line = |name: &str, rows: u64, share: String| table.row([name, &count(rows), &share]);
    let share = |rows| percent(rows, account.read);
    line("read", account.read, String::new());
    line("kept", account.kept, share(account.kept));
    line("dropped", account.dropped(), share(account.dropped()));
    let mut reasons: Vec<_> = account.dropped.iter().collect();
    // By name where two are equal: the map's own order, which the sort keeps.
    reasons.sort_by_key(|&(_, rows)| std::cmp::Reverse(rows));
    for (reason, &rows) in reasons {
        line(&format!("  {reason}"), rows, share(rows));
    }
    line("quarantined", account.quarantined, share(account.quarantined));
    if account.held_out > 0 {
        line("held out", account.held_out, String::new());
    }
    if let Some(trained) = trained.into() {
        line("trained", trained, String::new());
    }
    table
}

/// A line for each filter that may take what is new for seen: its operator's name, and the chance.
#[must_use]
pub fn false_positives<'a>(estimates: impl IntoIterator<Item = (&'a str, f64)>) -> String {
    let line = |(op, chance): (&str, f64)| {
        format!("{op} takes {} % of what is new to it for seen, by its filter's fill\n", number(100.0 * chance))
    };
    estimates.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_counts_and_shares_most_frequent_reason_first() {
        let dropped = [("range:label", 12), ("missing:text", 2860), ("a", 8), ("b", 8)];
        let dropped = dropped.map(|(reason, rows)| (reason.to_owned(), rows)).into();
        let account = Account { read: 60_000, kept: 57_105, dropped, quarantined: 7, held_out: 0 };
        let expected = "\
read             60,000
kept             57,105  95.2 %
dropped           2,888   4.8 %
  missing:text    2,860   4.8 %
  range:label        12  <0.1 %
  a                   8  <0.1 %
  b                   8  <0.1 %
quarantined           7  <0.1 %
trained         114,240
";
        assert_eq!(accounting(&account, 114_240).to_string(), expected);
    }
}
