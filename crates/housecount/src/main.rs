//! The housecount binary: see `cmd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    housecount::cmd::run()
}
