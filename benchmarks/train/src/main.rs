//! What a training step costs behind Arable: beside batches that lie ready, which is the limit, and beside burn's own
//! loader over the same items in memory.
//!
//! Every round measures all contenders, one after another and each time another one first, so that a busy machine is
//! busy for all of them; what is reported are medians of the rounds' ratios and differences. Processor time is that of
//! the process, all threads. Memory is the peak of a process of its own for each contender.

#![expect(clippy::print_stdout, reason = "its result goes to standard output")]

use std::{env, error::Error, fs, process::Command, time::Duration};

use arable_trainer::FromColumns;
use burn::{data::dataloader::batcher::Batcher, tensor::Device};

mod contenders;
mod memory;
mod tasks;

use contenders::{Contender, Cost, Way};
use tasks::{Convolutional, Perceptron, Task, Transformer};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str =
    "train-benchmark [--rounds N] [--model MODEL]\ntrain-benchmark --train MODEL WAY TIMES    (each a number from 0)";

/// Rounds where nothing else is said.
const ROUNDS: usize = 11;

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => everything(ROUNDS, None),
        ["--rounds", rounds] => everything(rounds.parse()?, None),
        // The steps of one model alone, which are over while a machine stays quiet.
        ["--model", model] => everything(ROUNDS, Some(model.parse()?)),
        ["--rounds", rounds, "--model", model] => everything(rounds.parse()?, Some(model.parse()?)),
        // What a process of its own is started with.
        ["--peak", task, way] => peak(task.parse()?, way.parse()?, 3),
        // The same for longer, under a profiler.
        ["--train", task, way, times] => peak(task.parse()?, way.parse()?, times.parse()?),
        _ => Err(USAGE.into()),
    }
}

/// All tables, or that of the steps of one model.
fn everything(rounds: usize, model: Option<usize>) -> Result<()> {
    if rounds == 0 {
        return Err("there must be one round at least".into());
    }
    #[cfg_attr(not(any(feature = "cuda", feature = "wgpu")), expect(unused_mut, reason = "there is one device"))]
    let mut devices = vec![("flex", Device::flex())];
    #[cfg(feature = "cuda")]
    devices.push(("cuda", Device::cuda(0)));
    #[cfg(feature = "wgpu")]
    devices.push(("wgpu", Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)));
    for (name, device) in &devices {
        println!("## Steps on {name}\n");
        println!(
            "| model | batches | processor ms a step | of bare | µs more than bare | wall ms a step | of bare \
             | waits for data | peak MiB |\n|---|---|---|---|---|---|---|---|---|"
        );
        let tables = [table::<Perceptron>, table::<Convolutional>, table::<Transformer>];
        let wanted = |number: &usize| model.is_none_or(|model| model == *number);
        for (number, table) in tables.into_iter().enumerate().filter(|(number, _)| wanted(number)) {
            table(number, device, rounds)?;
        }
        println!();
    }
    if model.is_some() {
        return Ok(());
    }
    println!("## A batch alone, on flex\n");
    println!("| model | µs of processor: columns | rows through serde | times as much |\n|---|---|---|---|");
    batches::<Perceptron>(rounds)?;
    batches::<Convolutional>(rounds)?;
    batches::<Transformer>(rounds)
}

/// The rows of one model.
fn table<T: Task>(number: usize, device: &Device, rounds: usize) -> Result<()> {
    let mut contenders = Vec::new();
    for way in Way::ALL {
        let mut contender = Contender::<T>::new(way, device)?;
        contender.measure()?; // everything is allocated, and the stream's first window is open
        contenders.push(contender);
    }
    let mut costs = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            costs[at].push(contenders[at].measure()?);
        }
    }

    let milliseconds = |time: Duration| 1e3 * time.as_secs_f64() / T::STEPS as f64;
    let bare = &costs[0];
    for ((at, way), (contender, costs)) in Way::ALL.iter().enumerate().zip(contenders.iter().zip(&costs)) {
        let of =
            |measure: &dyn Fn(&Cost, &Cost) -> f64| median(costs.iter().zip(bare).map(|(it, bare)| measure(it, bare)));
        let cpu = of(&|it, _| milliseconds(it.cpu));
        let share = of(&|it, bare| it.cpu.as_secs_f64() / bare.cpu.as_secs_f64());
        let more = of(&|it, bare| 1e3 * (milliseconds(it.cpu) - milliseconds(bare.cpu)));
        let wall = of(&|it, _| milliseconds(it.wall));
        let wall_share = of(&|it, bare| it.wall.as_secs_f64() / bare.wall.as_secs_f64());
        let waiting = contender.waiting().map_or(String::new(), |share| format!("{:.1} %", 100.0 * share));
        println!(
            "| {} | {} | {cpu:.3} | {share:.3} | {more:.0} | {wall:.3} | {wall_share:.3} | {waiting} | {} |",
            T::NAME,
            way.name(),
            peak_of(number, at)?
        );
    }
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// What a batch costs by itself, from the same columns in memory.
fn batches<T: Task>(rounds: usize) -> Result<()> {
    const TIMES: usize = 200;
    let device = Device::flex();
    let data = T::columns(&(0..T::BATCH).map(T::item).collect::<Vec<_>>())?;
    let columns = || {
        for _ in 0..TIMES {
            std::hint::black_box(T::Batch::from_columns(&data, &device).map_err(|error| error as Box<dyn Error>)?);
        }
        Ok(())
    };
    let rows = || {
        for _ in 0..TIMES {
            let items: Vec<T::Item> = serde_arrow::from_record_batch(&data)?;
            std::hint::black_box(T::Batcher::default().batch(items, &device));
        }
        Ok(())
    };
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        pairs.push((Cost::of(columns)?.cpu.as_secs_f64(), Cost::of(rows)?.cpu.as_secs_f64()));
    }
    let microseconds = |seconds: f64| 1e6 * seconds / TIMES as f64;
    println!(
        "| {} | {:.1} | {:.1} | {:.1} |",
        T::NAME,
        median(pairs.iter().map(|(columns, _)| microseconds(*columns))),
        median(pairs.iter().map(|(_, rows)| microseconds(*rows))),
        median(pairs.iter().map(|(columns, rows)| rows / columns)),
    );
    Ok(())
}

/// The peak of a fresh process that trains some steps, in MiB, on flex.
fn peak_of(task: usize, way: usize) -> Result<String> {
    let output = Command::new(env::current_exe()?).args(["--peak", &task.to_string(), &way.to_string()]).output()?;
    if !output.status.success() {
        return Err(format!("a measurement of memory failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn peak(task: usize, way: usize, times: usize) -> Result<()> {
    fn train<T: Task>(way: Way, times: usize) -> Result<()> {
        let mut contender = Contender::<T>::new(way, &Device::flex())?;
        (0..times).try_for_each(|_| contender.measure().map(drop))
    }
    let way = *Way::ALL.get(way).ok_or(USAGE)?;
    match task {
        0 => train::<Perceptron>(way, times)?,
        1 => train::<Convolutional>(way, times)?,
        2 => train::<Transformer>(way, times)?,
        _ => return Err(USAGE.into()),
    }
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    let kibibytes: u64 = peak.ok_or("this system does not say what a process's peak of memory was")?;
    println!("{}", kibibytes / 1024);
    Ok(())
}
