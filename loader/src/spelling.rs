//! What an unknown name was most likely meant to be.
//!
//! The names may be anything: keys, columns, operators, files. Both sides may come from outside, so nothing here costs
//! or prints more than a name's usual length allows.

/// What to do about an unknown name: the nearest known one, or those there are where none is near. `list` introduces
/// them: `the known keys are`.
pub(crate) fn advice(name: &str, known: &[&str], list: &str) -> String {
    if let Some(near) = nearest(name, known) {
        return format!("; did you mean `{near}`?");
    }
    if known.is_empty() {
        return "; there is none".to_owned();
    }
    format!("; {list} {}", quoted(known))
}

/// The names between backticks, or the first of them and how many more there are.
pub(crate) fn quoted(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{}`", cut(name))).collect();
    let more = names.len() - shown.len();
    format!("{}{}", shown.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
}

/// At most 60 bytes of a name that input gave, cut between characters.
pub(crate) fn cut(name: &str) -> &str {
    const SHOWN: usize = 60;
    name.get(..name.floor_char_boundary(SHOWN)).unwrap_or(name)
}

/// The known name that `name` was most likely meant to be, if any is near: at most a third of its letters changed
/// (Damerau–Levenshtein), or the one a longer or shorter form of the other. Case and `-` for `_` count for nothing.
/// Names of more than 255 bytes, the most that a file's name has, are near to none.
#[must_use]
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // The distance costs the product of the lengths.
    const LONGEST: usize = 255;
    if name.len() > LONGEST {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let name = plain(name);
    let letters = name.chars().count();
    let near = known.iter().filter(|candidate| candidate.len() <= LONGEST).filter_map(|&candidate| {
        let other = plain(candidate);
        let other_letters = other.chars().count();
        let apart = letters.abs_diff(other_letters);
        if name.len().min(other.len()) >= 3 && (name.starts_with(&other) || other.starts_with(&name)) {
            return Some((apart, candidate));
        }
        let limit = (letters.max(other_letters) / 3).max(1);
        if apart > limit {
            return None;
        }
        let distance = strsim::damerau_levenshtein(&name, &other);
        (distance <= limit && distance < letters).then_some((distance, candidate))
    });
    near.min_by_key(|&(distance, _)| distance).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_near_is_not_guessed() {
        assert_eq!(nearest("shuffle", &["size", "drop_last"]), None);
        assert_eq!(nearest("op", &["option"]), None);
        assert_eq!(nearest("", &["a"]), None);
        assert_eq!(nearest(&"x".repeat(100_000), &["xxx"]), None);
    }

    #[test]
    fn of_names_apart_the_nearest_is_meant() {
        assert_eq!(nearest("LABLE", &["text", "label", "table"]), Some("label"));
        assert_eq!(nearest("labels", &["text", "label"]), Some("label"));
        assert_eq!(nearest("trian.jsonl", &["b.parquet", "train.jsonl"]), Some("train.jsonl"));
        let (wanted, there) = (format!("{}-0", "a".repeat(200)), format!("{}-1", "a".repeat(200)));
        assert_eq!(nearest(&wanted, &["b", &there]), Some(&*there), "a file's name may be long");
    }

    #[test]
    fn where_none_is_near_all_are_listed_as_far_as_a_message_can_bear() {
        assert_eq!(advice("x", &[], "the known keys are"), "; there is none");
        assert_eq!(advice("x", &["left", "right"], "the known keys are"), "; the known keys are `left`, `right`");
        let long = "é".repeat(1000);
        let many: Vec<&str> = std::iter::repeat_n(&*long, 1000).collect();
        let advice = advice("x", &many, "there are");
        assert!(advice.ends_with("` and 988 more") && advice.len() < 1000, "{advice}");
    }

    proptest! {
        #[test]
        fn one_slip_in_a_name_is_understood(index in 0_usize..4, at in 0_usize..20, slip in 0..3) {
            const KNOWN: [&str; 4] = ["columns", "feedback_lag", "on_bad_block", "memory"];
            let mut name: Vec<char> = KNOWN[index].chars().collect();
            let at = at % name.len();
            match slip {
                0 => { name.remove(at); }
                1 => name.insert(at, 'q'),
                _ => name[at] = 'q',
            }
            let name: String = name.into_iter().collect();
            prop_assert_eq!(nearest(&name, &KNOWN), Some(KNOWN[index]));
        }
    }
}
