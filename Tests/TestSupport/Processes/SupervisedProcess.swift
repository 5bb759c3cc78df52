package import Glibc
package import Posix
import Synchronization

/// A server that a test has started. It ends, with its whole process group, at ``stop()``, when its
/// owner goes, and when the test process ends, however that ends.
///
/// A shell beside the program waits for the end of a pipe whose other end only this process holds:
/// `atexit` and `deinit` are skipped in a crash, the closing of descriptors is not.
package final class SupervisedProcess: Sendable {
    /// What the program wrote.
    package let logPath: String
    private let state: Mutex<Running?>

    private struct Running: ~Copyable {
        let child: ChildProcess
        /// Closed: the watchdog acts. Never written to.
        let lifeline: OwnedDescriptor
    }

    /// `$0` is the directory to remove, or empty. The watchdog is of the program's process group, so
    /// the group's number cannot become another's while it lives; its last act ends itself too.
    private static let script = """
        (
            exec </dev/null >/dev/null 2>&1
            read -r line <&3
            kill -KILL $$
            if [ -n "$0" ]; then sleep 0.2; rm -rf -- "$0"; fi
            kill -KILL "-$$"
        ) &
        exec "$@" 3<&-
        """

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - path: the program's full path.
    ///   - environment: `NAME=value`, each; nothing is inherited.
    ///   - logPath: standard output and error go there; the file is emptied first.
    ///   - ownedDirectory: removed when this process ends without ``stop()``.
    package init(
        path: String, arguments: [String], environment: [String], directory: String,
        logPath: String, ownedDirectory: String? = nil
    ) throws(SystemError) {
        self.logPath = logPath
        let log = try OwnedDescriptor.open(logPath, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND)
        let null = try OwnedDescriptor.open("/dev/null", O_RDONLY)
        let ends = try OwnedDescriptor.pipe()
        let child = try ChildProcess(
            ChildProcess.Launch(
                path: "/bin/sh",
                arguments: ["-c", Self.script, ownedDirectory ?? "", path] + arguments,
                environment: environment, directory: directory, input: null.raw, output: log.raw,
                error: log.raw, channel: ends.first.raw))
        let lifeline = try check("fcntl") { fcntl(ends.second.raw, F_DUPFD_CLOEXEC, 3) }
        state = Mutex(Running(child: child, lifeline: OwnedDescriptor(taking: lifeline)))
    }

    /// Whether the program has not ended.
    package var isRunning: Bool {
        state.withLock { running in
            switch running {
            case .none: false
            case .some(let running): !running.child.hasEnded
            }
        }
    }

    /// The program's process, which leads its group; nil after ``stop()``.
    package var identifier: pid_t? {
        state.withLock { running in
            switch running {
            case .none: nil
            case .some(let running): running.child.identifier
            }
        }
    }

    /// Ends the program and all that it started, and waits for it.
    package func stop() {
        state.withLock { running in
            // The child's own deinit kills the group, the watchdog included.
            running = nil
        }
    }

    /// The end of what the program wrote, for an error's text.
    package var logTail: String {
        do {
            return String(decoding: try Files.read(logPath).suffix(2000), as: UTF8.self)
        } catch {
            return "(\(error))"
        }
    }

    /// Ports of 127.0.0.1 that are free now, for a server that cannot choose its own. Below the
    /// range from which outgoing connections take theirs, so that none of those gets in between.
    package static func freePorts(_ count: Int) throws(SystemError) -> [UInt16] {
        var ports: Set<UInt16> = []
        for _ in 0..<10_000 {
            if ports.count == count { return ports.sorted() }
            let port = UInt16.random(in: 12_000..<32_000)
            if try isFree(port) { ports.insert(port) }
        }
        throw SystemError("bind", "127.0.0.1", code: EADDRINUSE)
    }

    private static func isFree(_ port: UInt16) throws(SystemError) -> Bool {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let socket = OwnedDescriptor(
            taking: try check("socket") { Glibc.socket(AF_INET, type, 0) })
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket.raw, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
