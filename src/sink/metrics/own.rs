//! What this process itself costs, by the names that Prometheus's client libraries use.
//!
//! Reads `/proc/self` when asked. Knows nothing of what is counted.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// The figures of this process; what cannot be read is `None`.
#[derive(Debug, Clone, Default)]
pub struct Own {
    /// Time on a CPU, in user space and in the kernel, seconds.
    pub cpu_seconds: Option<f64>,
    /// Memory that is resident, bytes.
    pub resident_bytes: Option<u64>,
    /// Address space, bytes.
    pub virtual_bytes: Option<u64>,
    /// Start of the process since the Unix epoch, seconds.
    pub start_seconds: Option<f64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// Most file descriptors it may open.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl Own {
    /// As of now.
    pub fn read() -> Own {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let stat = fields(&stat);
        let ticks = setting(SysconfVar::CLK_TCK);
        let page = setting(SysconfVar::PAGE_SIZE);
        let seconds = |ticked: u64| ticks.map(|ticks| ticked as f64 / ticks as f64);
        let boot = fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|text| line_number(&text, "btime"));
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Own {
            cpu_seconds: stat.as_ref().and_then(|stat| seconds(stat.cpu_ticks)),
            resident_bytes: stat
                .as_ref()
                .and_then(|stat| Some(stat.resident_pages * page?)),
            virtual_bytes: stat.as_ref().map(|stat| stat.virtual_bytes),
            start_seconds: stat
                .as_ref()
                .and_then(|stat| Some(boot? as f64 + seconds(stat.start_ticks)?)),
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                // One of them is the directory that is being read.
                .map(|directory| (directory.count() as u64).saturating_sub(1)),
            max_fds: line_number(&limits, "Max open files"),
            threads: stat.as_ref().map(|stat| stat.threads),
        }
    }
}

struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

/// `/proc/PID/stat` as proc_pid_stat(5) numbers its fields. The name, the second, may
/// hold anything, so it is from the last parenthesis that they are counted.
fn fields(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    let time = |number: usize| -> Option<u64> { field(number) };
    Some(Stat {
        cpu_ticks: time(14)? + time(15)?,
        threads: field(20)?,
        start_ticks: field(22)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
    })
}

/// The first number of the line that begins with `name`.
fn line_number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn setting(name: SysconfVar) -> Option<u64> {
    let value = sysconf(name).ok().flatten()?;
    u64::try_from(value).ok().filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_moves_no_field() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 9 0 0 0 30 12 0 0 20 0 7 0 4711 \
                    1048576 256 18446744073709551615";
        let stat = fields(stat).expect("all fields");
        assert_eq!(stat.cpu_ticks, 42);
        assert_eq!(stat.threads, 7);
        assert_eq!(stat.start_ticks, 4711);
        assert_eq!(stat.virtual_bytes, 1 << 20);
        assert_eq!(stat.resident_pages, 256);
    }

    #[test]
    fn this_process_has_all_of_it() {
        let own = Own::read();
        assert!(own.cpu_seconds.is_some());
        assert!(own.resident_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(own.virtual_bytes > own.resident_bytes);
        // It started after 2020, and not in the future.
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("a time after 1970");
        let start = own.start_seconds.expect("a start");
        assert!(start > 1.5e9 && start < now.as_secs_f64() + 1.0);
        assert!(own.open_fds.is_some_and(|fds| fds >= 3));
        assert!(own.max_fds >= own.open_fds);
        assert!(own.threads.is_some_and(|threads| threads >= 1));
    }
}
