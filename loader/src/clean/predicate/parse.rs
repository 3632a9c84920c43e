//! From the text of a condition to its tree. It knows neither schemas nor rows.

use super::Value;
use regex::Regex;
use std::cmp::Ordering;

/// The most parentheses, `not`s and the like within one another.
const DEEPEST: usize = 64;
/// The longest condition, in bytes.
const LONGEST: usize = 64 << 10;

/// A condition that a row fulfils or not.
#[derive(Debug)]
pub(super) enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Is(Operand, Test),
}

/// What is asked of an operand.
#[derive(Debug)]
pub(super) enum Test {
    Null,
    True,
    Compared(Comparison, Operand),
    In(Vec<Operand>),
    Like(Regex),
}

#[derive(Debug)]
pub(super) enum Operand {
    /// A column, by its number among those named.
    Column(usize),
    /// The length of a text column, in code points.
    Length(usize),
    Value(Value<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Comparison {
    pub(super) const fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A name or keyword, as written.
    Word(String),
    /// A name in double quotes or backquotes, never a keyword.
    Name(String),
    Value(Value<String>),
    Comparison(Comparison),
    Open,
    Close,
    Comma,
}

/// The condition that `text` says, and the columns that it names, in order.
pub(super) fn parse(text: &str) -> Result<(Condition, Vec<String>), String> {
    if text.len() > LONGEST {
        return Err(format!("a condition of {} bytes; {LONGEST} are the most", text.len()));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, columns: Vec::new(), depth: 0 };
    let condition = parser.any()?;
    match parser.tokens.get(parser.at) {
        None => Ok((condition, parser.columns)),
        Some((at, _)) => Err(format!("expected `and`, `or` or the end at `{}`", near(text, *at))),
    }
}

/// The text from `at` on, cut short.
fn near(text: &str, at: usize) -> String {
    text.get(at..).unwrap_or_default().chars().take(24).collect()
}

/// The tokens, each with the byte at which it begins.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '\'' | '"' | '`' => {
                let (inner, length) = quoted(rest, first)
                    .ok_or_else(|| format!("{first} is opened and never closed, at `{}`", near(text, at)))?;
                let is_text = first == '\'';
                (if is_text { Token::Value(Value::Text(inner)) } else { Token::Name(inner) }, length)
            }
            '0'..='9' | '-' | '+' | '.' => number(rest).ok_or_else(|| format!("no number at `{}`", near(text, at)))?,
            _ if first.is_alphabetic() || first == '_' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
                let word = &rest[..end];
                let token = match word.to_ascii_lowercase().as_str() {
                    "true" => Token::Value(Value::Boolean(true)),
                    "false" => Token::Value(Value::Boolean(false)),
                    "null" => Token::Value(Value::Null),
                    _ => Token::Word(word.to_owned()),
                };
                (token, end)
            }
            _ => {
                let known = [
                    ("==", Comparison::Equal),
                    ("!=", Comparison::NotEqual),
                    ("<>", Comparison::NotEqual),
                    ("<=", Comparison::AtMost),
                    (">=", Comparison::AtLeast),
                    ("=", Comparison::Equal),
                    ("<", Comparison::Less),
                    (">", Comparison::Greater),
                ];
                let found = known.iter().find(|(sign, _)| rest.starts_with(sign));
                let (sign, comparison) = found.ok_or_else(|| format!("nothing is known at `{}`", near(text, at)))?;
                (Token::Comparison(*comparison), sign.len())
            }
        };
        tokens.push((at, token));
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// What stands in the quotes that `text` begins with, a doubled quote being one, and the length of it all.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut inner = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if character != quote {
            inner.push(character);
        } else if characters.next_if(|&(_, next)| next == quote).is_some() {
            inner.push(quote);
        } else {
            return Some((inner, at + 1));
        }
    }
    None
}

