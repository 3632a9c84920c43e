//! What spaCy takes for a web address: its regular expression (after Diego Perini's, MIT), matched by hand in linear
//! time, since the expression itself looks ahead and goes back over its tracks.

use super::characters::{Characters, DIGIT, LOWER, WORD};

/// Whether `text`, which holds no space, is a web address as a whole: an optional scheme, an optional user, a host
/// (a public IPv4 address, or labels and a lower-case top level domain), an optional port, an optional path.
pub(super) fn is_web_address(table: &Characters, text: &str) -> bool {
    // No host is without a full stop.
    if !text.contains('.') {
        return false;
    }
    let scheme = text.find("://").filter(|&end| {
        let scheme = &text[..end];
        scheme.chars().nth(1).is_some() && scheme.chars().all(|c| matches!(c, '+' | '-' | '.') || table.is(c, WORD))
    });
    let bases = [Some(0), scheme.map(|end| end + 3)];
    bases.into_iter().flatten().any(|base| is_host(table, &text[base..]))
        // A user may hold anything, so the host may stand behind any "@" that is not the first character.
        || text.match_indices('@').any(|(at, _)| at > 0 && is_host(table, &text[at + 1..]))
}

/// Whether `text` is a host, with an optional port and path.
fn is_host(table: &Characters, text: &str) -> bool {
    is_address(table, text) || is_domain(table, text)
}

/// Labels of 1 to 64 characters, each with a full stop behind it, and a top level domain of 2 to 63.
fn is_domain(table: &Characters, text: &str) -> bool {
    let mut rest = text;
    loop {
        let mut characters = 0;
        let mut end = 0;
        let mut last = ' ';
        for character in rest.chars() {
            if !(is_of_label(character) || characters > 0 && matches!(character, '_' | '-')) {
                break;
            }
            characters += 1;
            if characters > 64 {
                return false;
            }
            end += character.len_utf8();
            last = character;
        }
        if characters == 0 || !is_of_label(last) || !rest[end..].starts_with('.') {
            return false;
        }
        rest = &rest[end + 1..];
        let top: usize = rest.chars().take(64).take_while(|&c| table.is(c, LOWER)).map(char::len_utf8).sum();
        let characters = rest[..top].chars().count();
        if (2..=63).contains(&characters) && is_tail(table, &rest[top..]) {
            return true;
        }
    }
}

fn is_of_label(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '\u{a1}'..='\u{ffff}')
}

/// A port and a path, each optional, to the end.
fn is_tail(table: &Characters, text: &str) -> bool {
    let is_path = |text: &str| text.is_empty() || text.starts_with(['/', '?', '#']);
    if is_path(text) {
        return true;
    }
    let Some(port) = text.strip_prefix(':') else { return false };
    let mut end = 0;
    let mut digits = 0;
    for character in port.chars().take_while(|&c| table.is(c, DIGIT)).take(6) {
        digits += 1;
        end += character.len_utf8();
    }
    (2..=5).contains(&digits) && is_path(&port[end..])
}

/// Four octets of a public unicast IPv4 address, with an optional port and path.
fn is_address(table: &Characters, text: &str) -> bool {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let digit = |c: char| table.is(c, DIGIT);
    let mut rest = text;
    let mut octets = [""; 4];
    for (number, octet) in octets.iter_mut().enumerate() {
        let end: usize = rest.chars().take(4).take_while(|&c| digit(c)).map(char::len_utf8).sum();
        *octet = &rest[..end];
        rest = &rest[end..];
        if number < 3 {
            let Some(next) = rest.strip_prefix('.') else { return false };
            rest = next;
        }
    }
    let [first, second, third, fourth] = octets;
    is_octet(table, first, '1', 223)
        && [second, third].into_iter().all(|octet| is_octet(table, octet, '0', 255))
        && is_octet(table, fourth, '1', 254)
        && !is_private(table, first, second)
        && is_tail(table, rest)
}

/// One octet: one or two digits, the first at least `least`; or three, from 100 to `most`. Where the expression does not
/// say which digit, any script's will do, as in Python, and as a first digit where `least` is 0.
fn is_octet(table: &Characters, octet: &str, least: char, most: u32) -> bool {
    let mut characters = octet.chars();
    let digits: [Option<char>; 4] = std::array::from_fn(|_| characters.next());
    let any = |c: char| table.is(c, DIGIT);
    let first_of_short = |c: char| if least == '0' { any(c) } else { (least..='9').contains(&c) };
    match digits {
        [Some(a), None, ..] => first_of_short(a),
        [Some(a), Some(b), None, _] => first_of_short(a) && any(b),
        [Some('1'), Some(b), Some(c), None] => any(b) && any(c),
        [Some('2'), Some(b), Some(c), None] => {
            let (tens, ones) = ((most / 10) % 10, most % 10);
            let Some(b) = b.to_digit(10) else { return false };
            b < tens && any(c) || b == tens && c.to_digit(10).is_some_and(|c| c <= ones)
        }
        _ => false,
    }
}

/// 10/8, 127/8, 169.254/16, 192.168/16 and 172.16/12.
fn is_private(table: &Characters, first: &str, second: &str) -> bool {
    match first {
        "10" | "127" => true,
        "169" => second == "254",
        "192" => second == "168",
        "172" => {
            let mut digits = second.chars();
            match (digits.next(), digits.next(), digits.next()) {
                (Some('1'), Some('6'..='9'), None) | (Some('3'), Some('0' | '1'), None) => true,
                (Some('2'), Some(any), None) => table.is(any, DIGIT),
                _ => false,
            }
        }
        _ => false,
    }
}
