import Posix

/// fcgiwrap: a FastCGI server that starts a CGI program for each request.
package final class FCGIWrap: Sendable {
    package let socket: String
    private let directory: TemporaryDirectory
    private let service: Service

    /// Starts it and waits until its socket accepts.
    ///
    /// - Parameters:
    ///   - environment: what the programs get besides a request's own variables.
    ///   - processes: requests at once.
    package init(environment: [String: String], processes: Int = 8) throws {
        let program = try Programs.find("fcgiwrap", remedy: "apt install fcgiwrap")
        directory = try TemporaryDirectory()
        let socket = directory.path + "/socket"
        self.socket = socket
        service = try Service(
            program, ["-c", "\(processes)", "-s", "unix:\(socket)"], environment: environment,
            log: directory.path + "/log")
        try service.waitUntilReady { (try? Sockets.connect(path: socket)) != nil }
    }

    /// The programs' standard error so far.
    package var log: String { service.log }
}
