//! Whether the kernel may take the CPU from a task inside the kernel.
//!
//! Why netmon asks: a program at the end of a function (`fexit`) that is
//! preempted keeps its per-CPU guard against recursion, so the next task on that
//! CPU finds it held and is not counted (`__bpf_prog_enter_recur`,
//! kernel/bpf/trampoline.c, Linux 6.1). Programs on tracepoints are not preempted.

use std::fs;

/// Which models of preemption leave a task in the kernel alone.
const COOPERATIVE: [&str; 2] = ["none", "voluntary"];

/// Whether it may; `None` where nothing readable tells.
pub fn is_possible() -> Option<bool> {
    let cooperative = |model: &str| COOPERATIVE.contains(&model);
    // Tells the model now in force, which can be changed while the kernel runs.
    if let Ok(models) = fs::read_to_string("/sys/kernel/debug/sched/preempt") {
        return chosen(&models).map(|model| !cooperative(model));
    }
    let system = nix::sys::utsname::uname().ok()?;
    let version = system.version().to_string_lossy();
    if !version.contains("PREEMPT_DYNAMIC") {
        return Some(version.contains("PREEMPT"));
    }
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if let Some(model) = asked_for(&line) {
        return Some(!cooperative(model));
    }
    let release = system.release().to_string_lossy();
    let configuration = fs::read_to_string(format!("/boot/config-{release}")).ok()?;
    let is_cooperative = configuration
        .lines()
        .any(|line| line == "CONFIG_PREEMPT_NONE=y" || line == "CONFIG_PREEMPT_VOLUNTARY=y");
    Some(!is_cooperative)
}

/// The model in parentheses: `none (voluntary) full`.
fn chosen(models: &str) -> Option<&str> {
    let (_, after) = models.split_once('(')?;
    Some(after.split_once(')')?.0)
}

/// The last `preempt=` of the kernel's command line.
fn asked_for(line: &str) -> Option<&str> {
    line.split_ascii_whitespace()
        .rev()
        .find_map(|word| word.strip_prefix("preempt="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_in_force_is_the_one_in_parentheses() {
        assert_eq!(chosen("none (voluntary) full\n"), Some("voluntary"));
        assert_eq!(chosen("none voluntary (full)\n"), Some("full"));
        assert_eq!(chosen("(none) voluntary full lazy \n"), Some("none"));
        assert_eq!(chosen("undefined\n"), None);
    }

    #[test]
    fn the_last_word_on_the_command_line_counts() {
        let line = "BOOT_IMAGE=/vmlinuz preempt=none quiet preempt=full\n";
        assert_eq!(asked_for(line), Some("full"));
        assert_eq!(asked_for("quiet nopreempt=full\n"), None);
    }
}