/// The number that `text` begins with: an integer of 64 bits, signed or not, or a float.
fn number(text: &str) -> Option<(Token, usize)> {
    let mut before = ' ';
    let end = text
        .find(|c: char| {
            let exponent = matches!(before, 'e' | 'E');
            let sign = matches!(c, '+' | '-') && (exponent || before == ' ');
            before = c;
            !(c.is_alphanumeric() || c == '.' || c == '_' || sign)
        })
        .unwrap_or(text.len());
    let digits = text[..end].replace('_', "");
    let integer = digits.parse::<i128>().ok().filter(|number| (i64::MIN.into()..=u64::MAX.into()).contains(number));
    let value = match integer {
        Some(integer) => Value::Integer(integer),
        // Rust would read names such as `inf` too, but a number begins with a digit here.
        None => Value::Float(digits.parse::<f64>().ok().filter(|number| number.is_finite())?),
    };
    Some((Token::Value(value), end))
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    columns: Vec<String>,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    /// Steps over the keyword `word`, in any capitals, if it is next.
    fn keyword(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        self.at += usize::from(is_next);
        is_next
    }

    fn sign(&mut self, token: &Token) -> bool {
        let is_next = self.peek() == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.all()?];
        while self.keyword("or") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.negated()?];
        while self.keyword("and") {
            parts.push(self.negated()?);
        }
        Ok(one_or(parts, Condition::All))
    }

    fn negated(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("more than {DEEPEST} conditions within one another"));
        }
        let condition = if self.keyword("not") {
            Condition::Not(Box::new(self.negated()?))
        } else if self.sign(&Token::Open) {
            let inner = self.any()?;
            if !self.sign(&Token::Close) {
                return Err("a `(` without its `)`".to_owned());
            }
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn test(&mut self) -> Result<Condition, String> {
        let operand = self.operand()?;
        if let Some(&Token::Comparison(comparison)) = self.peek() {
            self.at += 1;
            let other = self.operand()?;
            return Ok(Condition::Is(operand, Test::Compared(comparison, other)));
        }
        if self.keyword("is") {
            let negated = self.keyword("not");
            if !self.sign(&Token::Value(Value::Null)) {
                return Err("`is` must be followed by `null` or `not null`".to_owned());
            }
            return Ok(negate(negated, Condition::Is(operand, Test::Null)));
        }
        let negated = self.keyword("not");
        if self.keyword("in") {
            let values = self.values()?;
            return Ok(negate(negated, Condition::Is(operand, Test::In(values))));
        }
        if self.keyword("like") {
            let pattern = self.pattern("like")?;
            return Ok(negate(negated, Condition::Is(operand, Test::Like(like(&pattern)?))));
        }
        if self.keyword("matches") {
            let pattern = self.pattern("matches")?;
            let pattern = Regex::new(&pattern).map_err(|error| error.to_string())?;
            return Ok(negate(negated, Condition::Is(operand, Test::Like(pattern))));
        }
        if negated {
            return Err("`not` must be followed by `in`, `like` or `matches` here".to_owned());
        }
        Ok(Condition::Is(operand, Test::True))
    }

    fn values(&mut self) -> Result<Vec<Operand>, String> {
        if !self.sign(&Token::Open) {
            return Err("`in` must be followed by values in parentheses".to_owned());
        }
        let mut values = Vec::new();
        loop {
            match self.peek() {
                Some(Token::Value(value)) => values.push(Operand::Value(value.clone())),
                _ => return Err("`in` takes values: numbers, texts in single quotes, `true`, `false`".to_owned()),
            }
            self.at += 1;
            if self.sign(&Token::Close) {
                return Ok(values);
            }
            if !self.sign(&Token::Comma) {
                return Err("the values of `in` are parted by commas and end with `)`".to_owned());
            }
        }
    }

    fn pattern(&mut self, keyword: &str) -> Result<String, String> {
        match self.peek() {
            Some(Token::Value(Value::Text(pattern))) => {
                let pattern = pattern.clone();
                self.at += 1;
                Ok(pattern)
            }
            _ => Err(format!("`{keyword}` must be followed by a pattern in single quotes")),
        }
    }

    fn operand(&mut self) -> Result<Operand, String> {
        let (token, before) = (self.peek().cloned(), self.at);
        self.at += 1;
        match token {
            Some(Token::Value(value)) => Ok(Operand::Value(value)),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("length") && self.sign(&Token::Open) => {
                let operand = self.operand()?;
                match operand {
                    Operand::Column(column) if self.sign(&Token::Close) => Ok(Operand::Length(column)),
                    _ => Err("`length` takes one column: `length(text)`".to_owned()),
                }
            }
            Some(Token::Word(name) | Token::Name(name)) => Ok(Operand::Column(self.column(name))),
            None => Err("it ends where a column or a value is expected".to_owned()),
            Some(token) => {
                self.at = before;
                Err(format!("expected a column or a value, found {}", named(&token)))
            }
        }
    }

    fn column(&mut self, name: String) -> usize {
        let known = self.columns.iter().position(|known| *known == name);
        known.unwrap_or_else(|| {
            self.columns.push(name);
            self.columns.len() - 1
        })
    }
}

const fn named(token: &Token) -> &'static str {
    match token {
        Token::Open => "`(`",
        Token::Close => "`)`",
        Token::Comma => "`,`",
        Token::Comparison(_) => "a comparison",
        Token::Word(_) | Token::Name(_) => "a name",
        Token::Value(_) => "a value",
    }
}

fn negate(negated: bool, condition: Condition) -> Condition {
    if negated { Condition::Not(Box::new(condition)) } else { condition }
}

fn one_or(mut parts: Vec<Condition>, several: fn(Vec<Condition>) -> Condition) -> Condition {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            several(parts)
        }
    }
}

/// SQL's pattern, of which `%` stands for any characters and `_` for one, as an expression over the whole text.
fn like(pattern: &str) -> Result<Regex, String> {
    let mut expression = String::from("(?s)^");
    let mut buffer = [0; 4];
    for character in pattern.chars() {
        match character {
            '%' => expression.push_str(".*"),
            '_' => expression.push('.'),
            other => expression.push_str(&regex::escape(other.encode_utf8(&mut buffer))),
        }
    }
    expression.push('$');
    Regex::new(&expression).map_err(|error| error.to_string())
}
