import Posix

/// Apache, and the program behind it in one of the three ways.
package final class ApacheSite: BackendHost {
    package let setup: ServerProcess.Setup
    package let apache: Apache
    private let account: Account?
    private let instance: ServerProcess?
    private let program: String
    private let state: TemporaryDirectory

    /// How the program is run.
    package enum Kind: Sendable { case proxy, fcgid, cgid, cgi }

    /// - Parameter setup: its options must be empty except for ``Kind/proxy``.
    package init(_ kind: Kind, _ setup: ServerProcess.Setup, certificate: Certificate? = nil) throws
    {
        guard kind == .proxy || setup.options.isEmpty else {
            throw TestFailure("What Apache starts takes no options.")
        }
        var setup = setup
        state = try setup.state ?? TemporaryDirectory()
        setup.state = state
        // An instance behind a socket runs as the user who starts it.
        account = kind == .proxy ? nil : try Account.ofWebServers()
        program =
            try setup.program
            ?? (account == nil ? Programs.server() : Account.program())
        self.setup = setup
        if setup.admission == .given, kind != .proxy {
            try setup.bucket.admit(in: state.path, through: setup.proxy)
        }
        if let account {
            try account.give(state.path)
            if setup.storeURL.hasPrefix("file://") {
                try account.give(String(setup.storeURL.dropFirst("file://".count)))
            }
        }
        let variables = ServerProcess.environment(setup).merging([
            "GIT_S3_BACKEND_STORE": setup.storeURL, "GIT_S3_BACKEND_STATE_DIR": state.path,
        ]) { $1 }
        let way: Apache.Way
        switch kind {
        case .proxy:
            // Apache's children are another user.
            if let group = try Account.ofWebServers()?.groupName {
                setup.options += ["--listen-group", group]
            }
            let instance = try ServerProcess(setup)
            self.instance = instance
            way = .proxy(socket: instance.socket)
            try instance.letOthersConnect()
        case .fcgid:
            instance = nil
            way = .fcgid(variables)
        case .cgid:
            instance = nil
            way = .cgid(variables)
        case .cgi:
            instance = nil
            way = .cgi(variables)
        }
        apache = try Apache(
            way, program: program, account: try Account.ofWebServers(), certificate: certificate,
            added: setup.serverConfiguration)
    }

    package var port: UInt16 { apache.port }

    /// The program's log so far.
    package var log: String { instance?.log ?? apache.log }

    package func reload() { apache.reload() }

    package func bytesOnDisk() throws -> Int { try apache.bytesOnDisk() }

    /// As the user whose the store is.
    package func command(_ name: String, _ arguments: [String]) throws -> CommandResult {
        let words = [name, "--store", setup.storeURL, "--state-dir", state.path] + arguments
        let (path, arguments) = try account?.commandLine(program, words) ?? (program, words)
        return try Command(
            path, arguments,
            environment: ServerProcess.environment(setup).filter {
                $0.key != "GIT_S3_BACKEND_FAULT"
            }
        ).run()
    }
}
