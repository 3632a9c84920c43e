//! I9: no input, however hostile, panics out of the command line, hangs it, or takes unbounded memory: it ends with
//! status 0, 1 or 2, and says why.

use crate::ARABLE;
use arable_tests::{Data, Format, Ran, bounded};
use proptest::{prelude::*, sample::Index};
use std::fs;

/// Address space of a run: a budget of 16 MiB, threads' stacks, and room to spare.
const MOST_KIB: u64 = 2 << 20;

fn run(arguments: &[&str]) -> Result<Ran, TestCaseError> {
    let ran = bounded(ARABLE, arguments, MOST_KIB);
    prop_assert!((0..=2).contains(&ran.status), "{:?}", ran);
    prop_assert!(!ran.err.contains("panicked at"), "{:?}", ran);
    let said = ran.err.lines().any(|line| line.starts_with("error: "));
    prop_assert_eq!(ran.status == 0, !said, "{:?}", ran);
    Ok(ran)
}

/// What is done to a file.
#[derive(Clone, Debug)]
enum Harm {
    /// One byte is another.
    Byte(Index, u8),
    /// Everything from here on is gone.
    Cut(Index),
    /// Some bytes come in between.
    Insert(Index, Vec<u8>),
    /// A stretch is gone.
    Remove(Index, usize),
    /// Eight bytes are a large number, such as lengths are.
    Number(Index, u64),
    /// A stretch comes once more.
    Repeat(Index, usize),
}

impl Harm {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match self {
            Self::Byte(at, byte) => bytes[at.index(length)] = *byte,
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Insert(at, more) => drop(bytes.splice(at.index(length)..at.index(length), more.iter().copied())),
            Self::Remove(at, count) => {
                let start = at.index(length);
                bytes.drain(start..(start + count).min(length));
            }
            Self::Number(at, number) => {
                let start = at.index(length);
                let end = (start + 8).min(length);
                bytes[start..end].copy_from_slice(&number.to_le_bytes()[..end - start]);
            }
            Self::Repeat(at, count) => {
                let start = at.index(length);
                let again = bytes[start..(start + count).min(length)].to_vec();
                bytes.splice(start..start, again);
            }
        }
    }
}

fn harm() -> impl Strategy<Value = Harm> {
    let number = prop_oneof![Just(u64::MAX), Just(1 << 62), Just(1 << 31), Just(u64::from(u32::MAX)), any::<u64>()];
    // What is at a file's end, footers and their lengths, decides most in the columnar formats.
    let at = || any::<Index>();
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Harm::Byte(at, byte)),
        at().prop_map(Harm::Cut),
        (at(), prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Harm::Insert(at, bytes)),
        (at(), 1_usize..200).prop_map(|(at, count)| Harm::Remove(at, count)),
        (at(), number).prop_map(|(at, number)| Harm::Number(at, number)),
        (at(), 1_usize..300).prop_map(|(at, count)| Harm::Repeat(at, count)),
    ]
}

/// Text that parsers stumble over.
fn strange_text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "\\PC{0,30}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..30),
        Just(b"{\"id\":1,\"label\":2}\n".to_vec()),
        Just(b"id,label\n1,2\n".to_vec()),
        (1_usize..20_000).prop_map(|deep| b"[".repeat(deep)),
        (1_usize..20_000).prop_map(|deep| b"{\"a\":".repeat(deep)),
        (1_usize..300_000).prop_map(|long| b"9".repeat(long)),
        (1_usize..2_000).prop_map(|wide| b",".repeat(wide)),
        Just(b"\"".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"{\"id\":1e999,\"label\":-0}\n".to_vec()),
        Just(b"{\"id\":\"\\ud800\"}\n".to_vec()),
        Just("\u{feff}".as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn walk(data: &Data, lenient: bool) -> Result<(), TestCaseError> {
    let lenient = if lenient { "on_bad_row = \"quarantine\"\non_bad_block = \"quarantine\"\n" } else { "" };
    let recipe = data.folder.path().join("hostile.toml");
    // Whatever columns the damage leaves are carried: a label would often be refused before anything is read.
    let text = format!("epochs = 2\n[dataset]\nurl = '{}'\n[stream]\nmemory = \"16MiB\"\n{lenient}", data.url());
    fs::write(&recipe, text).unwrap();
    let recipe = recipe.display().to_string();
    let quarantine = data.folder.path().join("set-aside").display().to_string();
    let arguments = ["stream", &recipe, "--json", "--quarantine", &quarantine];
    let ran = run(&arguments)?;
    if ran.status == 0 {
        let rows = &ran.json()["rows"];
        let dropped: u64 = rows["dropped"].as_object().unwrap().values().map(|rows| rows.as_u64().unwrap()).sum();
        let parts = rows["kept"].as_u64().unwrap() + dropped + rows["quarantined"].as_u64().unwrap();
        prop_assert_eq!(rows["read"].as_u64().unwrap(), parts);
    }
    run(&["inspect", &data.url(), "--quiet"])?;
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_of_any_format_ends_a_run_in_order(
        harms in prop::collection::vec(harm(), 1..4),
        near_the_end: bool,
        lenient: bool,
    ) {
        for format in Format::ALL {
            let data = Data::new(format, 2, 40, 10);
            let path = data.shard(1);
            let mut bytes = fs::read(&path).unwrap();
            let mut tail = if near_the_end { bytes.split_off(bytes.len() - bytes.len().min(200)) } else { Vec::new() };
            harms.iter().for_each(|harm| harm.apply(if near_the_end { &mut tail } else { &mut bytes }));
            bytes.extend(tail);
            fs::write(&path, bytes).unwrap();
            walk(&data, lenient)?;
        }
    }

    #[test]
    fn bytes_that_are_no_file_of_their_format_end_a_run_in_order(text in strange_text(), lenient: bool) {
        for format in Format::ALL {
            let data = Data::new(format, 2, 40, 10);
            fs::write(data.shard(0), &text).unwrap();
            walk(&data, lenient)?;
        }
    }

    #[test]
    fn a_strange_recipe_or_state_is_refused_in_order(text in strange_text(), harms in prop::collection::vec(harm(), 1..4)) {
        let data = Data::new(Format::Jsonl, 1, 20, 0);
        let file = |name: &str| data.folder.path().join(name).display().to_string();
        fs::write(file("strange.toml"), &text).unwrap();
        prop_assert_ne!(run(&["stream", &file("strange.toml")])?.status, 0);
        let recipe = data.recipe("", "").display().to_string();
        prop_assert_eq!(run(&["stream", &recipe, "--stop-after", "1", "--quiet", "--save-state", &file("state")])?.status, 0);
        let mut state = fs::read(file("state")).unwrap();
        let before = state.clone();
        harms.iter().for_each(|harm| harm.apply(&mut state));
        fs::write(file("state"), &state).unwrap();
        let ran = run(&["stream", &recipe, "--resume", &file("state"), "--quiet"])?;
        prop_assert_eq!(ran.status == 0, state == before, "{:?}", ran);
    }
}
