//! Repairing one text: what is repaired, in which order, and what was found to repair.
//!
//! The order and the meaning of each step are ftfy's (6.3.1, `fix_text`), and where the same steps are chosen the
//! outcome is the same. A text is repaired line by line, so that a line in one encoding does not hide another, and a
//! line in pieces of at most a million characters, so that time grows with the text.

use super::{
    entities,
    mojibake::{read_controls, repair_encoding},
};
use regex::Regex;
use serde::Deserialize;
use std::{borrow::Cow, sync::LazyLock};
use unicode_normalization::{
    IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick,
};

/// The most characters that are repaired as one piece.
const MOST_CHARACTERS: usize = 1_000_000;

/// After so many rounds a piece is left as it is. Each round ends what it finds, so that a second one changes little and
/// a third nothing.
const MOST_ROUNDS: usize = 16;

/// A normal form of Unicode (UAX #15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    None,
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
}

/// Whether HTML's character references are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entities {
    Never,
    /// As long as no `<` was seen: text with tags means what it says.
    Auto,
    Always,
}

/// What is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Repairs {
    pub(super) form: Form,
    pub(super) mojibake: bool,
    pub(super) entities: Entities,
    pub(super) controls: bool,
    pub(super) terminal_escapes: bool,
    pub(super) zero_width: bool,
    pub(super) ligatures: bool,
    pub(super) width: bool,
    pub(super) quotes: bool,
    pub(super) line_breaks: bool,
}

impl Default for Repairs {
    fn default() -> Self {
        Self {
            form: Form::Nfc,
            mojibake: true,
            entities: Entities::Auto,
            controls: true,
            terminal_escapes: true,
            zero_width: false,
            ligatures: false,
            width: false,
            quotes: false,
            line_breaks: false,
        }
    }
}

/// What was found to repair, in the order in which a text is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    Entities,
    Mojibake,
    /// Ligatures, widths, quotes or line breaks.
    Typography,
    /// Control characters, terminal escapes or characters of no width.
    Controls,
    NormalForm,
}

impl Found {
    pub(super) const ALL: [Self; 5] =
        [Self::Entities, Self::Mojibake, Self::Typography, Self::Controls, Self::NormalForm];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Entities => "entities",
            Self::Mojibake => "mojibake",
            Self::Typography => "typography",
            Self::Controls => "control_characters",
            Self::NormalForm => "normal_form",
        }
    }
}

/// A text that needed repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repaired {
    pub(super) text: String,
    /// How many of the text's pieces (lines) each step changed, as [`Found::ALL`].
    pub(super) found: [u32; Found::ALL.len()],
}

static TERMINAL_ESCAPE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("\x1b\\[[0-9;]*[a-zA-Z]").ok());

impl Repairs {
    /// `text` repaired; `None` if it needs no repair.
    pub(super) fn repair(mut self, text: &str) -> Option<Repaired> {
        let mut repaired: Option<String> = None;
        let mut found = [0; Found::ALL.len()];
        let mut at = 0;
        while at < text.len() {
            let piece = piece(&text[at..]);
            if self.entities == Entities::Auto && piece.contains('<') {
                self.entities = Entities::Never;
            }
            match self.repair_piece(piece, &mut found) {
                Cow::Borrowed(_) => {
                    if let Some(repaired) = &mut repaired {
                        repaired.push_str(piece);
                    }
                }
                Cow::Owned(better) => {
                    repaired.get_or_insert_with(|| text[..at].to_owned()).push_str(&better);
                }
            }
            at += piece.len();
        }
        repaired.map(|text| Repaired { text, found })
    }

