//! The extensions of one's own, as the examples have them.

use crate::turn;
use arable_examples::arguments::{Backend, Common, On};

#[path = "../../examples/own_operator.rs"]
#[expect(dead_code, reason = "its main is not called here")]
mod own_operator;
#[path = "../../examples/own_policy.rs"]
#[expect(dead_code, reason = "its main is not called here")]
mod own_policy;

fn common(folder: &std::path::Path, epochs: u32) -> Common {
    let runs = folder.to_owned();
    Common {
        seed: 5,
        seeds: 1,
        on: On::Valid,
        epochs: Some(epochs),
        batch: None,
        learning_rate: None,
        device: Backend::Flex,
        runs,
        json: false,
        quiet: true,
    }
}

#[test]
fn an_operator_of_ones_own_drops_what_does_not_add_up() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let outcome = own_operator::run(&common(folder.path(), 2)).unwrap();
    let dropped = outcome.rows.dropped["does_not_add_up"] as f64;
    // Eight in a hundred were mixed up; a few of them are dropped for something else before.
    assert!((0.04..0.09).contains(&(dropped / outcome.rows.read as f64)), "{:?}", outcome.rows);
    let (without, with) = (outcome.run("observed").unwrap(), outcome.run("own").unwrap());
    assert!(without.accuracy > 0.3 && with.accuracy > 0.3, "{}", outcome.json());
}

#[test]
fn a_policy_of_ones_own_draws_fewer_rows_once_it_trims() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let outcome = own_policy::run(&common(folder.path(), 14)).unwrap();
    let (observed, own) = (outcome.run("observed").unwrap(), outcome.run("own").unwrap());
    assert!(own.accuracy > 0.5, "{}", outcome.json());
    assert_ne!(own.accuracy, observed.accuracy);
}
