//! Processor time of this process, all threads together.

use crate::Result;

/// Seconds of processor time so far, user's and system's; in steps of 1/100 s.
pub(crate) fn seconds() -> Result<f64> {
    /// What Linux counts in, on every architecture that Rust has a standard library for.
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in parentheses, may hold spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).ok_or("no processor time here");
    Ok((ticks(11)? + ticks(12)?) / TICKS_A_SECOND)
}