    /// One piece repaired; borrowed if that changes nothing.
    fn repair_piece<'a>(&self, piece: &'a str, found: &mut [u32; Found::ALL.len()]) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(piece);
        let mut steps = [false; Found::ALL.len()];
        for _ in 0..MOST_ROUNDS {
            if is_plain(&text, self.line_breaks) {
                break;
            }
            let mut changed = false;
            for step in Found::ALL {
                if let Some(better) = self.step(step, &text) {
                    text = Cow::Owned(better);
                    steps[step as usize] = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        if text == piece {
            return Cow::Borrowed(piece);
        }
        for (count, step) in found.iter_mut().zip(steps) {
            *count += u32::from(step);
        }
        text
    }

    /// What a step makes of `text`; `None` if it changes nothing.
    fn step(&self, step: Found, text: &str) -> Option<String> {
        let changed = |better: String| (better != text).then_some(better);
        match step {
            Found::Entities if self.entities != Entities::Never => match entities::unescape(text) {
                Cow::Borrowed(_) => None,
                Cow::Owned(better) => changed(better),
            },
            Found::Mojibake if self.mojibake => {
                let repaired = repair_encoding(text);
                let controls = read_controls(repaired.as_deref().unwrap_or(text));
                controls.or(repaired)
            }
            Found::Typography if self.ligatures || self.width || self.quotes || self.line_breaks => {
                changed(self.typography(text))
            }
            Found::Controls => self.without_controls(text),
            Found::NormalForm => self.normal_form(text),
            _ => None,
        }
    }

    fn typography(&self, text: &str) -> String {
        let mut better = String::with_capacity(text.len());
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                _ if self.ligatures
                    && let Some(letters) = letters(character) =>
                {
                    better.push_str(letters)
                }
                '\u{3000}' if self.width => better.push(' '),
                '\u{ff01}'..='\u{ffef}' if self.width => better.extend([character].into_iter().nfkc()),
                '\u{2bc}' | '\u{2018}'..='\u{201b}' if self.quotes => better.push('\''),
                '\u{201c}'..='\u{201f}' if self.quotes => better.push('"'),
                '\r' if self.line_breaks => {
                    characters.next_if_eq(&'\n');
                    better.push('\n');
                }
                '\u{85}' | '\u{2028}' | '\u{2029}' if self.line_breaks => better.push('\n'),
                _ => better.push(character),
            }
        }
        better
    }

    fn without_controls(&self, text: &str) -> Option<String> {
        let unescaped = match TERMINAL_ESCAPE.as_ref().filter(|_| self.terminal_escapes && text.contains('\x1b')) {
            Some(escape) => escape.replace_all(text, ""),
            None => Cow::Borrowed(text),
        };
        let unwanted = |character: char| match character {
            '\0'..='\x08' | '\x0b' | '\x0e'..='\x1f' | '\x7f' => self.controls,
            '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}' => self.controls,
            '\u{200b}' | '\u{2060}' | '\u{180e}' => self.zero_width,
            _ => false,
        };
        if !unescaped.contains(unwanted) {
            return match unescaped {
                Cow::Borrowed(_) => None,
                Cow::Owned(better) => Some(better),
            };
        }
        Some(unescaped.chars().filter(|&character| !unwanted(character)).collect())
    }

    fn normal_form(&self, text: &str) -> Option<String> {
        let (quick, normal): (_, fn(&str) -> String) = match self.form {
            Form::None => return None,
            Form::Nfc => (is_nfc_quick(text.chars()), |text| text.nfc().collect()),
            Form::Nfd => (is_nfd_quick(text.chars()), |text| text.nfd().collect()),
            Form::Nfkc => (is_nfkc_quick(text.chars()), |text| text.nfkc().collect()),
            Form::Nfkd => (is_nfkd_quick(text.chars()), |text| text.nfkd().collect()),
        };
        if quick == IsNormalized::Yes {
            return None;
        }
        let normal = normal(text);
        (normal != text).then_some(normal)
    }
}

/// The first piece of `text`: a line with its end, or as much of it as is repaired at once.
fn piece(text: &str) -> &str {
    let line = match memchr::memchr(b'\n', text.as_bytes()) {
        Some(end) => &text[..=end],
        None => text,
    };
    if line.len() <= MOST_CHARACTERS {
        return line;
    }
    line.char_indices().nth(MOST_CHARACTERS).map_or(line, |(end, _)| &line[..end])
}

/// Whether no step can find anything in `text`: printable ASCII without an ampersand.
fn is_plain(text: &str, line_breaks: bool) -> bool {
    text.bytes().all(|byte| match byte {
        b' '..=b'%' | b'\''..=b'~' | b'\t' | b'\n' | b'\x0c' => true,
        b'\r' => !line_breaks,
        _ => false,
    })
}

/// The letters of a Latin ligature or digraph; those that are letters of their own, such as `æ`, are left alone.
const fn letters(ligature: char) -> Option<&'static str> {
    Some(match ligature {
        'Ĳ' => "IJ",
        'ĳ' => "ij",
        'ŉ' => "ʼn",
        'Ǳ' => "DZ",
        'ǲ' => "Dz",
        'ǳ' => "dz",
        'Ǆ' => "DŽ",
        'ǅ' => "Dž",
        'ǆ' => "dž",
        'Ǉ' => "LJ",
        'ǈ' => "Lj",
        'ǉ' => "lj",
        'Ǌ' => "NJ",
        'ǋ' => "Nj",
        'ǌ' => "nj",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' => "ſt",
        'ﬆ' => "st",
        _ => return None,
    })
}
