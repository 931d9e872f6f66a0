//! Compiles the kernel programs in `bpf/` and generates their skeleton.
//!
//! Owns the flags clang is called with. Where the skeleton is used is the
//! business of `src/collect`.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

const SOURCE: &str = "bpf/netmon.bpf.c";

fn main() {
    println!("cargo:rerun-if-changed=bpf");
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    assert_eq!(
        architecture, "x86_64",
        "netmon's kernel programs read syscall numbers and registers of x86-64 only"
    );
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let arguments: Vec<OsString> = [
        "-std=gnu11",
        "-mcpu=v3",
        "-Wall",
        "-Wextra",
        "-Werror",
        // BPF_PROG unpacks every argument of a tracepoint, used or not.
        "-Wno-unused-parameter",
        // <asm/types.h> of Debian's multiarch layout; elsewhere it is in /usr/include.
        "-idirafter",
        "/usr/include/x86_64-linux-gnu",
    ]
    .map(OsString::from)
    .to_vec();
    let built = SkeletonBuilder::new()
        .source(SOURCE)
        .clang_args(arguments)
        .build_and_generate(output.join("netmon.skel.rs"));
    if let Err(error) = built {
        panic!("{SOURCE} did not compile (clang 14 or newer is needed: `make setup`): {error:?}");
    }
}
