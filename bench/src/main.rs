//! housecount's benchmark harness.
//!
//! It starts real servers one after another, puts the same load on each, and reads the cost from
//! `/proc`. `bench/run` builds everything and starts this program.

mod args;
mod beside;
mod contender;
mod cpu;
mod echo;
mod goals;
mod http;
mod load;
mod machine;
mod process;
mod redis_server;
mod report;
mod results;
mod rounds;
mod running;
mod terminal;
mod tokens;
mod viewers;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.command {
        Some(Command::Echo { port }) => echo::serve(*port).map(|()| ExitCode::SUCCESS),
        Some(Command::Beside(beside)) => beside::run(beside),
        None => measure(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("bench: {error:#}");
        ExitCode::FAILURE
    })
}

fn measure(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = args.plan()?;
    if args.list {
        terminal::list(&contender::all());
        return Ok(ExitCode::SUCCESS);
    }
    report::notes(&plan.report)?;
    let place = running::Place::prepare(&plan)?;
    process::end_all_on_signal(&place.dir)?;
    let machine = machine::Machine::look(&plan.target.join("usual/node_modules"));
    if let Some(warning) = machine.warning() {
        eprintln!("bench: {warning}");
    }

    let results = rounds::run(&plan, &place, machine);

    let json = plan.target.join("results.json");
    results.write(&json)?;
    let goals = goals::judge(&results);
    report::write(&plan.report, &results, &goals)?;
    terminal::print(&results, &goals);
    terminal::say(&format!("\nWritten: {}, {}\n", plan.report.display(), json.display()));
    Ok(if results.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
