//! Kernels that lack or refuse something, made up without harm to the machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::netmon::{Done, run, shell, shell_with_mounts};
use crate::trial::{Impossible, root};

pub fn trials() -> Vec<Trial> {
    vec![
        root("refusals::no_btf", no_btf),
        root("refusals::tracefs_is_not_needed", no_tracefs),
        root("refusals::map_memory", map_memory),
    ]
}

/// Runs a shell line under an empty directory `hidden`.
fn without(hidden: &str, line: &str) -> anyhow::Result<Done> {
    if !Path::new(hidden).exists() {
        return Err(Impossible(format!("there is no {hidden} to hide")).into());
    }
    let mounted = format!("mount -t tmpfs none {hidden}; {line}");
    run(&mut shell_with_mounts(&mounted))
}

fn no_btf() -> anyhow::Result<()> {
    let hidden = "/sys/kernel/btf";
    let done = without(hidden, r#"exec "$NETMON" stream --count 1"#)?;
    done.check_failure(&[
        "/sys/kernel/btf/vmlinux is missing",
        "CONFIG_DEBUG_INFO_BTF=y",
    ])?;
    ensure!(done.stdout.is_empty(), "{}", done.stdout);
    let done = without(hidden, r#"exec "$NETMON" doctor"#)?;
    done.check_code(1)?;
    let line = "[!!] kernel types (BTF): missing: use a kernel built with";
    ensure!(done.stdout.contains(line), "{}", done.stdout);
    Ok(())
}

fn no_tracefs() -> anyhow::Result<()> {
    for hidden in ["/sys/kernel/tracing", "/sys/kernel/debug"] {
        let done = without(hidden, r#"exec "$NETMON" stream --count 2 --interval 50ms"#)?;
        done.check_quiet()?;
        ensure!(
            crate::contract::check_run(&done.stdout)?.len() == 2,
            "{}",
            done.stdout
        );
    }
    Ok(())
}

/// A memory cgroup with a small limit, removed when dropped: what it refuses, the
/// rest of the machine keeps.
struct SmallMemory(PathBuf);

impl SmallMemory {
    fn new() -> anyhow::Result<SmallMemory> {
        const LIMIT: &str = "67108864";
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let roots = mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (at, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
            let memory = options.split(',').any(|option| option == "memory");
            match kind {
                "cgroup" if memory => Some((at, "memory.limit_in_bytes")),
                "cgroup2" => Some((at, "memory.max")),
                _ => None,
            }
        });
        for (root, file) in roots {
            let name = format!("netmon-test-memory-{}", std::process::id());
            let path = Path::new(root).join(name);
            if fs::create_dir(&path).is_err() {
                continue;
            }
            let cgroup = SmallMemory(path);
            if fs::write(cgroup.0.join(file), LIMIT).is_ok() {
                return Ok(cgroup);
            }
        }
        Err(Impossible("no memory cgroup can be made".to_owned()).into())
    }

    fn run(&self, line: &str) -> anyhow::Result<Done> {
        let file = self.0.join("cgroup.procs");
        run(&mut shell(&format!(
            "echo $$ > {} && {line}",
            file.display()
        )))
    }
}

impl Drop for SmallMemory {
    fn drop(&mut self) {
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

fn map_memory() -> anyhow::Result<()> {
    let cgroup = SmallMemory::new()?;
    let line = r#"exec "$NETMON" stream --count 1 --max-flows 16777216"#;
    let done = cgroup.run(line)?;
    done.check_failure(&["refused memory", "--max-flows", "Cannot allocate memory"])?;
    ensure!(done.stdout.is_empty(), "{}", done.stdout);

    // With -v, the map that did not fit is named before the line.
    let done = cgroup.run(&format!("{line} -v"))?;
    done.check_code(1)?;
    done.check_says(&["libbpf: map 'traffic_map': failed to create"])?;
    let last = done.stderr.lines().last().unwrap_or("");
    ensure!(last.starts_with("netmon: "), "{}", done.stderr);

    // The same cgroup has room for a smaller one.
    let done = cgroup.run(r#"exec "$NETMON" stream --count 1 --max-flows 1024"#)?;
    done.check_quiet()
}
