//! `language_model` on its own texts and on files.

use crate::{call, file, refused, turn};
use arable_examples::{
    bytes::{SLOT, Slots, tokens},
    corpus,
    language_model::Arguments,
    licences::without_licences,
};
use burn::tensor::Device;

const LICENCE: &str = include_str!("../../../LICENSE-MIT");

#[test]
fn a_licence_is_cut_out_and_prose_stays() {
    let prose = "It was a bright day.\n\nThe clocks were striking, and nobody had a licence for it.";
    assert_eq!(without_licences(prose), (prose.to_owned(), 0));
    let (kept, cut) = without_licences(&format!("{prose}\n\n{LICENCE}"));
    assert!(cut >= 2 && kept.starts_with(prose), "{kept}");
    assert!(!kept.contains("WARRANTY") && !kept.contains("hereby granted"), "{kept}");
}

#[test]
fn documents_hold_all_of_a_text_in_order() {
    let text = lipsum_like(60);
    let documents = corpus::documents(&text);
    assert!(documents.len() > 3);
    assert_eq!(documents.join("\n\n"), text);
    assert!(documents.iter().rev().skip(1).all(|document| document.len() >= 100));
}

#[test]
fn a_token_counts_where_the_one_before_it_is_of_the_same_document() {
    let string = tokens(&"x".repeat(SLOT));
    let slots = Slots::cut(&string, &Device::flex());
    let counts = slots.counts().try_into_vec_as::<f32>().unwrap();
    // Two slots: a full one, of which all but the first token count, and one with a single token.
    assert_eq!(counts.len(), 2 * SLOT);
    assert_eq!(counts.iter().sum::<f32>() as usize, SLOT - 1);
    assert_eq!((counts[0], counts[1], counts[SLOT]), (0.0, 1.0, 0.0));
}

fn lipsum_like(paragraphs: usize) -> String {
    let paragraph =
        |number: usize| format!("Paragraph {number} says what the one before it said, and a little more of it.");
    let paragraphs: Vec<String> = (0..paragraphs).map(|number| paragraph(number).repeat(1 + number % 3)).collect();
    paragraphs.join("\n\n")
}

#[test]
fn domains_by_path_are_mixed_and_licences_dropped() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let long = lipsum_like(900);
    let verse = (0..900).map(|line| format!("Line {line}: O rose, thou art sick of number {}.", line * 7));
    let verse = verse.collect::<Vec<_>>().join("\n\n");
    let prose = file(folder.path(), "prose.txt", &format!("{LICENCE}\n\n{long}\n\n{LICENCE}"));
    let verse = file(folder.path(), "verse.txt", &verse);
    let texts = format!("--text prose={prose} --text verse={verse} --steps 8 --batch 4");
    let outcome = call::<Arguments>(&texts, folder.path()).run().unwrap();
    assert_eq!(outcome.domains, ["prose", "verse"]);
    assert!(outcome.rows.balances());
    let fixed = outcome.run("fixed").unwrap();
    // Untrained, a byte costs about eight bits; eight steps are enough to tell letters from what is no letter.
    assert!(fixed.bits_per_byte.iter().all(|bits| (1.0..8.0).contains(bits)), "{fixed:?}");
    let (few, many) = (fixed.documents.iter().min().unwrap(), fixed.documents.iter().max().unwrap());
    assert!(*few > 0 && many - few <= 2 + many / 2, "equal shares: {fixed:?}");
    let odm = outcome.run("odm").unwrap();
    assert!((odm.shares.iter().sum::<f64>() - 1.0).abs() < 1e-6 && outcome.run("ado").is_none());
    assert!(outcome.text().contains("Arable, odm: ") && outcome.text().contains("than Arable, fixed shares"));
    // The same call comes to the same.
    let again = call::<Arguments>(&texts, folder.path()).run().unwrap();
    assert_eq!(again.run("fixed").unwrap().bits_per_byte, fixed.bits_per_byte);

    let error = |texts: &str| call::<Arguments>(texts, folder.path()).run().unwrap_err().to_string();
    assert!(error(&texts.replace("verse.txt", "worse.txt")).contains("worse.txt"));
    assert!(error(&format!("--text prose={prose}")).contains("two times"));
    let table = file(folder.path(), "other.csv", "words\nhello\n");
    assert!(error(&format!("{texts} --text other={table}")).contains("text"));
    assert!(refused::<Arguments>("--text prose").contains("NAME=PATH"));
    assert!(refused::<Arguments>("--mixtures fixed,best").contains("best"));
    assert!(refused::<Arguments>("--help").contains("--text plays=shakespeare.txt"));
}

#[test]
fn the_built_in_texts_need_no_path() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let outcome = call::<Arguments>("--steps 2 --batch 4", folder.path()).run().unwrap();
    assert_eq!(outcome.domains, ["cicero", "pages", "code"]);
    assert!(outcome.text().contains("PLANTED"));
}
