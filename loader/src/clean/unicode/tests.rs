use super::{
    mojibake::repair_encoding,
    repair::{Form, Found, Repairs},
};
use proptest::prelude::*;
use unicode_normalization::is_nfc;

fn repaired(text: &str) -> String {
    Repairs::default().repair(text).map_or_else(|| text.to_owned(), |repaired| repaired.text)
}

/// ftfy's own cases, where they are: `mojibake/cases.json` in the folder that `ARABLE_DATA` names.
#[test]
fn ftfys_own_cases_come_out_as_ftfy_has_them() {
    let Some(folder) = std::env::var_os("ARABLE_DATA") else {
        eprintln!("skipped: ARABLE_DATA names no folder with mojibake/cases.json");
        return;
    };
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Case {
        label: String,
        original: String,
        fixed: String,
        fixed_encoding: Option<String>,
        expect: String,
    }
    let text = std::fs::read_to_string(std::path::Path::new(&folder).join("mojibake/cases.json")).expect("the cases");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("cases");
    let all = Repairs { ligatures: true, width: true, quotes: true, line_breaks: true, ..Repairs::default() };
    for case in &cases {
        let fixed = all.repair(&case.original).map_or_else(|| case.original.clone(), |repaired| repaired.text);
        let encoding = repair_encoding(&case.original).unwrap_or_else(|| case.original.clone());
        let right = fixed == case.fixed && encoding == *case.fixed_encoding.as_ref().unwrap_or(&case.fixed);
        // One of the ten that ftfy expects to fail comes out right but for its encoding step.
        assert_eq!(right, case.expect == "pass", "{}: {encoding:?} {fixed:?}", case.label);
    }
    assert_eq!(cases.len(), 161);
}

#[test]
fn mojibake_is_undone_and_other_text_left_alone() {
    for (text, expected) in [
        ("voilÃ  le travail", "voilà le travail"),
        ("The Mona Lisa doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t have eyebrows.", "The Mona Lisa doesn’t have eyebrows."),
        ("âœ” No problems", "✔ No problems"),
        ("¿Qué? Ελληνικά, русский, 日本語", "¿Qué? Ελληνικά, русский, 日本語"),
        ("P&EACUTE;REZ &lt; 3 &#8212; &unknown; &#59;", "PÉREZ < 3 — &unknown; &#59;"),
        ("a < b &amp; c", "a < b &amp; c"),
        ("\u{1b}[36mblue\u{1b}[0m\u{0}\u{feff}", "blue"),
        ("e\u{301}", "é"),
        ("\u{0041}\u{030a}ngstro\u{0308}m", "Ångström"),
    ] {
        assert_eq!(repaired(text), expected, "{text:?}");
    }
}

#[test]
fn what_was_found_is_counted_by_line() {
    let found = Repairs::default().repair("sÃ³\nplain\nsÃ³ &eacute;\u{0}\n").expect("repairs").found;
    assert_eq!(found[Found::Mojibake as usize], 2);
    assert_eq!(found[Found::Entities as usize], 1);
    assert_eq!(found[Found::Controls as usize], 1);
    assert_eq!(Repairs::default().repair("plain\r\n"), None);
}

#[test]
fn a_text_of_nothing_but_mojibake_takes_time_in_proportion() {
    // Sequences that never come to an end, that cannot be decoded as a whole, and lines without an end.
    for unit in ["Ã", "Ãƒ", "â€", "Ã\u{a0} ", "вЂ", "\u{80}", "ï¿½?", "à ¤", "&amp;"] {
        let text = unit.repeat(200_000);
        let mixed = format!("{text}日本");
        assert!(repaired(&text).len() <= 2 * text.len() && repaired(&mixed).len() <= 2 * mixed.len());
    }
}

proptest! {
    #[test]
    fn any_text_can_be_repaired_and_is_then_in_its_form(text in "(\\PC|[\u{0}-\u{ff}]|â€|Ã.|&[a-z]{2,4};){0,60}") {
        let repaired = repaired(&text);
        prop_assert!(is_nfc(&repaired));
        let nul = repaired.contains('\u{0}');
        prop_assert!(!nul);
    }

    #[test]
    fn nothing_is_changed_where_nothing_is_asked_for(text in any::<String>()) {
        let nothing = Repairs {
            form: Form::None, mojibake: false, entities: super::repair::Entities::Never, controls: false,
            terminal_escapes: false, ..Repairs::default()
        };
        prop_assert_eq!(nothing.repair(&text), None);
    }

    #[test]
    fn mojibake_of_plain_writing_is_undone(text in "[a-zA-Z ]{0,20}(é|ü|ñ|ö|à|“x”|…|漢字){3}[a-zA-Z ]{0,20}") {
        let broken: String = text.bytes().map(char::from).collect();
        prop_assert_eq!(repair_encoding(&broken), Some(text));
    }
}
