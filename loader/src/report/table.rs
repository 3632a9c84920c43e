//! A small table of plain text: aligned columns, a rule below the heads, no trailing blanks.

use super::text::one_line;
use std::fmt;

/// The longest cell, in characters.
const LONGEST_CELL: usize = 200;

/// On which side a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under heads.
///
/// A width is counted in characters: signs that a terminal draws two columns wide push the rest of their line aside.
///
/// ```
/// use arable_loader::report::{Align, Table};
///
/// let mut table = Table::new([("file", Align::Left), ("rows", Align::Right)]);
/// table.row(["a.csv", "1,200"]);
/// table.row(["bc.csv", "7"]);
/// assert_eq!(table.to_string(), "\
/// file     rows
/// ─────────────
/// a.csv   1,200
/// bc.csv      7
/// ");
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of these columns, without rows. Where no column has a head, neither heads nor a rule are shown.
    pub fn new<H: AsRef<str>>(columns: impl IntoIterator<Item = (H, Align)>) -> Self {
        let columns = columns.into_iter().map(|(head, align)| (one_line(head.as_ref(), LONGEST_CELL), align)).collect();
        Self { columns, rows: Vec::new() }
    }

    /// One more row. Cells that are missing are blank, and those beyond the columns are left out; what a cell holds is
    /// shown in one line.
    pub fn row<C: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let cells = cells.into_iter().take(self.columns.len());
        self.rows.push(cells.map(|cell| one_line(cell.as_ref(), LONGEST_CELL)).collect());
    }

    /// The width of a line, in characters.
    #[must_use]
    pub fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(head, _)| head.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let write_row = |f: &mut fmt::Formatter<'_>, cells: &[&str]| {
            let mut line = String::new();
            for ((cell, &width), (_, align)) in cells.iter().zip(&widths).zip(&self.columns) {
                match align {
                    Align::Left => line.push_str(&format!("{cell:<width$}  ")),
                    Align::Right => line.push_str(&format!("{cell:>width$}  ")),
                }
            }
            writeln!(f, "{}", line.trim_end())
        };
        if self.columns.iter().any(|(head, _)| !head.is_empty()) {
            let heads: Vec<&str> = self.columns.iter().map(|(head, _)| head.as_str()).collect();
            write_row(f, &heads)?;
            writeln!(f, "{}", "─".repeat(self.width()))?;
        }
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            write_row(f, &cells)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_stand_on_their_side() {
        let mut table = Table::new([("größe", Align::Left), ("n", Align::Right), ("note", Align::Left)]);
        table.row(["ä", "1,000", ""]);
        table.row(["groß\n", "7", "last"]);
        table.row(["x"]);
        let expected = "\
größe       n  note
───────────────────
ä       1,000
groß\\n      7  last
x
";
        assert_eq!(table.to_string(), expected);
        assert_eq!(table.width(), 19);
    }

    #[test]
    fn without_heads_there_is_no_rule() {
        let mut table = Table::new([("", Align::Left), ("", Align::Right)]);
        table.row(["a", "1"]);
        assert_eq!(table.to_string(), "a  1\n");
    }

    proptest! {
        #[test]
        fn every_row_is_one_line_within_the_width(cells in prop::collection::vec(prop::collection::vec(any::<String>(), 0..5), 0..6)) {
            let mut table = Table::new([("a", Align::Left), ("b", Align::Right), ("c", Align::Left)]);
            for row in &cells {
                table.row(row);
            }
            let text = table.to_string();
            prop_assert_eq!(text.matches('\n').count(), cells.len() + 2);
            prop_assert!(text.lines().all(|line| line.chars().count() <= table.width()));
        }
    }
}
