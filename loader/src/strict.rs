//! Strict reading of TOML tables: an unknown key, a wrong type or an unknown variant is an error that names its place,
//! what was expected and the nearest known name.
//!
//! A small serde deserializer over [`toml::Value`] with its own error. It knows nothing of recipes: any type that
//! derives `Deserialize` with `deny_unknown_fields` can be read, an operator's or a policy's options among them. A date
//! or time is read as its text.

mod fault;

use crate::{Error, spelling::quoted};
use fault::{Fault, Step};
use serde::de::{
    self, DeserializeOwned, Deserializer, Expected, MapAccess, SeqAccess, Unexpected, Visitor, value::StrDeserializer,
};
use std::fmt;
use toml::{Table, Value};

pub use crate::spelling::nearest;

/// Reads a `T` out of `table`. `path` opens every message: the recipe's file, or a place within it
/// (`recipe.toml: in [[clean]] 2`).
///
/// # Errors
///
/// [`Error::Recipe`] where a key is unknown, is missing, or holds something else than `T` expects.
pub fn from_table<T: DeserializeOwned>(path: &str, table: &Table) -> Result<T, Error> {
    read(table).map_err(|fault| fault.at(path))
}

/// As [`from_table`], with the fault itself, for a reader that has more to say.
pub(crate) fn read<T: DeserializeOwned>(table: &Table) -> Result<T, Fault> {
    T::deserialize(TableReader(table))
}

/// Reads one value.
#[derive(Clone, Copy)]
struct ValueReader<'a>(&'a Value);

/// Reads one table.
#[derive(Clone, Copy)]
struct TableReader<'a>(&'a Table);

impl<'de> Deserializer<'de> for TableReader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(Entries { rest: self.0.iter(), value: None })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        drop(visitor);
        Err(de::Error::invalid_type(Unexpected::Map, &OneOf(variants)))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> Deserializer<'de> for ValueReader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(text) => visitor.visit_str(text),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Datetime(date) => visitor.visit_string(date.to_string()),
            Value::Array(items) => visitor.visit_seq(Items { rest: items.iter().enumerate() }),
            Value::Table(table) => TableReader(table).deserialize_any(visitor),
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
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(text) => StrDeserializer::new(text).deserialize_enum(name, variants, visitor),
            other => Err(de::Error::invalid_type(unexpected(other), &OneOf(variants))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// What an enum expects.
struct OneOf(&'static [&'static str]);

impl Expected for OneOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", quoted(self.0))
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::String(text) => Unexpected::Str(text),
        Value::Integer(value) => Unexpected::Signed(*value),
        Value::Float(value) => Unexpected::Float(*value),
        Value::Boolean(value) => Unexpected::Bool(*value),
        Value::Datetime(_) => Unexpected::Other("a date or time"),
        Value::Array(_) => Unexpected::Seq,
        Value::Table(_) => Unexpected::Map,
    }
}

struct Entries<'a> {
    rest: toml::map::Iter<'a, String, Value>,
    value: Option<(&'a String, &'a Value)>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some((key, value));
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, value)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(ValueReader(value)).map_err(|fault| fault.inside(Step::Key(key.to_owned())))
    }
}

