import CSystem
package import Glibc
import Synchronization

/// A running child process, the leader of its own process group. The whole group is killed, and
/// waited for, when this value is destroyed.
package struct ChildProcess: ~Copyable {
    package let identifier: pid_t

    /// How a child ended.
    package enum Ending: Equatable, Sendable, CustomStringConvertible {
        case exited(Int32)
        case signalled(Int32)

        package var description: String {
            switch self {
            case .exited(let status): "exit status \(status)"
            case .signalled(let signal): "signal \(signal)"
            }
        }

        fileprivate init(_ status: Int32) {
            self = status >= 256 ? .signalled(status - 256) : .exited(status)
        }
    }

    /// The parameters of a child. Descriptors stay the caller's.
    package struct Launch {
        package var path: String
        package var arguments: [String]
        /// A list of `NAME=value`; nothing is inherited.
        package var environment: [String]
        package var directory: String?
        package var input: Int32
        package var output: Int32
        package var error: Int32
        /// Becomes the child's descriptor 3.
        package var channel: Int32?

        package init(
            path: String, arguments: [String], environment: [String], directory: String?,
            input: Int32, output: Int32, error: Int32, channel: Int32? = nil
        ) {
            self.path = path
            self.arguments = arguments
            self.environment = environment
            self.directory = directory
            self.input = input
            self.output = output
            self.error = error
            self.channel = channel
        }
    }

    /// Starts a child. posix_spawn(3).
    package init(_ launch: borrowing Launch) throws(SystemError) {
        let path = launch.path
        let arguments = ([path] + launch.arguments).map { strdup($0) } + [nil]
        let environment = launch.environment.map { strdup($0) } + [nil]
        defer {
            for string in arguments { free(string) }
            for string in environment { free(string) }
        }

        var child = pid_t()
        let code = gs3_spawn(
            &child, path, arguments, environment, launch.directory, launch.input, launch.output,
            launch.error, launch.channel ?? -1)
        if code != 0 { throw SystemError("posix_spawn", path, code: code) }
        identifier = child
        Self.running.withLock { _ = $0.insert(child) }
    }

    deinit {
        _ = kill(-identifier, SIGKILL)
        Self.running.withLock { _ = $0.remove(identifier) }
        _ = gs3_wait(identifier)
    }

    /// The children that have not been waited for; their process ids cannot be reused yet.
    private static let running = Mutex<Set<pid_t>>([])

    /// Kills every child of this process with its group, for a process that has to end.
    package static func endAll() {
        running.withLock { for child in $0 { _ = kill(-child, SIGKILL) } }
    }

    /// Sends a signal to the child's whole group. kill(2).
    package func signalGroup(_ signal: Int32) {
        _ = kill(-identifier, signal)
    }

    /// Waits for the child's end, and kills the rest of its group. waitid(2).
    package consuming func wait() throws(SystemError) -> Ending {
        Self.running.withLock { _ = $0.remove(identifier) }
        let status = gs3_wait(identifier)
        let code = errno
        discard self
        if status == -1 { throw SystemError("waitid", code: code) }
        return Ending(status)
    }

    /// A descriptor that becomes readable when the child ends. pidfd_open(2), poll(2).
    ///
    /// - Returns: nil if the kernel or a sandbox does not allow it.
    package func endDescriptor() -> OwnedDescriptor? {
        let descriptor = gs3_pidfd(identifier)
        return descriptor < 0 ? nil : OwnedDescriptor(taking: descriptor)
    }

    /// Whether the child has ended; it must still be waited for.
    package var hasEnded: Bool {
        gs3_has_ended(identifier) != 0
    }
}
