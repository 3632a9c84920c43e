//! Licence texts: found paragraph by paragraph, and cut out by an operator of one's own.

use arable_loader::{
    Result,
    clean::{Findings, Operator, Rows, Rule},
};

/// What licences say and hardly anybody else: stems, in small letters.
const STEMS: [&str; 20] = [
    "licens",
    "licenc",
    "copyright",
    "warrant",
    "liab",
    "permission",
    "hereby",
    "redistribut",
    "derivative work",
    "contributor",
    "contribution",
    "patent",
    "trademark",
    "gutenberg",
    "indemni",
    "merchantab",
    "infring",
    "royalty",
    "perpetual",
    "sublicense",
];
/// Different stems that make a paragraph part of a licence.
const MOST: usize = 2;

/// How many of the stems `paragraph` holds.
fn stems(paragraph: &str) -> usize {
    let lower = paragraph.to_lowercase();
    STEMS.iter().filter(|stem| lower.contains(**stem)).count()
}

/// The paragraphs of `text` that belong to no licence, and how many do.
#[must_use]
pub fn without_licences(text: &str) -> (String, usize) {
    let (licence, kept): (Vec<&str>, Vec<&str>) =
        text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()).partition(|text| stems(text) >= MOST);
    (kept.join("\n\n"), licence.len())
}

/// Cuts licence paragraphs out of the texts of a column, and drops texts that are nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Licences;

impl Licences {
    /// The column of the texts.
    pub const COLUMN: &'static str = "text";
}

impl Operator for Licences {
    fn name(&self) -> &str {
        "licences"
    }

    fn version(&self) -> u32 {
        1
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::plain("nothing_but_licence"), Rule::note("licence_cut_out")]
    }

    fn rewrites(&self) -> Vec<usize> {
        // Texts are the only column.
        vec![0]
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        let column = rows.index_of(Self::COLUMN)?;
        let texts = rows.texts(column)?;
        for (row, text) in rows.iter().filter_map(|row| Some((row, texts.get(row)?))) {
            let (kept, cut) = without_licences(text);
            if cut > 0 && kept.is_empty() {
                findings.add(row, 0);
            } else if cut > 0 {
                findings.measured(row, 1, cut as f64, None);
                findings.rewrite(row, column, kept);
            }
        }
        Ok(())
    }
}