struct Items<'a> {
    rest: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some((index, value)) = self.rest.next() else { return Ok(None) };
        seed.deserialize(ValueReader(value)).map(Some).map_err(|fault| fault.inside(Step::Item(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Options {
        column: Option<String>,
        columns: Vec<String>,
        min_words: u32,
        small: i8,
        share: f64,
        strict: bool,
        action: Action,
        inner: BTreeMap<String, Inner>,
        list: Vec<Inner>,
        since: Option<String>,
        any: Option<Value>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Action {
        #[default]
        Drop,
        Weigh,
        Annotate,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        depth: u8,
    }

    fn options(text: &str) -> Result<Options, String> {
        from_table("recipe.toml: in [[clean]] 2", &toml::from_str(text).unwrap()).map_err(|error| error.to_string())
    }

    fn message(text: &str) -> String {
        let message = options(text).unwrap_err();
        message.strip_prefix("recipe.toml: in [[clean]] 2: ").expect(&message).to_owned()
    }

    #[test]
    fn what_fits_is_read() {
        let read = options(
            "column = 'text'\ncolumns = ['a', 'b']\nmin_words = 50\nsmall = -3\nshare = 1\nstrict = true\naction = 'weigh'\n\
             since = 2024-02-29\nany = { when = 1979-05-27T07:32:00Z, list = [1, 2.5] }\n[inner.x]\ndepth = 255\n[[list]]\ndepth = 0",
        )
        .unwrap();
        let expected = Options {
            column: Some("text".into()),
            columns: vec!["a".into(), "b".into()],
            min_words: 50,
            small: -3,
            share: 1.0,
            strict: true,
            action: Action::Weigh,
            inner: BTreeMap::from([("x".into(), Inner { depth: 255 })]),
            list: vec![Inner { depth: 0 }],
            since: Some("2024-02-29".into()),
            any: Some(toml::from_str::<Table>("when = '1979-05-27T07:32:00Z'\nlist = [1, 2.5]").unwrap().into()),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn an_unknown_key_names_its_place_and_the_nearest_known_one() {
        assert_eq!(message("mim_words = 1"), "unknown key `mim_words`; did you mean `min_words`?");
        assert_eq!(message("Min-Words = 1"), "unknown key `Min-Words`; did you mean `min_words`?");
        assert_eq!(message("col = 'text'"), "unknown key `col`; did you mean `column`?");
        assert_eq!(
            message("[inner.x]\ndepth = 1\nwidth = 2"),
            "in [inner.x]: unknown key `width`; the known keys are `depth`"
        );
        assert_eq!(
            message("[[list]]\ndepth = 1\n[[list]]\ndept = 2"),
            "in [[list]] 2: unknown key `dept`; did you mean `depth`?"
        );
        let long = "x".repeat(100_000);
        assert!(message(&format!("{long} = 1")).len() < 300);
    }

    #[test]
    fn a_missing_key_names_its_place() {
        assert_eq!(message("[inner.x]"), "in [inner.x]: missing key `depth`");
    }

    #[test]
    fn a_wrong_type_says_what_was_expected_and_what_was_found() {
        for (text, expected) in [
            ("column = 3", "`column`: expected a string, found the number 3"),
            ("columns = 'a'", "`columns`: expected an array, found the string \"a\""),
            ("columns = ['a', 1.5]", "`columns`, item 2: expected a string, found the number 1.5"),
            (
                "min_words = 'two'",
                "`min_words`: expected a whole number from 0 to 4294967295, found the string \"two\"",
            ),
            ("min_words = -1", "`min_words`: expected a whole number from 0 to 4294967295, found the number -1"),
            (
                "min_words = 4294967296",
                "`min_words`: expected a whole number from 0 to 4294967295, found the number 4294967296",
            ),
            ("min_words = 2.0", "`min_words`: expected a whole number from 0 to 4294967295, found the number 2.0"),
            ("small = 128", "`small`: expected a whole number from -128 to 127, found the number 128"),
            ("share = true", "`share`: expected a number, found true"),
            ("strict = 1", "`strict`: expected true or false, found the number 1"),
            ("strict = []", "`strict`: expected true or false, found an array"),
            ("strict = 2024-02-29", "`strict`: expected true or false, found the string \"2024-02-29\""),
            ("inner = 3", "`inner`: expected a table, found the number 3"),
            ("inner.x = 3", "in [inner]: `x`: expected a table, found the number 3"),
            ("list = [3]", "`list`, item 1: expected a table, found the number 3"),
            (
                "list = [{ depth = 'a' }]",
                "in [[list]] 1: `depth`: expected a whole number from 0 to 255, found the string \"a\"",
            ),
            ("action = {}", "`action`: expected one of `drop`, `weigh`, `annotate`, found a table"),
            ("action = 1", "`action`: expected one of `drop`, `weigh`, `annotate`, found the number 1"),
        ] {
            assert_eq!(message(text), expected);
        }
        assert!(message(&format!("min_words = '{}'", "é".repeat(1000))).ends_with("éé\" …"));
    }

    #[test]
    fn an_unknown_value_names_the_nearest_known_one() {
        assert_eq!(message("action = 'weight'"), "`action`: unknown value \"weight\"; did you mean `weigh`?");
        assert_eq!(
            message("action = 'shout'"),
            "`action`: unknown value \"shout\"; the known values are `drop`, `weigh`, `annotate`"
        );
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    #[test]
    fn keys_that_were_taken_out_before_are_known_too_and_only_where_they_stood() {
        let fault = |text: &str| {
            let fault = read::<Options>(&toml::from_str(text).unwrap()).unwrap_err();
            fault.beside(&["workers"]).to_string()
        };
        assert_eq!(fault("wrokers = 1"), "unknown key `wrokers`; did you mean `workers`?");
        assert!(fault("quixotic = 1").ends_with("`any`, `workers`"), "{}", fault("quixotic = 1"));
        assert_eq!(
            fault("inner.x.wrokers = 1"),
            "in [inner.x]: unknown key `wrokers`; the known keys are `depth`",
            "another table has other keys"
        );
        assert_eq!(fault("share = true"), "`share`: expected a number, found true");
    }

    #[test]
    fn what_takes_no_keys_says_so() {
        let none = |text: &str| read::<Nothing>(&toml::from_str(text).unwrap()).map_err(|fault| fault.to_string());
        assert_eq!(none(""), Ok(Nothing {}));
        assert_eq!(none("floor = 1").unwrap_err(), "unknown key `floor`; no key is known here, so leave it out");
    }

    proptest! {
        #[test]
        fn reading_agrees_with_toml_itself_on_what_it_accepts(min_words in any::<i64>(), small in any::<i64>(), share in any::<f64>()) {
            let text = format!("min_words = {min_words}\nsmall = {small}\nshare = {share:?}").replace("NaN", "nan");
            let theirs = toml::from_str::<Options>(&text);
            let ours = options(&text);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        }
    }
}
