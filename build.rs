//! Compiles the kernel programs and generates their skeletons.
//!
//! Owns the flags clang is called with. Where the skeletons are used is the
//! business of `src/collect` and `benches/overhead`.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

/// Source and name of each skeleton.
const PROGRAMS: [(&str, &str); 4] = [
    ("bpf/netmon.bpf.c", "netmon.skel.rs"),
    ("bpf/filter.bpf.c", "filter.skel.rs"),
    ("bpf/xdp.bpf.c", "xdp.skel.rs"),
    ("benches/overhead/empty.bpf.c", "empty.skel.rs"),
];

fn main() {
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-changed=benches/overhead/empty.bpf.c");
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
    for (source, skeleton) in PROGRAMS {
        let built = SkeletonBuilder::new()
            .source(source)
            .clang_args(arguments.clone())
            .build_and_generate(output.join(skeleton));
        if let Err(error) = built {
            panic!(
                "{source} did not compile (clang 14 or newer is needed: `make setup`): {error:?}"
            );
        }
    }
}
