//! The housecount binary. The command line is in `cmd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    housecount::cmd::run()
}
