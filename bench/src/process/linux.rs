//! The accounting of Linux: CPU clocks of processes, `/proc`, `setrlimit`.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::usage::Usage;

/// Reads the accounting of a process and of those that it has started, such as the workers of a host.
pub(super) fn usage(pid: u32) -> io::Result<Usage> {
    let own = usage_of_one(pid)?;
    Ok(descendants(pid)
        .into_iter()
        .filter_map(|pid| usage_of_one(pid).ok())
        .fold(own, Usage::and))
}

/// Reads the accounting of one process: total time from its CPU clock, the split from `/proc/PID/stat`.
fn usage_of_one(pid: u32) -> io::Result<Usage> {
    let raw = i32::try_from(pid).map_err(|_| io::Error::from(ErrorKind::NotFound))?;
    let cpu = clock_gettime(clock_getcpuclockid(Pid::from_raw(raw))?)?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (user_ticks, system_ticks) = ticks(&stat).ok_or(ErrorKind::InvalidData)?;
    Ok(Usage {
        cpu: Duration::from(cpu),
        user_ticks,
        system_ticks,
    })
}

/// Returns the resident memory of a process and of those that it has started, in bytes.
///
/// # Errors
/// The process does not exist.
pub fn resident(pid: u32) -> io::Result<u64> {
    let own = resident_of_one(pid)?;
    let others = descendants(pid).into_iter();
    Ok(own
        + others
            .filter_map(|pid| resident_of_one(pid).ok())
            .sum::<u64>())
}

/// Returns the processes that a process has started, and those that they have started.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(children(pid));
        next += 1;
    }
    found
}

/// Returns the processes that a process has started. They are listed by the thread that has done it.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let lists = threads
        .into_iter()
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let children = list.split_ascii_whitespace();
            children
                .filter_map(|child| child.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn resident_of_one(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    resident_bytes(&status).ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Returns the CPU time of the calling thread.
pub fn thread_time() -> Option<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .ok()
        .map(Duration::from)
}

/// Raises the soft limit of open files as far as it is needed and allowed.
pub fn raise_descriptor_limit(needed: u64) {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < needed
    {
        // If this fails, the first connection above the limit reports it.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard);
    }
}

/// Reads fields 14 and 15. The command's name before them may contain any character.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_name_with_spaces() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 123 45 0 0 20 0 1 0 9 1 1";
        assert_eq!(ticks(stat), Some((123, 45)));
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(
            resident_bytes("VmSize:\t  90 kB\nVmRSS:\t    12 kB\n"),
            Some(12 * 1024)
        );
    }

    #[test]
    fn usage_includes_that_of_started_processes() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sh -c 'while :; do :; done' & wait"])
            .spawn()
            .unwrap();
        let begun = std::time::Instant::now();
        let limit = Duration::from_secs(20);
        let used = || usage(shell.id()).unwrap().cpu;
        while used() < Duration::from_millis(300) && begun.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(10));
        }
        let (used, own) = (used(), usage_of_one(shell.id()).unwrap().cpu);
        for pid in descendants(shell.id()) {
            let pid = Pid::from_raw(i32::try_from(pid).unwrap());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        shell.wait().unwrap();
        assert!(used >= Duration::from_millis(300), "{used:?}");
        assert!(own < Duration::from_millis(100), "{own:?}");
    }

    #[test]
    fn own_usage_grows_with_work() {
        let pid = std::process::id();
        let start = usage(pid).unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
        assert!(usage(pid).unwrap().since(start).cpu > Duration::ZERO);
        assert!(resident(pid).unwrap() > 100_000);
    }
}
