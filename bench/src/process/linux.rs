//! The accounting of Linux: CPU clocks of processes, `/proc`, `setrlimit`.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::usage::Usage;

/// Reads the accounting of a process: total time from its CPU clock, the split from `/proc/PID/stat`.
pub(super) fn usage(pid: u32) -> io::Result<Usage> {
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

/// Returns the resident memory of a process in bytes.
///
/// # Errors
/// The process does not exist.
pub fn resident(pid: u32) -> io::Result<u64> {
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
