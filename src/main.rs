//! The `netmon` binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    netmon::run::main()
}
