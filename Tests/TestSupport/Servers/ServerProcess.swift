package import Glibc
package import Posix

/// The program under test, as a FastCGI server on a Unix socket.
package final class ServerProcess: Sendable {
    package let socket: String
    package let stateDirectory: String
    private let directory: TemporaryDirectory
    private let service: Service

    /// The state and the settings of the program.
    package struct Setup: Sendable {
        package var bucket: Bucket
        /// Options after `serve`, over those that every start needs.
        package var options: [String] = []
        package var environment: [String: String] = [:]
        /// The state of an earlier start; nil for a fresh one.
        package var state: TemporaryDirectory?
        /// Another copy of the program; nil for the one that was built.
        package var program: String?
        /// Through which the store is reached, where it is one on the network.
        package var proxy: FaultProxy?
        /// Further query items of the store's URL, each with its `&`; for a store on the network.
        package var storeItems = ""

        /// Directives of an operator, besides those that are shipped or documented.
        package var serverConfiguration = ""

        /// The origin of the store's admission.
        package var admission = AdmissionSource.given

        package enum AdmissionSource: Sendable { case given, probed }

        /// The creator of the socket.
        package var launcher = Launcher.itself

        package enum Launcher: Sendable {
            /// The program, by `--listen`.
            case itself
            /// spawn-fcgi(1): the socket is descriptor 0.
            case spawnFCGI
            /// systemd-socket-activate(1), which passes it as a unit with `StandardInput=socket` gets
            /// it, at the first connection.
            case systemd
        }

        /// The same with another launcher.
        func launched(by launcher: Launcher) -> Setup {
            var setup = self
            setup.launcher = launcher
            return setup
        }

        package init(_ bucket: Bucket) { self.bucket = bucket }

        /// The store's URL as the program is given it.
        package var storeURL: String { bucket.url(through: proxy) + storeItems }
    }

    /// Starts the program and waits until its socket accepts.
    package init(_ setup: Setup) throws {
        directory = try TemporaryDirectory()
        let state = try setup.state ?? TemporaryDirectory()
        self.state = state
        stateDirectory = state.path
        socket = directory.path + "/socket"
        if setup.admission == .given {
            try setup.bucket.admit(in: state.path, through: setup.proxy)
        }
        let line = try Self.commandLine(setup, state.path, socket)
        service = try Service(
            line.program, line.arguments, environment: Self.environment(setup),
            log: directory.path + "/log")
        try service.waitUntilReady { (try? Sockets.connect(path: socket)) != nil }
    }

    private let state: TemporaryDirectory

    private static func commandLine(
        _ setup: Setup, _ state: String, _ socket: String
    ) throws -> (program: String, arguments: [String]) {
        let program = try setup.program ?? Programs.server()
        var words = ["serve", "--store", setup.storeURL, "--state-dir", state]
        // Requests through a proxy are counted and scripted: nothing may be read in the background.
        if setup.proxy != nil, !setup.options.contains("--verify-uploads") {
            words += ["--verify-uploads", "off"]
        }
        switch setup.launcher {
        case .itself:
            return (program, words + ["--listen", "unix:\(socket)"] + setup.options)
        case .spawnFCGI:
            return (
                try Programs.find("spawn-fcgi", remedy: "apt install spawn-fcgi"),
                ["-n", "-s", socket, "-M", "0660", "--", program] + words + setup.options
            )
        case .systemd:
            return (
                try Programs.find("systemd-socket-activate", remedy: "apt install systemd"),
                // It passes nothing on of its own environment.
                ["--inetd", "-l", socket]
                    + environment(setup).flatMap { ["-E", "\($0.key)=\($0.value)"] }
                    + [program] + words + setup.options
            )
        }
    }

    /// Lets a web server of another user reach the socket.
    func letOthersConnect() throws {
        try Account.open(directory.path)
        if chmod(directory.path, 0o711) != 0 { throw SystemError("chmod", directory.path) }
    }

    /// The program's environment, with nothing of this process's.
    package static func environment(_ setup: Setup) -> [String: String] {
        ["PATH": "/usr/bin:/bin", "HOME": "/nonexistent"]
            .merging(setup.bucket.environment) { $1 }
            .merging(setup.environment) { $1 }
    }

    package var log: String { service.log }
    package var hasEnded: Bool { service.hasEnded }
    package var identifier: pid_t { service.identifier }

    /// The largest resident set so far, in bytes, of the program alone.
    package func peakMemory() throws -> Int { try service.peakMemory() }

    /// The git processes that run for it.
    package func children() throws -> [String] { try service.children() }

    package func signal(_ number: Int32) { service.signal(number) }

    package func waitForEnd() throws -> ChildProcess.Ending { try service.waitForEnd() }

    /// Ends the program as a service manager does; anything but a clean exit fails the test.
    package func stop() throws {
        service.signal(SIGTERM)
        let ending = try service.waitForEnd()
        if ending != .exited(0) {
            throw TestFailure("SIGTERM: the program ended with \(ending):\n\(log)")
        }
    }

    /// The workspaces of running and dead processes, without the processes' locks.
    package func workspaces() throws -> [String] {
        try Self.workspaces(in: stateDirectory)
    }

    /// The same for a state directory that no program uses now.
    package static func workspaces(in state: String) throws -> [String] {
        try Files.names(in: state + "/workspaces").flatMap { process in
            try names(inProcess: "\(state)/workspaces/\(process)")
                .filter { $0 != "lock" }.map { "\(process)/\($0)" }
        }
    }

    /// Empty if the directory got its final name, or was removed, after it was listed.
    private static func names(inProcess path: String) throws -> [String] {
        do {
            return try Files.names(in: path)
        } catch  where error.code == ENOENT {
            return []
        }
    }
}
