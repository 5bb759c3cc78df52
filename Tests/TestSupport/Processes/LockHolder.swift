import Glibc
import Posix

/// A process that holds the lock of a file until it is killed.
package struct LockHolder: ~Copyable {
    private let child: ChildProcess

    /// Returns once the process holds the lock.
    package init(of path: String) throws {
        let pipe = try OwnedDescriptor.pipe()
        let null = try OwnedDescriptor.open("/dev/null", O_RDWR)
        let holder = try ChildProcess(
            ChildProcess.Launch(
                path: try Programs.find("flock", remedy: "apt install util-linux"),
                arguments: ["--no-fork", path, "sh", "-c", "echo; exec sleep 600"],
                environment: ["PATH=/usr/bin:/bin"], directory: nil, input: null.raw,
                output: pipe.second.raw, error: null.raw))
        var byte: UInt8 = 0
        guard read(pipe.first.raw, &byte, 1) == 1 else {
            throw TestFailure("flock did not take the lock of '\(path)'")
        }
        child = holder
    }

    /// Kills the process and waits for its end.
    package consuming func kill() throws {
        child.signalGroup(SIGKILL)
        _ = try child.wait()
    }
}
