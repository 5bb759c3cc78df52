import Bytes
import Posix

/// A web server that serves git repositories under `/git/`, whatever stands behind it.
package protocol GitHost: Sendable {
    /// Of 127.0.0.1.
    var port: UInt16 { get }

    /// Makes an empty repository.
    ///
    /// - Parameter options: those of the program's `create`.
    func make(_ repository: String, _ options: [String]) throws
}

extension GitHost {
    package var http: HTTPClient { HTTPClient(port: port) }

    /// Makes an empty repository, and names it.
    ///
    /// - Parameter name: nil for a new one.
    @discardableResult
    package func create(_ name: String? = nil, _ options: String...) throws -> String {
        let repository = name ?? "team/r-\(Hex.random(bytes: 6))"
        try make(repository, options)
        return repository
    }

    /// A repository's URL, as `alice` who may push.
    package func url(_ repository: String) -> String {
        url(repository, user: "alice", password: Nginx.passwords["alice"] ?? "")
    }

    package func url(_ repository: String, user: String, password: String) -> String {
        "http://\(user):\(password)@127.0.0.1:\(port)/git/\(repository).git"
    }

    /// The same without a name.
    package func anonymousURL(_ repository: String) -> String {
        "http://127.0.0.1:\(port)/git/\(repository).git"
    }
}

/// The program under test behind a web server.
package protocol BackendHost: GitHost {
    /// With the state directory that is in use.
    var setup: ServerProcess.Setup { get }

    /// The program's log so far, through the web server or not.
    var log: String { get }

    /// Bytes of the files that the web server keeps, deleted ones included.
    func bytesOnDisk() throws -> Int

    /// Restarts the web server gracefully: what runs may finish.
    func reload()

    /// Runs another of the program's commands on the same store and state directory.
    func command(_ name: String, _ arguments: [String]) throws -> CommandResult
}

extension BackendHost {
    package var bucket: Bucket { setup.bucket }

    package func make(_ repository: String, _ options: [String]) throws {
        try command("create", [repository] + options).checked()
    }

    /// Runs another of the program's commands on the same store and state directory.
    package func command(_ name: String, _ arguments: [String]) throws -> CommandResult {
        guard let state = setup.state else { throw TestFailure("a site without a state directory") }
        return try Command(
            try Programs.server(),
            [name, "--store", setup.storeURL, "--state-dir", state.path] + arguments,
            environment: ServerProcess.environment(setup).filter {
                $0.key != "GIT_S3_BACKEND_FAULT"
            }
        ).run()
    }
}
