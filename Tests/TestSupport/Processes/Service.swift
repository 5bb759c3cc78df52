package import Glibc
package import Posix
import Synchronization

/// A server as a child of the test process, in a process group of its own, with a log. The group is
/// killed by ``stop()``, when the owner goes, and, by the janitor, when the test process ends.
package final class Service: Sendable {
    package let identifier: pid_t
    private let name: String
    private let logPath: String
    private let child: Mutex<ChildProcess?>

    /// - Parameters:
    ///   - environment: nothing else is inherited.
    ///   - log: the file to which standard output and error are appended.
    package init(
        _ path: String, _ arguments: [String], environment: [String: String],
        directory: String? = nil, log: String
    ) throws {
        name = path
        logPath = log
        let input = try OwnedDescriptor.open("/dev/null", O_RDONLY)
        let output = try OwnedDescriptor.open(log, O_WRONLY | O_CREAT | O_APPEND)
        let process = try ChildProcess(
            ChildProcess.Launch(
                path: path, arguments: arguments,
                environment: environment.map { "\($0.key)=\($0.value)" }, directory: directory,
                input: input.raw, output: output.raw, error: output.raw))
        identifier = process.identifier
        child = Mutex(process)
        try Janitor.shared.get().watch(group: identifier)
    }

    deinit {
        try? Janitor.shared.get().forget(group: identifier)
    }

    /// Starts a server that cannot choose its ports itself and waits until it is ready. If another
    /// process takes a port before the server does, it is started again on other ports.
    ///
    /// - Parameter start: starts it on free ports of 127.0.0.1.
    package static func start(
        onPorts count: Int = 1, _ start: ([UInt16]) throws -> Service,
        isReady: ([UInt16]) -> Bool
    ) throws -> (service: Service, ports: [UInt16]) {
        var attempts = 5
        while true {
            let ports = try Sockets.freePorts(count)
            let service = try start(ports)
            attempts -= 1
            do {
                try service.waitUntilReady { isReady(ports) }
                return (service, ports)
            } catch  where attempts > 0 && service.lostPort {
                continue
            }
        }
    }

    private var lostPort: Bool { log.lowercased().contains("address already in use") }

    /// Kills the process group, and waits for its end.
    package func stop() {
        child.withLock { $0 = nil }
    }

    /// The server's output so far.
    package var log: String {
        let bytes = (try? Files.read(logPath)) ?? []
        return String(decoding: bytes, as: UTF8.self)
    }

    package var hasEnded: Bool {
        child.withLock { $0?.hasEnded ?? true }
    }

    /// Waits until `isReady`; a server that ends instead fails the test, with its log.
    package func waitUntilReady(_ isReady: () -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while !isReady() {
            if hasEnded { throw TestFailure("'\(name)' ended at once:\n\(log)") }
            if ContinuousClock.now >= deadline {
                throw TestFailure("'\(name)' is not ready after a minute:\n\(log)")
            }
            usleep(5000)
        }
    }

    /// Signals the process alone.
    package func signal(_ number: Int32) {
        kill(identifier, number)
    }

    /// Waits for the process to end, and ends its group.
    package func waitForEnd(upTo limit: Duration = .seconds(60)) throws -> ChildProcess.Ending {
        try wait(for: "the end of '\(name)'", upTo: limit) { hasEnded }
        let process = child.withLock { child in
            let taken = child.take()
            return taken
        }
        guard let ending = try process?.wait() else {
            throw TestFailure("The end of '\(name)' was waited for before.")
        }
        return ending
    }

    /// The largest resident set so far, in bytes. proc(5), VmHWM.
    package func peakMemory() throws -> Int {
        let status = String(
            decoding: try Files.read("/proc/\(identifier)/status"), as: UTF8.self)
        guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmHWM:") }),
            let kibibytes = line.split(whereSeparator: \.isWhitespace).dropFirst().first
                .flatMap({ Int($0) })
        else { throw TestFailure("no VmHWM for '\(name)'") }
        return kibibytes * 1024
    }

    /// The processes whose parent is this one.
    package func children() throws -> [String] {
        let path = "/proc/\(identifier)/task"
        return try Files.names(in: path).flatMap { task in
            String(decoding: (try? Files.read("\(path)/\(task)/children")) ?? [], as: UTF8.self)
                .split(separator: " ").map(String.init)
        }
    }
}
