import Glibc

/// A process that holds the lock of a file until it is killed.
package struct LockHolder: ~Copyable {
    private let process: RunningCommand

    /// Returns once the process holds the lock.
    package init(of path: String) throws {
        let flock = try Programs.find("flock", remedy: "apt install util-linux")
        let process = try Command(
            flock, ["--no-fork", path, "sh", "-c", "echo; exec sleep 600"],
            environment: ["PATH": "/usr/bin:/bin"]
        ).start()
        try wait(for: "the lock of '\(path)'") { !process.output.isEmpty }
        self.process = process
    }

    /// Kills the process and waits for its end.
    package consuming func kill() throws {
        process.signalGroup(SIGKILL)
        _ = try process.finish()
    }
}
