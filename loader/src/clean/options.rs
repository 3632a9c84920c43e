//! Strict reading of one operator's options: an unknown key, a wrong type or an unknown word is refused, with the
//! nearest known name.
//!
//! A small serde deserialiser over [`toml::Value`] with its own error, because serde hands the known names to the
//! error type and to nothing else. It knows nothing of operators.

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, Visitor,
    value::{SeqDeserializer, StringDeserializer},
};
use std::fmt;
use toml::{Table, Value};

/// Reads a `T` out of `table`. `also` are keys that were taken out before, so that they are suggested too.
pub(super) fn read<T: DeserializeOwned>(table: Table, also: &[&str]) -> Result<T, String> {
    T::deserialize(Reader(Value::Table(table))).map_err(|fault| match fault {
        Fault::UnknownKey(key, known) => {
            let known: Vec<&str> = known.iter().chain(also).copied().collect();
            format!("unknown option `{}`{}", cut(&key), advice(&key, &known))
        }
        Fault::Value(what) => what,
    })
}

/// What to do about an unknown name: the nearest of `known`, or all of them where none is near.
pub(super) fn advice(name: &str, known: &[&str]) -> String {
    // The measure costs the product of the lengths, so a name of hostile length is compared by its beginning.
    let distance = |other: &str| strsim::damerau_levenshtein(&cut(name).to_lowercase(), other);
    let nearest = known.iter().map(|other| (distance(other), *other)).min_by_key(|(distance, _)| *distance);
    match nearest {
        Some((distance, other)) if distance <= 1.max(other.chars().count() / 2) => format!("; did you mean `{other}`?"),
        Some(_) => format!("; known here: `{}`", known.join("`, `")),
        None => "; none is known here".to_owned(),
    }
}

/// The beginning of `name`, as much as a message can bear.
pub(super) fn cut(name: &str) -> &str {
    const LONGEST: usize = 64;
    name.char_indices().nth(LONGEST).map_or(name, |(end, _)| &name[..end])
}

#[derive(Debug)]
enum Fault {
    UnknownKey(String, &'static [&'static str]),
    Value(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::UnknownKey(what, _) | Self::Value(what)) = self;
        f.write_str(what)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::Value(what.to_string())
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownKey(key.to_owned(), known)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::Value(format!("unknown word \"{}\"{}", cut(word), advice(word, known)))
    }

    fn missing_field(key: &'static str) -> Self {
        Self::Value(format!("the option `{key}` is missing"))
    }
}

/// One TOML value on its way into a type.
struct Reader(Value);

impl<'de> IntoDeserializer<'de, Fault> for Reader {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Reader {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(truth) => visitor.visit_bool(truth),
            Value::Datetime(time) => visitor.visit_string(time.to_string()),
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Reader))),
            Value::Table(table) => visitor.visit_map(Entries { rest: table.into_iter(), open: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(word) => visitor.visit_enum(StringDeserializer::<Fault>::new(word)),
            other => Err(Fault::Value(format!("expected one of `{}`, found {}", known.join("`, `"), other.type_str()))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// A table's entries; a fault in a value is told with its key.
struct Entries {
    rest: <Table as IntoIterator>::IntoIter,
    open: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.open = self.rest.next();
        let Some((key, _)) = &self.open else { return Ok(None) };
        seed.deserialize(StringDeserializer::<Fault>::new(key.clone())).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (key, value) = self.open.take().ok_or_else(|| de::Error::custom("a value without its key"))?;
        seed.deserialize(Reader(value)).map_err(|fault| match fault {
            Fault::Value(what) => Fault::Value(format!("option `{}`: {what}", cut(&key))),
            unknown @ Fault::UnknownKey(..) => unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
        DarkGreen,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Options {
        size: u64,
        colour: Option<Colour>,
        #[serde(default)]
        names: Vec<String>,
    }

    fn parse(text: &str) -> Result<Options, String> {
        read(text.parse().expect("the test's TOML"), &["action"])
    }

    #[test]
    fn options_are_read() {
        let options = parse("size = 3\ncolour = 'dark_green'\nnames = ['a', 'b']");
        let names = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(options, Ok(Options { size: 3, colour: Some(Colour::DarkGreen), names }));
    }

    #[test]
    fn an_unknown_option_names_the_nearest_known_one() {
        let error = parse("size = 3\ncolor = 'red'").expect_err("color is no option");
        assert_eq!(error, "unknown option `color`; did you mean `colour`?");
        let error = parse("size = 3\nactoin = 'drop'").expect_err("actoin is no option");
        assert_eq!(error, "unknown option `actoin`; did you mean `action`?");
        let error = parse("size = 3\nquixotic = 1").expect_err("quixotic is no option");
        assert!(error.ends_with("known here: `size`, `colour`, `names`, `action`"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_told_with_its_option() {
        for (text, expected) in [
            ("size = 'big'", "option `size`: invalid type: string \"big\", expected u64"),
            ("size = -1", "option `size`: invalid value: integer `-1`, expected u64"),
            ("colour = 'red'", "the option `size` is missing"),
            ("size = 1\ncolour = 'rad'", "option `colour`: unknown word \"rad\"; did you mean `red`?"),
            ("size = 1\ncolour = 7", "option `colour`: expected one of `red`, `dark_green`, found integer"),
            ("size = 1\nnames = [1]", "option `names`: invalid type: integer `1`, expected a string"),
        ] {
            assert_eq!(parse(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_name_of_hostile_length_is_cut() {
        let error = parse(&format!("size = 1\n{} = 1", "x".repeat(1 << 20))).expect_err("no such option");
        assert!(error.len() < 300, "{}", error.len());
    }
}
