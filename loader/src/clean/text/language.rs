//! `language`: the language of a text by its trigrams, and its script (whatlang; 70 languages).

use super::{
    filter::{Filter, Row, at_least_zero, on_column},
    words::Word,
};
use crate::{
    clean::{
        Rule,
        spec::{Built, Settings},
    },
    spelling::advice,
};
use serde::Deserialize;
use whatlang::{Lang, Script};

pub(in crate::clean) const NAME: &str = "language";

/// How much of a text is looked at, in bytes.
const LOOKED_AT: usize = 16 << 10;

/// Languages by their two-letter codes (ISO 639-1), where they have one.
const SHORT: [(&str, Lang); 40] = [
    ("ar", Lang::Ara),
    ("bg", Lang::Bul),
    ("bn", Lang::Ben),
    ("ca", Lang::Cat),
    ("cs", Lang::Ces),
    ("da", Lang::Dan),
    ("de", Lang::Deu),
    ("el", Lang::Ell),
    ("en", Lang::Eng),
    ("eo", Lang::Epo),
    ("es", Lang::Spa),
    ("et", Lang::Est),
    ("fa", Lang::Pes),
    ("fi", Lang::Fin),
    ("fr", Lang::Fra),
    ("he", Lang::Heb),
    ("hi", Lang::Hin),
    ("hr", Lang::Hrv),
    ("hu", Lang::Hun),
    ("id", Lang::Ind),
    ("it", Lang::Ita),
    ("ja", Lang::Jpn),
    ("ko", Lang::Kor),
    ("la", Lang::Lat),
    ("lt", Lang::Lit),
    ("lv", Lang::Lav),
    ("nl", Lang::Nld),
    ("no", Lang::Nob),
    ("pl", Lang::Pol),
    ("pt", Lang::Por),
    ("ro", Lang::Ron),
    ("ru", Lang::Rus),
    ("sk", Lang::Slk),
    ("sl", Lang::Slv),
    ("sr", Lang::Srp),
    ("sv", Lang::Swe),
    ("tr", Lang::Tur),
    ("uk", Lang::Ukr),
    ("vi", Lang::Vie),
    ("zh", Lang::Cmn),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Codes of ISO 639-1 or 639-3; any where it is left out.
    #[serde(default)]
    languages: Vec<String>,
    /// Names of scripts, such as `Latin`; any where it is left out.
    #[serde(default)]
    scripts: Vec<String>,
    #[serde(default = "default_threshold")]
    threshold: f64,
}

const fn default_threshold() -> f64 {
    0.65
}

struct Language {
    /// By code, sorted.
    languages: Vec<Lang>,
    /// By name, sorted.
    scripts: Vec<Script>,
    threshold: f64,
}

pub(in crate::clean) fn build(settings: Settings<'_>) -> Result<Built, String> {
    let Options { languages, scripts, threshold } = settings.read()?;
    at_least_zero(&[("threshold", threshold)])?;
    let mut languages = languages.iter().map(|code| language(code)).collect::<Result<Vec<_>, _>>()?;
    languages.sort_unstable_by_key(Lang::code);
    languages.dedup();
    let mut scripts = scripts.iter().map(|name| script(name)).collect::<Result<Vec<_>, _>>()?;
    scripts.sort_unstable_by(|one, other| one.name().cmp(other.name()));
    scripts.dedup();
    on_column(settings, Language { languages, scripts, threshold })
}

fn language(code: &str) -> Result<Lang, String> {
    let short = SHORT.iter().find(|(short, _)| *short == code).map(|(_, language)| *language);
    short.or_else(|| Lang::from_code(code)).ok_or_else(|| {
        let known: Vec<&str> =
            SHORT.iter().map(|(short, _)| *short).chain(Lang::all().iter().map(Lang::code)).collect();
        format!("`languages` names `{code}`{}", advice(code, &known, "known are"))
    })
}

fn script(name: &str) -> Result<Script, String> {
    let known: Vec<&str> = Script::all().iter().map(Script::name).collect();
    let found = Script::all().iter().find(|script| script.name().eq_ignore_ascii_case(name));
    found.copied().ok_or_else(|| format!("`scripts` names `{name}`{}", advice(name, &known, "known are")))
}

impl Filter for Language {
    const NAME: &'static str = NAME;
    type Scratch = ();

    fn options(&self) -> String {
        let languages: Vec<&str> = self.languages.iter().map(Lang::code).collect();
        let scripts: Vec<&str> = self.scripts.iter().map(Script::name).collect();
        format!("languages = {languages:?}, scripts = {scripts:?}, threshold = {:?}", self.threshold)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![
            Rule::plain("no_language"),
            Rule::plain("script"),
            Rule::plain("language"),
            Rule::at_least("language_score"),
        ]
    }

    fn judge(&self, text: &str, _: &[Word], (): &mut (), row: &mut Row<'_>) {
        let text = &text[..text.floor_char_boundary(LOOKED_AT)];
        let Some(found) = whatlang::detect(text) else { return row.add(0) };
        if !self.scripts.is_empty() && !self.scripts.contains(&found.script()) {
            row.add(1);
        }
        if !self.languages.is_empty() && !self.languages.contains(&found.lang()) {
            row.measured(2, found.confidence(), None);
        } else {
            row.hold(3, found.confidence(), self.threshold);
        }
    }
}
