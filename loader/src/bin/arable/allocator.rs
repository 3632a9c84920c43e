//! What the allocator keeps of memory that was given back, where a budget is small enough for that to matter.
//!
//! glibc's allocator hands large buffers back to the system at once, but raises what counts as large with every one that is
//! freed, up to 32 MiB; from then on each thread's arena keeps them. That came to 20 MiB a thread. The border is fixed only
//! by the environment that a process starts with, so a process with a small budget starts once more, with it.

use arable_loader::recipe::ByteSize;

/// Budgets above this have room for what is kept, and speed is worth more: giving memory back costs page faults.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SMALL: ByteSize = ByteSize::mib(256);

/// Starts this process once more, in its place, if it is to live in `memory` bytes and its allocator was told nothing.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn keep_within(memory: ByteSize) {
    use std::{env, os::unix::process::CommandExt, process::Command};
    const BORDER: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "1048576");
    // Once the border is fixed, so is what each arena keeps at its end, at 128 KiB: less than the batches that come and go.
    const KEPT: (&str, &str) = ("MALLOC_TRIM_THRESHOLD_", "2097152");
    let told = |name: &str| env::var_os(name).is_some();
    if memory > SMALL || told(BORDER.0) || told("GLIBC_TUNABLES") {
        return;
    }
    let Ok(program) = env::current_exe() else { return };
    let mut arguments = env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // It returns only where it fails, and then all goes on as it is.
    let fault = again.args(arguments).envs([BORDER, KEPT]).exec();
    tracing::debug!("the allocator keeps what it is given back: {fault}");
}

/// Other allocators are left alone.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn keep_within(_: ByteSize) {}
