//! What an unknown name was most likely meant to be.

/// What to do about an unknown name: the nearest known one, or all of them where none is near.
pub(super) fn advice(name: &str, known: &[&str], list: &str) -> String {
    if let Some(near) = nearest(name, known) {
        return format!("; did you mean `{near}`?");
    }
    if known.is_empty() {
        return "; none is known here".to_owned();
    }
    let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("; {list} {}", names.join(", "))
}

/// The known name that `name` was most likely meant to be, if any is near: at most a third of its letters changed
/// (Damerau–Levenshtein), or the one a longer or shorter form of the other. Case and `-` for `_` count for nothing.
#[must_use]
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    let name = plain(name);
    let near = known.iter().filter_map(|&candidate| {
        let other = plain(candidate);
        let distance = strsim::damerau_levenshtein(&name, &other);
        let limit = (name.chars().count().max(other.chars().count()) / 3).max(1);
        let contained = name.len().min(other.len()) >= 3 && (name.starts_with(&other) || other.starts_with(&name));
        (distance <= limit && distance < name.chars().count() || contained).then_some((distance, candidate))
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
        assert_eq!(advice("x", &[], "the known keys are"), "; none is known here");
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
