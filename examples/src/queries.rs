//! GENERATED questions to a bank, put together from phrases: what `text_classification` runs on without a path.
//!
//! They are far easier than what people write. Real ones are given by path.

use crate::{dirt::Rows, sample::Sample};
use arrow::datatypes::{DataType, Field, FieldRef};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What is asked, in a few ways for each of the classes.
const INTENTS: [[&str; 4]; 10] = [
    ["my card has not come", "where is the card that I ordered", "the new card is late", "no card in the post yet"],
    ["I lost my card", "my card was stolen", "somebody took my card", "my card is gone and I need it blocked"],
    ["the machine kept my card", "the cash machine swallowed my card", "my card is stuck", "the machine ate it"],
    ["I forgot my code", "my pin is wrong", "how do I change my pin", "the code for my card does not work"],
    ["what is the exchange rate", "your rate is bad", "how do you change money abroad", "the rate was not right"],
    ["I was charged twice", "the same payment shows two times", "one purchase was billed double", "a payment repeats"],
    ["my transfer has not arrived", "money I sent is missing", "the transfer is pending", "when will my transfer come"],
    ["I want my money back", "the shop has not refunded me", "where is my refund", "how do I return a payment"],
    ["how old must I be", "can my child have an account", "is there an account for minors", "may students join"],
    ["I want to close my account", "delete my account", "I am leaving your bank", "how do I end my contract"],
];
/// What is said before it.
const BEFORE: [&str; 8] =
    ["hello", "hi there", "please help", "sorry", "good morning", "I have a question", "well", "listen"];
/// What is said after it.
const AFTER: [&str; 10] = [
    "what should I do",
    "can you help",
    "since last week",
    "thanks",
    "this is urgent",
    "I am on holiday",
    "again",
    "as I told you on monday",
    "it worked before",
    "I called already",
];
/// How many classes there are.
pub const CLASSES: usize = INTENTS.len();

/// One question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// What was written.
    pub text: Option<String>,
    /// What was meant, 0 to 9.
    pub label: Option<i64>,
}

impl Sample for Query {
    const CONTENT: &'static str = "text";

    fn fields(&self) -> Vec<FieldRef> {
        vec![Arc::new(Field::new("text", DataType::Utf8, true)), Arc::new(Field::new("label", DataType::Int64, true))]
    }

    fn label(&self) -> Option<i64> {
        self.label
    }

    fn set_label(&mut self, label: Option<i64>) {
        self.label = label;
    }

    fn spoil(&mut self) {
        self.text = None;
    }

    fn is_sound(&self) -> bool {
        self.text.is_some()
    }
}

/// `count` questions with their true labels, from a seed, some words of each mistyped or left out.
#[must_use]
pub fn generate(count: usize, seed: u64) -> Rows<Query> {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 0x7175_6572);
    let mut rows = Rows { rows: Vec::new(), truth: Vec::new() };
    for _ in 0..count {
        let label = random.random_range(0..CLASSES);
        let mut pick = |phrases: &[&'static str]| phrases[random.random_range(0..phrases.len())];
        let text = [pick(&BEFORE), pick(&INTENTS[label]), pick(&AFTER), pick(&AFTER)].join(" ");
        let words: Vec<String> = text.split(' ').filter_map(|word| mistype(word, &mut random)).collect();
        rows.rows.push(Query { text: Some(words.join(" ")), label: Some(label as i64) });
        rows.truth.push(Some(label as i64));
    }
    rows
}

/// A tenth of the words is left out, and a tenth loses a letter.
fn mistype(word: &str, random: &mut ChaCha8Rng) -> Option<String> {
    match random.random_range(0..10) {
        0 => None,
        1 => {
            let lost = random.random_range(0..word.chars().count().max(1));
            Some(word.chars().enumerate().filter(|(place, _)| *place != lost).map(|(_, letter)| letter).collect())
        }
        _ => Some(word.to_owned()),
    }
}
